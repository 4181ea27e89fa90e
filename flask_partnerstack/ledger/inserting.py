"""``insert``: writes one new entry, and says its id."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

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


def insert(conn: Connection, values: Mapping[str, Any]) -> int:
    """Insert a new entry; return its id.

    :param values: of every column but the id.
    :raises sqlalchemy.exc.IntegrityError: its customer has an entry.
    """
    if conn.dialect.name == "sqlite":
        return _insert_sqlite(conn, tuple([_plain(values[name]) for name in _ORDER]))
    (entry_id,) = conn.execute(_INSERT, values).inserted_primary_key or (0,)
    return int(entry_id)


def _insert_sqlite(conn: Connection, row: tuple[Any, ...]) -> int:
    driver: Any = conn.connection.driver_connection
    try:
        return int(driver.execute(_TEXT, row).lastrowid)
    except sqlite3.Error as e:
        raise DBAPIError.instance(_TEXT, None, e, sqlite3.Error, dialect=conn.dialect) from e


def _plain(value: Any) -> Any:
    return moment_to_number(value) if isinstance(value, datetime) else value
