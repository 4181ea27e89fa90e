"""Facts about the ledger itself, by name: small texts that every process shares."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Insert
from sqlalchemy import Select
from sqlalchemy import Table
from sqlalchemy import bindparam
from sqlalchemy import select

from .tables import facts

_HOLD = "hold"
_INSERT = facts.insert()


def read_fact(conn: Connection, name: str, table: Table = facts) -> str | None:
    """Return a fact, or ``None`` when it was never written or is gone."""
    value: str | None = conn.scalar(_fact_in(table), {"name": name})
    return value


@cache  # building a statement costs SQLAlchemy more than running it
def _fact_in(table: Table) -> Select[Any]:
    return select(table.c.value).where(table.c.name == bindparam("name"))


def write_fact(conn: Connection, name: str, value: str) -> None:
    """Write a fact, over an older one of that name."""
    changed = conn.execute(facts.update().where(facts.c.name == name), {"value": value})
    if changed.rowcount == 0 and read_fact(conn, name) is None:
        conn.execute(_INSERT, {"name": name, "value": value})


def make_hold(conn: Connection) -> None:
    """Make the one fact that is always there, whoever made the tables, or makes it just now."""
    if read_fact(conn, _HOLD) is None:
        conn.execute(_insertion_or_not(conn.dialect.name), {"name": _HOLD, "value": ""})


def _insertion_or_not(dialect: str) -> Insert:
    if dialect == "postgresql":
        # Loaded by whoever has PostgreSQL: see .making.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(facts).on_conflict_do_nothing()
    return _INSERT.prefix_with("OR IGNORE" if dialect == "sqlite" else "IGNORE")


def hold_facts(conn: Connection) -> None:
    """Let nobody else hold the facts until the end of the transaction.

    Whoever writes what depends on what it read holds them first. Locked for it is the one fact
    that is always there; on SQLite, where no row is locked, writers come one by one anyhow.
    """
    conn.execute(select(facts.c.value).where(facts.c.name == _HOLD).with_for_update())


def erase_fact(conn: Connection, name: str) -> bool:
    """Remove a fact; say whether there was one."""
    return conn.execute(facts.delete().where(facts.c.name == name)).rowcount > 0
