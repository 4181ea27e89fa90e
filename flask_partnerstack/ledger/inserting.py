"""``insert``: writes one new entry, and says what the database made of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy import CursorResult
from sqlalchemy import Insert
from sqlalchemy import Update
from sqlalchemy import case
from sqlalchemy import literal
from sqlalchemy import type_coerce

from .home import named
from .prepared import driver_of
from .prepared import give
from .tables import CurrentMoment
from .tables import Moment
from .tables import entries
from .tables import moment_to_number

Change = TypeVar("Change", Insert, Update)


class Written(NamedTuple):
    """What tells one writing of an entry from every other: an id may be given out again.

    :param home: the schema to name.
    """

    digest: str
    at: datetime
    home: str | None


def insert(conn: Connection, values: Mapping[str, Any], home: str | None = None) -> dict[str, Any]:
    """Insert a new entry; return its id, and when it is due where the database said that.

    :param values: of every column but the id.
    :param home: the schema to name, where the connection is not ours.
    :raises sqlalchemy.exc.IntegrityError: its customer has an entry, or the app's own constraint
        is broken.
    """
    if conn.dialect.name == "sqlite":
        return {"id": _insert_sqlite(conn, values, home)}
    says = conn.dialect.insert_returning
    done = conn.execute(_insertion(home, _decided(values), says=says), _rest(values))
    if says:
        return dict(done.one()._mapping)
    return {"id": _id_of(done)}


def insert_or_not(
    conn: Connection, values: Mapping[str, Any], home: str | None = None
) -> dict[str, Any] | None:
    """Do the same on PostgreSQL, but return ``None`` when its customer has an entry.

    There a broken constraint ends the whole transaction.
    """
    made = conn.execute(_insertion_or_not(home, _decided(values)), _rest(values)).one_or_none()
    return None if made is None else dict(made._mapping)


def revive(
    conn: Connection, entry_id: int, values: Mapping[str, Any], home: str | None = None
) -> None:
    """Write an entry anew, but for what is known of its attempts.

    One that may have been taken before is looked up, and ages, from now on.
    """
    table = named(entries, home)
    now = literal(values["recorded_at"], Moment)
    begun = case((table.c.unclear > 0, now), else_=None)
    change = table.update().where(table.c.id == entry_id).values(first_attempt_at=begun)
    if conn.dialect.name == "sqlite":
        conn.execute(change, values)
    else:
        conn.execute(_by_its_clock(change, _decided(values)), _rest(values))


# --- due by the server's clock, which that is held against --------------------------------------

_NOW = type_coerce(CurrentMoment(), Moment)


def _decided(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that the server fills: when it is due, if ever, and since when it is."""
    return ("scheduled_at",) if values["due_at"] is None else ("due_at", "scheduled_at")


def _rest(values: Mapping[str, Any]) -> dict[str, Any]:
    decided = _decided(values)
    return {name: value for name, value in values.items() if name not in decided}


@cache
def _insertion(home: str | None, decided: tuple[str, ...], *, says: bool) -> Insert:
    table = named(entries, home)
    decides = _by_its_clock(table.insert(), decided)
    return decides.returning(table.c.id, table.c.due_at) if says else decides


@cache
def _insertion_or_not(home: str | None, decided: tuple[str, ...]) -> Insert:
    # Loaded by whoever has PostgreSQL: see .making.
    from sqlalchemy.dialects import postgresql

    table = named(entries, home)
    statement = postgresql.insert(table).on_conflict_do_nothing(
        index_elements=[table.c.customer_digest]
    )
    return _by_its_clock(statement, decided).returning(table.c.id, table.c.due_at)


def _by_its_clock(statement: Change, decided: tuple[str, ...]) -> Change:
    return statement.values(dict.fromkeys(decided, _NOW))


# --- SQLite -------------------------------------------------------------------------------------
# A signup waits for this. An insert that every row fits would bind one ``None`` after the other.


def _insert_sqlite(conn: Connection, values: Mapping[str, Any], home: str | None) -> int:
    driver = None if home else driver_of(conn)
    if driver is None:
        return _id_of(conn.execute(named(entries, home).insert(), values))
    row = _sqlite_row(values)
    return give(conn, driver, _insertion_of(tuple(row)), row.values()).inserted_id


def _id_of(done: CursorResult[Any]) -> int:
    (entry_id,) = done.inserted_primary_key or (0,)
    return int(entry_id)


def _sqlite_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what SQLite keeps, without the columns that are empty.

    sqlite3 looks for an adapter of each ``None``, which takes longer than to insert it.
    """
    row = {name: value for name, value in values.items() if value is not None}
    now = values["recorded_at"]
    number = moment_to_number(now)
    for name in _MOMENTS:
        if name in row:
            row[name] = number if row[name] is now else moment_to_number(row[name])
    return row


_MOMENTS = tuple(str(c.name) for c in entries.columns if isinstance(c.type, Moment))


@cache
def _insertion_of(columns: tuple[str, ...]) -> str:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    return f"INSERT INTO {entries.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of ours
