"""Statements that are run for each conversion: on SQLite compiled once, and given to its driver.

SQLAlchemy's own part of a statement takes several times as long there as SQLite's. On a server the
way there takes longer than both, and SQLAlchemy runs them.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from typing import NamedTuple

from sqlalchemy import Boolean
from sqlalchemy import Connection
from sqlalchemy import Insert
from sqlalchemy import Select
from sqlalchemy import Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from .tables import Moment
from .tables import moment_to_number
from .tables import number_to_moment


class Prepared:
    """A statement that binds each of its values by a name of its own, and moments as moments."""

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        self._statement = statement

    def run(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute it; return its rows, if it has any, with their columns as attributes.

        :raises sqlalchemy.exc.DBAPIError: whatever the database says.
        """
        driver = driver_of(conn)
        if driver is None:
            done = conn.execute(self._statement, values)
            return done.all() if done.returns_rows else ()
        compiled, bound = self._compiled, {**self._compiled.fixed, **values}
        given = [_kept(bound[name]) for name in compiled.names]
        return [compiled.row(*row) for row in give(conn, driver, compiled.text, given).rows]

    @cached_property
    def _compiled(self) -> _Compiled:
        # Loaded by now, because there is a connection to it: see .making.
        from sqlalchemy.dialects.sqlite import dialect

        compiled: Any = self._statement.compile(dialect=dialect(paramstyle="qmark"))
        return _Compiled(
            compiled.string, compiled.positiontup, compiled.params, _rows_of(self._statement)
        )


class _Compiled(NamedTuple):
    """A statement as SQLite's driver takes it.

    :param names: of what is bound, in its order.
    :param fixed: what is bound each time.
    :param row: makes one of what SQLite keeps.
    """

    text: str
    names: Sequence[str]
    fixed: Mapping[str, Any]
    row: Callable[..., Any]


def _rows_of(statement: Any) -> Callable[..., Any]:
    returned = "returning_column_descriptions" if statement.is_dml else "column_descriptions"
    columns = getattr(statement, returned)
    make: Any = namedtuple("Row", [column["name"] for column in columns])  # type: ignore[misc]
    readers = [_reader(column["type"]) for column in columns]

    def read(*values: Any) -> Any:
        return make._make(
            value if value is None or reader is None else reader(value)
            for reader, value in zip(readers, values, strict=True)
        )

    return read


def _reader(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Moment):
        return number_to_moment
    return bool if isinstance(kind, Boolean) else None


def _kept(value: Any) -> Any:
    """Return what SQLite keeps of a value."""
    return moment_to_number(value) if isinstance(value, datetime) else value


# --- the driver ---------------------------------------------------------------------------------


class Given(NamedTuple):
    """What SQLite made of a statement."""

    rows: Sequence[Any]
    inserted_id: int


def driver_of(conn: Connection) -> sqlite3.Connection | None:
    """Return what a statement without a schema's name can be given to as it is: SQLite's driver.

    ``None``: another database, another driver, or names that SQLAlchemy has to translate.
    """
    if conn.dialect.name != "sqlite" or conn.get_execution_options().get("schema_translate_map"):
        return None
    driver = conn.connection.driver_connection
    return driver if isinstance(driver, sqlite3.Connection) else None  # aiosqlite's, for one


def give(conn: Connection, driver: sqlite3.Connection, text: str, values: Iterable[Any]) -> Given:
    """Execute a statement, in the transaction that SQLAlchemy would begin for it.

    :raises sqlalchemy.exc.DBAPIError: as SQLAlchemy raises it, without the values.
    """
    if not conn.in_transaction():
        conn.begin()
    try:
        cursor = driver.execute(text, tuple(values))
        return Given(cursor.fetchall(), cursor.lastrowid or 0)
    except sqlite3.Error as e:
        raise DBAPIError.instance(text, None, e, sqlite3.Error, dialect=conn.dialect) from e
