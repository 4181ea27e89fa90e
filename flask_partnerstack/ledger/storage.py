"""``Storage``: what a ledger asks of the database that it lies in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Storage(Protocol):
    """A database with the ledger's tables. Whatever it says is a ``LedgerUnavailable``."""

    @property
    def location(self) -> str:
        """Where it lies, without a password."""

    @property
    def is_sqlite(self) -> bool:
        """Whether one writer at a time holds the whole of it, and its clock is ours."""

    @property
    def is_postgresql(self) -> bool:
        """Whether one statement of it can do what takes a transaction elsewhere."""

    @property
    def is_shared_connection(self) -> bool:
        """Whether it has one connection, which the app uses as well."""

    def write(self) -> AbstractContextManager[Connection]:
        """One transaction that may write; committed at the end of the block.

        A broken constraint is a :class:`~.trouble.ConstraintBroken`.
        """

    def read(self) -> AbstractContextManager[Connection]:
        """One transaction that only reads."""

    def at_once(self) -> AbstractContextManager[Connection]:
        """On PostgreSQL: for one statement, which is a transaction by itself.

        Over a connection that was not asked whether it is alive, which would cost as much again.
        So it may be refused where :meth:`write` is not, and whoever uses it goes on with that.
        """

    def migrate(self) -> int:
        """Make or migrate the tables; return the version that was there before."""

    def holds(self, conn: Connection) -> bool:
        """Say whether somebody else's connection is one to this database."""

    def check(self, conn: Connection) -> str | None:
        """Make sure, once, that the tables are there, over somebody else's connection.

        Return the schema that they are in, where its statements have to name one.
        """

    def overwrite_what_is_deleted(self, conn: Connection) -> bool:
        """Let nothing stay on the disk of what this transaction takes out, where that is ours.

        ``True``: old pages stay, until :meth:`forget_old_pages`.
        """

    def forget_old_pages(self) -> bool:
        """Let nothing stay of what was there before, where that is ours to do.

        ``False``: it stays for now, because somebody reads. It never waits for who does.
        """

    def close(self) -> None:
        """Close idle connections, if they are ours."""
