"""``insert``: writes one new entry, and says its id."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from .tables import Moment
from .tables import entries
from .tables import moment_to_number

_INSERT = entries.insert()
# A signup waits for this. On SQLite SQLAlchemy's own part of an insert takes longer than the
# insert itself, so there the driver is given a ready-made one.
_COMPILED = _INSERT.compile(
    dialect=sqlite.dialect(),
    column_keys=[column.name for column in entries.columns if not column.primary_key],
)
_TEXT = str(_COMPILED)
_ORDER = tuple(_COMPILED.positiontup or ())
_MOMENTS = tuple(
    place for place, name in enumerate(_ORDER) if isinstance(entries.c[name].type, Moment)
)


def insert(conn: Connection, values: Mapping[str, Any]) -> int:
    """Insert a new entry; return its id.

    :param values: of every column but the id.
    :raises sqlalchemy.exc.IntegrityError: its customer has an entry.
    """
    if conn.dialect.name == "sqlite":
        return _insert_sqlite(conn, _sqlite_row(values))
    (entry_id,) = conn.execute(_INSERT, values).inserted_primary_key or (0,)
    return int(entry_id)


def _sqlite_row(values: Mapping[str, Any]) -> list[Any]:
    row = [values[name] for name in _ORDER]
    for place in _MOMENTS:
        if row[place] is not None:
            row[place] = moment_to_number(row[place])
    return row


def _insert_sqlite(conn: Connection, row: list[Any]) -> int:
    if not conn.in_transaction():
        conn.begin()  # as SQLAlchemy does before the first statement that it is given
    driver: Any = conn.connection.driver_connection
    try:
        return int(driver.execute(_TEXT, row).lastrowid)
    except sqlite3.Error as e:
        raise DBAPIError.instance(_TEXT, None, e, sqlite3.Error, dialect=conn.dialect) from e
