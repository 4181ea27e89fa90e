"""Real databases for tests, on the servers that listen here."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import ColumnClause
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import TextClause
from sqlalchemy import column
from sqlalchemy import create_engine
from sqlalchemy import inspect
from sqlalchemy import make_url
from sqlalchemy import table
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

#: Environment variables that point the tests at other servers than those on this machine.
SERVERS = {
    "postgresql": ("PARTNERSTACK_TEST_POSTGRESQL", "postgresql+psycopg://root@127.0.0.1/test"),
    "mariadb": ("PARTNERSTACK_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1/test"),
}

Make = Callable[[URL], None]


@dataclass(frozen=True)
class Made:
    """What a database was when it was made: how its tables are, and their rows."""

    tables: list[str]
    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    def in_schema(cls, conn: Connection, schema: str) -> Made:
        """Read what there is."""
        names = inspect(conn).get_table_names(schema)
        rows = {
            name: [dict(row) for row in conn.execute(_all_of(name, schema)).mappings()]
            for name in sorted(names)
        }
        return cls(_tables_in(conn, schema), rows)

    def set_rows_right(self, conn: Connection, schema: str) -> None:
        """Let the tables, which are as they were made, have no rows but those of then."""
        for name, rows in self.rows.items():
            conn.exec_driver_sql(f"DELETE FROM {schema}.{name}")
            for row in rows:
                columns: list[ColumnClause[Any]] = [column(key) for key in row]
                conn.execute(table(name, *columns, schema=schema).insert().values(row))
        if conn.dialect.name == "postgresql":  # MariaDB would take as long as for a new table
            conn.exec_driver_sql(_COUNT_ANEW)


def _all_of(name: str, schema: str) -> TextClause:
    return text(f"SELECT * FROM {schema}.{name}")


def _tables_in(conn: Connection, schema: str) -> list[str]:
    """Return all that makes tables what they are, in the words of their server."""
    if conn.dialect.name == "postgresql":
        return list(conn.scalars(text(_TABLES_OF_POSTGRESQL)))
    shown = [conn.exec_driver_sql(f"SHOW CREATE DATABASE {schema}").one()[1]]
    for name in conn.exec_driver_sql(f"SHOW TABLES FROM {schema}").scalars().all():
        made = conn.exec_driver_sql(f"SHOW CREATE TABLE {schema}.{name}").one()[1]
        shown.append(re.sub(r" AUTO_INCREMENT=\d+", "", made))
    return [*shown, *conn.exec_driver_sql(f"SHOW TRIGGERS FROM {schema}").scalars()]


_TABLES_OF_POSTGRESQL = """
    SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length,
        is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', event_object_table, trigger_name, action_statement)
    FROM information_schema.triggers WHERE trigger_schema = 'public'
    UNION ALL SELECT concat_ws(' ', relkind, relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
    ORDER BY 1
"""
_COUNT_ANEW = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class
    WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""


class Servers:
    """Databases of the test run's own on each server; every test finds one empty, or as made."""

    def __init__(self) -> None:
        self._admins: dict[tuple[str, str], Engine] = {}
        self._name = f"partnerstack_{uuid.uuid4().hex[:12]}"
        self._made: dict[tuple[str, str], Made] = {}

    def empty(self, kind: str, purpose: str = "") -> URL:
        """Return the URL of an empty database; skip, or fail in CI, where there is no server.

        :param purpose: another one for each.
        """
        name = self._name + purpose
        if (kind, purpose) not in self._admins:
            self._admins[kind, purpose] = self._open(kind, name)
        admin = self._admins[kind, purpose]
        with admin.connect() as conn:
            for statement in _EMPTY[kind]:
                conn.exec_driver_sql(statement.format(name=name))
        return admin.url.set(database=name)

    def made(self, kind: str, purpose: str, make: Make) -> URL:
        """Return the URL of a database that is as ``make`` made it, for this purpose.

        It is made once, and its rows are set right for each test: to make a few tables takes a
        server longer than most tests take. It is made anew after a test that changed the tables.
        """
        made = self._made.get((kind, purpose))
        if made is None or not self._is_set_right(kind, purpose, made):
            make(self.empty(kind, purpose))
            with self._admins[kind, purpose].connect() as conn:
                self._made[kind, purpose] = Made.in_schema(conn, self._schema(kind, purpose))
        return self._admins[kind, purpose].url.set(database=self._name + purpose)

    def _is_set_right(self, kind: str, purpose: str, made: Made) -> bool:
        """Write the rows anew that were made; ``False``: the tables are others."""
        schema = self._schema(kind, purpose)
        at_once = self._admins[kind, purpose].execution_options(isolation_level="READ COMMITTED")
        with at_once.begin() as conn:
            if _tables_in(conn, schema) != made.tables:
                return False
            made.set_rows_right(conn, schema)
        return True

    def _schema(self, kind: str, purpose: str) -> str:
        return "public" if kind == "postgresql" else self._name + purpose

    def _open(self, kind: str, name: str) -> Engine:
        url = make_url(_url(kind))
        admin = create_engine(url, **_ADMIN)
        try:
            with admin.connect() as conn:
                conn.exec_driver_sql(f"CREATE DATABASE {name}")
        except OperationalError as e:
            absent(
                f"no {kind} at {url.render_as_string(hide_password=True)} ({SERVERS[kind][0]}): {e}"
            )
        if kind == "mariadb":
            return admin
        admin.dispose()  # of PostgreSQL's a schema is emptied from within its database
        return create_engine(
            url.set(database=name), isolation_level="AUTOCOMMIT", pool_pre_ping=True
        )

    def close(self) -> None:
        """Drop the databases."""
        for (kind, purpose), admin in self._admins.items():
            admin.dispose()
            outside = create_engine(
                make_url(_url(kind)), isolation_level="AUTOCOMMIT", pool_pre_ping=True
            )
            with outside.connect() as conn:
                conn.exec_driver_sql(f"DROP DATABASE {self._name}{purpose}{_FORCE[kind]}")
            outside.dispose()


def _url(kind: str) -> str:
    variable, default = SERVERS[kind]
    return os.environ.get(variable, default)


_ADMIN: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_pre_ping": True}
_EMPTY = {
    "postgresql": ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"),
    "mariadb": ("DROP DATABASE {name}", "CREATE DATABASE {name}"),
}
_FORCE = {"postgresql": " WITH (FORCE)", "mariadb": ""}


def absent(reason: str) -> None:
    """Skip on a laptop, fail in CI: what needs a server is never silently untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
