"""``Database``: connections to where the ledger lies, made late, kept, and one process's own."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import Final

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import Pool
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError

from .. import forks
from ..errors import LedgerUnavailable
from . import schema
from .collected import close_with_pools
from .connecting import TURN_WAIT
from .connecting import in_memory
from .connecting import location_of
from .connecting import make_engine
from .connecting import same_database
from .connecting import transaction
from .facts import make_hold
from .guard import Condition
from .guard import Guard
from .guard import Opened
from .guard import TakenAway
from .home import home_of
from .rescue import set_aside
from .rescue import set_right
from .trouble import told
from .waiting import making_ready

log: Final = logging.getLogger("flask_partnerstack")


class Database:
    """Connections to the ledger's database.

    :param url: where the ledger lies.
    :param embedded: ours alone, so that its tables are made and migrated at first use; else
        ``flask partnerstack init-db`` does that.
    :raises ConfigurationError: when no driver for the URL is installed.
    """

    def __init__(self, url: URL, *, embedded: bool) -> None:
        self.url = url
        self.location: str = location_of(url)
        self._embedded = embedded
        self._engine = make_engine(url)
        self._prepared = False
        self._checked = False
        self._home: str | None = None
        self._process = os.getpid()
        self._preparing = forks.LateLock()
        self._writing = forks.LateLock()
        self._abandoned: list[Pool] = []
        self._held: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._guard = _guard_for(url)
        if self._guard is not None:
            event.listen(self._engine, "do_connect", self._guard.connect)
        close_with_pools(self._engine)
        weakref.finalize(self, _dispose, self._engine)  # of an app that is dropped
        forks.watch(self)

    def holds(self, conn: Connection) -> bool:
        """Say whether somebody else's connection is one to this ledger's database."""
        pool = conn.engine.pool
        if pool not in self._held:
            if in_memory(self.url) or not same_database(conn.engine.url, self.url):
                return False
            self._held.add(pool)  # to compare two URLs takes as long as to insert a row
        return True

    def check(self, conn: Connection) -> str | None:
        """Make sure, once, that the tables are there, over somebody else's connection.

        Return the schema that they are in, where its statements have to name one.

        :raises LedgerUnavailable: naming the command that makes them.
        """
        if not self._checked:
            with told(self.location):
                self._home = home_of(self._engine)
                schema.check(conn, self._home)
            self._checked = True
        return self._home

    @property
    def is_shared_connection(self) -> bool:
        """Never: its connections are ours."""
        return False

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is a SQLite file, or in memory."""
        return self._engine.dialect.name == "sqlite"

    @property
    def is_postgresql(self) -> bool:
        """Whether the ledger is in PostgreSQL."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the end of the block.

        :raises LedgerUnavailable: whatever the database says; of a broken constraint the kind
            :class:`~.trouble.ConstraintBroken`.
        """
        with self._speaking():
            watched = None if self._guard is None else self._guard.watched
            with self._turn(), transaction(self._engine) as conn:
                yield conn
            self._make_sure_of(watched)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads, and so waits for no writer on SQLite.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking(), transaction(self._engine, reading=True) as conn:
            yield conn

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        """One statement that is a transaction by itself, over a connection that is not asked first.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking(), self._engine.connect() as conn:
            yield conn.execution_options(isolation_level="AUTOCOMMIT")

    def migrate(self) -> int:
        """Make or migrate the tables; return the version that was there before.

        :raises LedgerUnavailable: as :meth:`write`, and when they are newer than this package.
        """
        with forks.gate.passed(), told(self.location), transaction(self._engine) as conn:
            return schema.migrate(conn)

    def overwrite_what_is_deleted(self, conn: Connection) -> bool:
        """Let SQLite write zeros over what this transaction takes out of its file.

        https://www.sqlite.org/pragma.html#pragma_secure_delete
        """
        if self.is_sqlite:
            conn.exec_driver_sql("PRAGMA secure_delete=ON")
        return self.is_sqlite

    def forget_old_pages(self) -> bool:
        """Empty SQLite's write-ahead log, which keeps what was there before, if nobody reads it.

        https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
        """
        if not self.is_sqlite:
            return True
        with self._speaking(), self._engine.connect() as conn:
            is_busy, *_ = _autocommit(conn, "PRAGMA wal_checkpoint(TRUNCATE)")
        return not is_busy

    def close(self) -> None:
        """Close every idle connection; the next use opens a new one."""
        _dispose(self._engine)
        if self._guard is not None:
            self._guard.forget()
        self._prepared = False

    def before_fork(self) -> None:
        """Close idle connections: a SQLite connection must not cross a fork, not even to be closed.

        And they are idle: no other thread is past the gate by then. But one that writes a file back
        that was taken away may be; and where nobody has noticed that yet, they are the last that
        have it open.

        https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
        """
        is_kept = in_memory(self.url) or (self._guard and not self._is_well(self._guard))
        if not is_kept:
            self._engine.dispose()

    def after_fork_in_child(self) -> None:
        """Forget connections that were in use, without closing them: they are the parent's."""
        self._abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        if self._guard is not None:
            self._guard.forget()
        self._prepared = False
        self._process = os.getpid()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let this process's writers take turns on SQLite, whose own waiting is not fair.

        A signup beside a busy delivery would sleep through one free moment after the other. It is
        only manners: SQLite's lock decides, so whoever has waited long enough goes ahead.
        """
        writing = self._writing.here
        ours = self.is_sqlite and writing.acquire(timeout=TURN_WAIT)
        try:
            yield
        finally:
            if ours:
                writing.release()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with forks.gate.passed(), told(self.location):
            if os.getpid() != self._process:  # uWSGI forks without a word to the interpreter
                self.after_fork_in_child()
            if not self._prepared:
                self._prepare()
            elif self._guard is not None and self._guard.look() is not Condition.WELL:
                self._recover(self._guard)
            yield

    def _prepare(self) -> None:
        with making_ready(self._preparing.here):
            if not self._prepared:
                if not in_memory(self.url):
                    self._engine.dispose()  # its pool has locks, too
                self._furnish()

    def _furnish(self) -> None:
        try:
            self._make_or_check()
        except DatabaseError as e:
            if self._guard is None or not self._embedded or "not a database" not in str(e.orig):
                raise
            set_aside(self._guard)
            self._make_or_check()
        if self._guard is not None:
            self._guard.watch()
        self._prepared = True

    def _make_or_check(self) -> None:
        with transaction(self._engine) as conn:
            if self._embedded:
                schema.migrate(conn)
                return
            schema.check(conn)
            if not self.is_sqlite:  # where no row is held
                make_hold(conn)  # they may be of Alembic's making

    # --- when the file is taken away ------------------------------------------------------------

    def _make_sure_of(self, watched: Opened | None) -> None:
        """Have what was just committed in the file that is found from now on.

        :param watched: the one that it was committed to.
        :raises TakenAway: it is not in there. Another file was put in the place of that one, by
            another process that wrote it back perhaps, or another thread had no more patience.
        """
        if watched is None or self._guard is None:
            return
        if self._guard.is_there(watched) and not self._guard.is_stripped():
            return
        was_copied = watched.is_copied
        self._recover(self._guard)
        if was_copied or not watched.is_restored:
            raise TakenAway("its file was taken away while this was written to it")

    def _recover(self, guard: Guard) -> None:
        # Others commit first what they have begun, to the file that is written back.
        with forks.gate.closed(), making_ready(self._preparing.here):
            set_right(self._engine, guard, self._open_anew)

    def _is_well(self, guard: Guard) -> bool:
        """Set it right, if need be, before a fork; say whether it is. Never raises."""
        try:
            with told(self.location), making_ready(self._preparing.here):
                set_right(self._engine, guard, self._open_anew)
        except LedgerUnavailable as e:
            log.error("Before a fork: %s", e)
            return False
        return True

    def _open_anew(self) -> None:
        self._prepared = False  # whatever keeps this from being done is tried again
        # What was moved away is closed without a last checkpoint: SQLite notices.
        self._engine.dispose()
        if self._guard is not None:
            self._guard.forget()
        self._furnish()


def _dispose(engine: Engine) -> None:
    with forks.gate.passed():
        engine.dispose()


def _guard_for(url: URL) -> Guard | None:
    if os.name != "posix" or url.get_backend_name() != "sqlite" or in_memory(url):
        return None
    return Guard(Path(url.database or ""))


def _autocommit(conn: Connection, pragma: str) -> Sequence[Any]:
    # Past SQLAlchemy, which would begin a transaction, in which nothing can be checkpointed.
    driver: Any = conn.connection.driver_connection
    with closing(driver.execute(pragma)) as cursor:
        answer: Sequence[Any] = cursor.fetchone()
    return answer
