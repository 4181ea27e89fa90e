"""The ledger's tables. No queries."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import timezone
from typing import Any
from typing import Final

from sqlalchemy import BigInteger
from sqlalchemy import Boolean
from sqlalchemy import Column
from sqlalchemy import ColumnElement
from sqlalchemy import Dialect
from sqlalchemy import ForeignKey
from sqlalchemy import Index
from sqlalchemy import Integer
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import Text
from sqlalchemy import TypeDecorator
from sqlalchemy import UniqueConstraint
from sqlalchemy import and_
from sqlalchemy import literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import conv
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .entry import PRUNED
from .entry import Status

#: The version of the tables below. A change of theirs is a new version and a step in
#: :mod:`.schema`; steps only add, because old and new processes overlap in a deploy.
SCHEMA_VERSION = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def moment_to_number(moment: datetime) -> int:
    """Return what the database keeps of a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def number_to_moment(number: int) -> datetime:
    """Return the moment that the database keeps as this number."""
    return _EPOCH + number * _MICROSECOND


def span_to_number(span: timedelta) -> int:
    """Return how far two moments are apart, as the database keeps them."""
    return span // _MICROSECOND


class Moment(TypeDecorator[datetime]):
    """An aware moment, kept as whole microseconds since 1970.

    A number is the same on every database: no time zone is lost, and none is guessed.
    """

    impl: type[BigInteger] = BigInteger
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        """Return what the database keeps."""
        return None if value is None else moment_to_number(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        """Return what we work with."""
        return None if value is None else number_to_moment(value)


# SQLite counts rows by itself only in an INTEGER column.
_Id = BigInteger().with_variant(Integer, "sqlite")


class CurrentMoment(FunctionElement[int]):
    """The database server's own time, as a :class:`Moment` keeps it."""

    type: BigInteger = BigInteger()
    inherit_cache: bool | None = True


@compiles(CurrentMoment, "postgresql")
def _postgresql_now(_element: CurrentMoment, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


@compiles(CurrentMoment, "mysql")
@compiles(CurrentMoment, "mariadb")
def _mysql_now(_element: CurrentMoment, _compiler: SQLCompiler, **_options: object) -> str:
    # Not by way of the server's wall clock, which says each minute of an hour twice in autumn.
    # It is the statement's beginning: two seconds ago at most, where it waited for a row.
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"


class Exactly(FunctionElement[str]):
    """A text to the letter and the space, also where the collation takes other ones for the same.

    MySQL's and MariaDB's usual ones know no case, no accent and no space at the end.
    """

    type: String = String()
    inherit_cache: bool | None = True


@compiles(Exactly)
def _as_it_is(element: Exactly, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(Exactly, "mysql")
@compiles(Exactly, "mariadb")
def _by_its_bytes(element: Exactly, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BINARY)"


metadata: Final = MetaData()

# What has a name of its own (``conv``) keeps it in an app's metadata, whatever is the convention
# there: so it is the same whoever makes the tables, and an app's migrations find nothing to change.
# https://docs.sqlalchemy.org/en/20/core/metadata.html#sqlalchemy.schema.conv

entries: Final = Table(
    "partnerstack_entry",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    # Fixed length, and exact to the letter and the space whatever the collation.
    Column("customer_digest", String(64), nullable=False),
    Column("customer_key", String(512), nullable=False),
    Column("xid", String(128), nullable=False),
    Column("partner_key", String(512)),
    Column("status", String(16), nullable=False),
    Column("reason", String(1000)),
    Column("test", Boolean),
    Column("attempts", Integer, nullable=False),
    Column("unclear", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("first_attempt_at", Moment),
    Column("attempted_at", Moment),
    Column("sending_at", Moment),
    # When it is due, and when that was decided: a clock that is set back shows in the second.
    Column("due_at", Moment),
    Column("scheduled_at", Moment),
    Column("settled_at", Moment),
    Column("lease", String(32)),
    Column("payload", Text, nullable=False),
    # What a person finds it by, in lower case: key, e-mail, name, click, partner.
    Column("search", Text, nullable=False),
    UniqueConstraint("customer_digest", name=conv("partnerstack_entry_customer_digest_key")),
)

#: Selects entries whose customer was erased: no key can be empty otherwise.
erased: Final[ColumnElement[bool]] = entries.c.customer_key == ""

# Written out and not bound: an index that holds some of the rows is used by a query that says the
# same of them in the same words. https://www.sqlite.org/partialindex.html#queries_using_partial_indexes
_PENDING: Final = literal_column(f"'{Status.PENDING.value}'", String)
#: Selects entries that wait for their delivery.
pending: Final[ColumnElement[bool]] = entries.c.status == _PENDING
#: Selects entries that do so no more.
settled: Final[ColumnElement[bool]] = entries.c.status != _PENDING


_PRUNED: Final = literal_column(f"'{PRUNED}'", Text)
#: Selects settled entries that may know more of their customers than the key.
unpruned: Final[ColumnElement[bool]] = and_(settled, entries.c.payload != _PRUNED)


def of_partner(partner_key: str) -> ColumnElement[bool]:
    """Select what one partner brought."""
    return Exactly(entries.c.partner_key) == partner_key


def of_status(status: Status) -> ColumnElement[bool]:
    """Select entries in one state, in words that an index is found by."""
    if status is Status.PENDING:
        return pending
    return and_(settled, entries.c.status == status.value)


attempts: Final = Table(
    "partnerstack_attempt",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("entry_id", ForeignKey(entries.c.id), nullable=False),
    Column("at", Moment, nullable=False),
    Column("judged", String(16), nullable=False),
    Column("status", Integer),
    Column("reason", String(1000), nullable=False),
    Column("answer", String(1000), nullable=False),
    Index(conv("ix_partnerstack_attempt_entry_id"), "entry_id"),
)

#: Facts about the ledger itself, by name: its schema version for one.
facts: Final = Table(
    "partnerstack_fact",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
