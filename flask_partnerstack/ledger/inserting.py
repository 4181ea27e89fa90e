"""``insert``: writes one new entry, and says its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite

from .tables import entries
from .tables import moment_to_number

_INSERT = entries.insert()
# A signup waits for this. On SQLite SQLAlchemy's own part of an insert takes longer than the
# insert itself; with the statement ready-made it is half of that.
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
        row = tuple([_plain(values[name]) for name in _ORDER])
        return conn.exec_driver_sql(_TEXT, row).lastrowid
    (entry_id,) = conn.execute(_INSERT, values).inserted_primary_key or (0,)
    return int(entry_id)


def _plain(value: Any) -> Any:
    return moment_to_number(value) if isinstance(value, datetime) else value
