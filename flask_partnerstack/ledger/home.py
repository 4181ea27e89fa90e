"""The schema that the ledger's tables lie in, wherever a connection of somebody else looks.

An app with many tenants has a connection look at one of them: by SQLAlchemy's
``schema_translate_map``, by PostgreSQL's ``search_path``, by ``USE`` on MySQL and MariaDB. The
ledger is one for all of them, and what is recorded elsewhere nobody would deliver.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from contextlib import nullcontext
from functools import cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import MetaData
from sqlalchemy import Table
from sqlalchemy import bindparam
from sqlalchemy import text

from .tables import entries

_IN_SCHEMA = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE pg_class.oid = to_regclass(:name)"
).bindparams(bindparam("name", entries.name))


def home_of(engine: Engine) -> str | None:
    """Return the schema in which a new connection of ``engine`` finds the tables.

    ``None`` on SQLite, and where it finds none, or no database has a name.
    """
    moved: str | None = _translation(engine).get(None)
    if moved is not None:
        return moved
    if engine.dialect.name == "postgresql":
        return _looked_up(engine)
    return None if engine.dialect.name == "sqlite" else engine.url.database


def _looked_up(engine: Engine) -> str | None:
    # Not by the engine's own pool: there a connection may be left that looks at a tenant, and may
    # be none left at all, because whoever asks holds one.
    pool = engine.pool.recreate()
    try:
        with Engine(pool, engine.dialect, engine.url).connect() as conn:
            found: str | None = conn.scalar(_IN_SCHEMA)
            return found
    finally:
        pool.dispose()


@cache
def named(table: Table, home: str | None) -> Table:
    """Return one of the tables by a name that leads to it from everywhere."""
    return table if home is None else table.to_metadata(MetaData(), schema=home)


def as_named(conn: Connection) -> AbstractContextManager[object]:
    """Have SQLAlchemy put no other schema in the place of one that a statement names, or not.

    Not by a map of ours: what is compiled for a map with ``None`` in it is of no use for another.
    """
    theirs = _translation(conn)
    return _unmoved(conn, theirs) if theirs else _AS_IT_IS


_AS_IT_IS: AbstractContextManager[object] = nullcontext()


@contextmanager
def _unmoved(conn: Connection, theirs: Any) -> Iterator[None]:
    conn.execution_options(schema_translate_map=None)
    try:
        yield
    finally:
        conn.execution_options(schema_translate_map=theirs)


def _translation(of: Engine | Connection) -> Any:
    return of.get_execution_options().get("schema_translate_map") or {}
