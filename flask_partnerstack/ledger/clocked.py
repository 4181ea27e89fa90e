"""``Clocked``: what each part of the ledger stands on: a database, and what time it is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone

from sqlalchemy import Connection
from sqlalchemy import select
from sqlalchemy import type_coerce

from .storage import Storage
from .tables import CurrentMoment
from .tables import Moment

#: How far a clock may go back without anybody having set it back.
CLOCK_SKEW = timedelta(minutes=1)

Clock = Callable[[], datetime]

_DATABASE_NOW = select(type_coerce(CurrentMoment(), Moment))


def utcnow() -> datetime:
    """Return the time of day, aware."""
    return datetime.now(timezone.utc)


class Clocked:
    """A database, and the time that everything in it is held against.

    :param database: where the ledger lies.
    :param lease: how long a claimed entry belongs to its claimer.
    :param clock: the time of day, aware; for tests.
    """

    def __init__(self, database: Storage, *, lease: timedelta, clock: Clock = utcnow) -> None:
        self._database = database
        self._lease = lease
        self._clock = clock

    @property
    def storage(self) -> Storage:
        """Where the ledger lies."""
        return self._database

    @property
    def is_shared_connection(self) -> bool:
        """Whether the ledger has one connection, which the app uses as well."""
        return self._database.is_shared_connection

    def now(self) -> datetime:
        """Return the time that leases and due times are held against."""
        if self._database.is_sqlite:
            return self._clock()
        with self._database.read() as conn:
            return self.now_in(conn)

    def now_in(self, conn: Connection) -> datetime:
        """Return the time that leases and due times are held against, in an open transaction.

        On a server the database's, because the clocks of many machines never agree.
        """
        if self._database.is_sqlite:
            return self._clock()
        return conn.scalars(_DATABASE_NOW).one()
