"""What the tables are made with, indexes and letters: a process that finds them made needs neither.

SQLAlchemy loads a database's dialect for each option in its words, and PostgreSQL's alone takes an
eighth of the time of SQLAlchemy Core: so they are said where tables are made, and there only in
the words of the database at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import BigInteger
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Index
from sqlalchemy import MetaData
from sqlalchemy import Table
from sqlalchemy.schema import conv

from .tables import Moment
from .tables import entries
from .tables import metadata
from .tables import pending
from .tables import settled
from .tables import unpruned


class _Partial(NamedTuple):
    """An index that holds some of the entries; on MySQL and MariaDB, which cannot, all of them."""

    columns: tuple[str, ...]
    where: ColumnElement[bool]


_INDEXES: Final = {
    # A signup pays for this one and for its customer's digest. It holds what is open, which is
    # little: a million settled entries cost nothing.
    "due": _Partial(("due_at", "status"), entries.c.due_at.is_not(None) | pending),
    # What people ask is indexed when an entry is settled. How many are in each state, and the
    # newest of one state:
    "status": _Partial(("status", "id"), settled),
    # When they came, by whom, and what became of them, without reading the rows:
    "recorded": _Partial(("recorded_at", "partner_key", "status"), settled),
    # What is old enough to be pruned, without those that were:
    "unpruned": _Partial(("settled_at",), unpruned),
}
_KNOW_PARTIAL: Final = frozenset({"sqlite", "postgresql"})
#: Where a database may have been made for western letters only, and names have all of them.
_HAVE_CHARSETS: Final = frozenset({"mysql", "mariadb"})


def make_tables(conn: Connection) -> None:
    """Make those of the ledger's tables that are not there, with their indexes."""
    made = MetaData()
    for table in metadata.sorted_tables:
        _dress(table.to_metadata(made), {conn.dialect.name})
    made.create_all(conn)


def add_tables(other: MetaData) -> None:
    """Add the ledger's tables to an app's metadata, so that its own tools make and migrate them.

    Their columns have plain types there: a migration that is generated from them needs no import
    of ours. Added once, however often this is called.
    """
    prefix = "" if other.schema is None else f"{other.schema}."
    for table in metadata.sorted_tables:
        if prefix + table.name not in other.tables:
            copied = table.to_metadata(other)
            _dress(copied, _KNOW_PARTIAL | _HAVE_CHARSETS)
            for column in copied.columns:
                if isinstance(column.type, Moment):
                    column.type = BigInteger()


def _dress(table: Table, dialects: Iterable[str]) -> None:
    """Give a copy of one of our tables what it is made with, in the words of some databases."""
    for dialect in _HAVE_CHARSETS.intersection(dialects):
        table.dialect_kwargs[f"{dialect}_charset"] = "utf8mb4"
    if table.name == entries.name:
        _add_indexes(table, _KNOW_PARTIAL.intersection(dialects))


def _add_indexes(table: Table, dialects: Iterable[str]) -> None:
    for name, (columns, where) in _INDEXES.items():
        options: dict[str, Any] = {f"{dialect}_where": where for dialect in dialects}
        Index(conv(f"{table.name}_{name}"), *(table.c[column] for column in columns), **options)
