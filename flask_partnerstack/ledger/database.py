"""``Database``: connections to where the ledger lies, made late, kept, and one process's own."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import Pool
from sqlalchemy import QueuePool
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from .. import forks
from ..errors import ConfigurationError
from ..errors import LedgerUnavailable
from . import schema
from .guard import Condition
from .guard import Guard

log = logging.getLogger("flask_partnerstack")

#: Seconds that a caller waits for its turn among this process's writers, for a pooled
#: connection, and for SQLite's write lock. Together 5: no signup ever waits longer.
TURN_WAIT = 1.0
POOL_WAIT = 1.5
BUSY_WAIT = 2.5
#: The longest pause between two tries at SQLite's write lock.
BUSY_PAUSE = 0.002
#: Connections that a process keeps, and how many more it opens for a moment.
KEPT_CONNECTIONS = 8
MORE_CONNECTIONS = 24

LEDGER_URL = "PARTNERSTACK_LEDGER_URL"


def parse_url(text: str) -> URL:
    """Read a SQLAlchemy URL.

    :raises ConfigurationError: without showing it, because it may hold a password.
    """
    try:
        return make_url(text)
    except (ArgumentError, ValueError) as e:
        raise ConfigurationError(
            LEDGER_URL,
            "expected a SQLAlchemy URL, like postgresql+psycopg://user:password@host/db.",
        ) from e


class Database:
    """Connections to the ledger's database.

    :param url: where the ledger lies.
    :param embedded: ours alone, so that its tables are made and migrated at first use; else
        ``flask partnerstack init-db`` does that.
    :raises ConfigurationError: when no driver for the URL is installed.
    """

    def __init__(self, url: URL, *, embedded: bool) -> None:
        self.url = url
        self.location = url.render_as_string(hide_password=True)
        self._embedded = embedded
        self._engine = _engine(url)
        self._prepared = False
        self._locks: dict[str, threading.Lock] = {}
        self._abandoned: list[Pool] = []
        self._guard = _guard_for(url)
        weakref.finalize(self, self._engine.dispose)  # of an app that is dropped
        forks.watch(self)

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is a SQLite file, or in memory."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the end of the block.

        :raises LedgerUnavailable: whatever the database says, but a broken constraint.
        """
        with self._speaking(), self._turn(), self._engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads, and so waits for no writer on SQLite.

        :raises LedgerUnavailable: whatever the database says.
        """
        connect = self._engine.connect
        with self._speaking(), connect() as conn, conn.execution_options(**_READING).begin():
            yield conn

    def migrate(self) -> int:
        """Make or migrate the tables; return the version that was there before.

        :raises LedgerUnavailable: as :meth:`write`, and when they are newer than this package.
        """
        with self._told(), self._engine.begin() as conn:
            return schema.migrate(conn)

    def overwrite_what_is_deleted(self, conn: Connection) -> None:
        """Let SQLite write zeros over what this transaction takes out of its file.

        https://www.sqlite.org/pragma.html#pragma_secure_delete
        """
        if self.is_sqlite:
            conn.exec_driver_sql("PRAGMA secure_delete=ON")

    def forget_old_pages(self) -> None:
        """Empty SQLite's write-ahead log, which keeps what was there before, if nobody reads it."""
        if self.is_sqlite:
            with self._speaking(), self._engine.connect() as conn:
                _autocommit(conn, "PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close every idle connection; the next use opens a new one."""
        self._engine.dispose()
        if self._guard is not None:
            self._guard.forget()
        self._prepared = False

    def before_fork(self) -> None:
        """Close idle connections: a SQLite connection must not cross a fork, not even to be closed.

        https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
        """
        if not _in_memory(self.url):
            self._engine.dispose()

    def after_fork_in_child(self) -> None:
        """Forget connections that were in use, without closing them: they are the parent's."""
        self._abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        if self._guard is not None:
            self._guard.forget()
        self._prepared = False
        self._locks = {}

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let this process's writers take turns on SQLite, whose own waiting is not fair.

        A signup beside a busy delivery would sleep through one free moment after the other. It is
        only manners: SQLite's lock decides, so whoever has waited long enough goes ahead.
        """
        writing = self._lock("writing")
        ours = self.is_sqlite and writing.acquire(timeout=TURN_WAIT)
        try:
            yield
        finally:
            if ours:
                writing.release()

    def _lock(self, name: str) -> threading.Lock:
        """Return a lock, made at its first use.

        gunicorn's gevent worker replaces locks by its own kind after it has loaded and forked the
        app (``--preload``). One of the old kind, waited for by a greenlet, stops them all.
        """
        return self._locks.setdefault(name, threading.Lock())

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with self._told():
            if not self._prepared:
                self._prepare()
            elif self._guard is not None and self._guard.look() is not Condition.WELL:
                self._recover(self._guard)
            yield

    def _prepare(self) -> None:
        with self._lock("preparing"):
            if not self._prepared:
                if not _in_memory(self.url):
                    self._engine.dispose()  # its pool has locks, too
                self._furnish()

    def _furnish(self) -> None:
        try:
            self._make_or_check()
        except DatabaseError as e:
            if self._guard is None or not self._embedded or "not a database" not in str(e.orig):
                raise
            self._set_aside(self._guard)
            self._make_or_check()
        if self._guard is not None:
            self._guard.watch()
        self._prepared = True

    def _make_or_check(self) -> None:
        with self._engine.begin() as conn:
            if self._embedded:
                schema.migrate(conn)
            else:
                schema.check(conn)

    # --- when the file is taken away ------------------------------------------------------------

    def _recover(self, guard: Guard) -> None:
        with self._lock("preparing"):
            condition = guard.look()
            if condition is Condition.WELL:
                return
            if condition is Condition.DAMAGED or guard.is_foreign():
                self._set_aside(guard)
            if condition is not Condition.DAMAGED:
                self._rescue(guard)
            # What was moved away is closed without a last checkpoint: SQLite notices.
            self._engine.dispose()
            guard.forget()
            self._furnish()

    def _rescue(self, guard: Guard) -> None:
        """Write down what the file held that is gone, from a connection that has it open."""
        if self._engine.pool.checkedin() == 0:  # type: ignore[attr-defined]  # a QueuePool's
            log.error(
                "The ledger %s was taken away, and nobody here had it open. %s",
                guard.path,
                "Restore it from a backup; a new one is begun where there is none.",
            )
            return
        connection = self._engine.raw_connection()
        try:
            driver: Any = connection.driver_connection
            if guard.restore(driver):
                log.error("The ledger %s was taken away. It is written back, whole.", guard.path)
            else:
                log.error(
                    "The ledger %s was replaced by another file, which is used from now on. "
                    "What the old one held is in %s.",
                    guard.path,
                    guard.save(driver),
                )
        finally:
            connection.close()

    def _set_aside(self, guard: Guard) -> None:
        aside = guard.set_aside()
        if aside is not None:
            log.error(
                "What lies in the place of the ledger %s is no database. It is set aside as %s. "
                "If it was the ledger, what it held and was not delivered yet is to be had from "
                "a backup, or perhaps by sqlite3 %s .recover",
                guard.path,
                aside,
                aside,
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a database says into :class:`LedgerUnavailable`, with the way out."""
        try:
            yield
        except IntegrityError:
            raise
        except schema.SchemaMissing as e:
            raise LedgerUnavailable(
                self.location, "its tables are missing or old. Run: flask partnerstack init-db"
            ) from e
        except schema.SchemaTooNew as e:
            raise LedgerUnavailable(
                self.location, f"its tables (version {e}) need a newer Flask-PartnerStack."
            ) from e
        except (SQLAlchemyError, sqlite3.Error, OSError) as e:
            raise LedgerUnavailable(self.location, _reason(e)) from e


_READING = {"partnerstack_reading": True}


def _reason(error: Exception) -> str:
    # Of a database's error only its own words: the statement and its parameters hold e-mails.
    told = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(told).split())[:300]


def _guard_for(url: URL) -> Guard | None:
    if os.name != "posix" or url.get_backend_name() != "sqlite" or _in_memory(url):
        return None
    return Guard(Path(url.database or ""))


def _engine(url: URL) -> Engine:
    try:
        engine = create_engine(url, **_options(url))
    except (ModuleNotFoundError, NoSuchModuleError) as e:
        raise ConfigurationError(
            LEDGER_URL,
            f"no driver for {url.drivername} is installed ({e}). "
            "pip install 'Flask-PartnerStack[postgresql]' or '[mysql]' brings one.",
        ) from e
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {
        "hide_parameters": True,
        "poolclass": QueuePool,
        "pool_size": KEPT_CONNECTIONS,
        "max_overflow": MORE_CONNECTIONS,
        "pool_timeout": POOL_WAIT,
        "pool_use_lifo": True,
    }
    if url.get_backend_name() != "sqlite":
        return {**options, "pool_pre_ping": True}
    if _in_memory(url):
        # One connection, taken in turns: a second would be a second, empty ledger.
        options.update(pool_size=1, max_overflow=0)
    return {**options, "connect_args": {"timeout": 0.0, "check_same_thread": False}}


def _in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # We begin our transactions ourselves; sqlite3 would begin them too late, after reading.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        # Where several processes open a new file at once, switching it to WAL finds it locked,
        # and SQLite waits for nobody then, whatever its busy timeout.
        _patiently(partial(connection.execute, f"PRAGMA {pragma}"))


def _autocommit(conn: Connection, pragma: str) -> None:
    # Past SQLAlchemy, which would begin a transaction, in which nothing can be checkpointed.
    driver: Any = conn.connection.driver_connection
    driver.execute(pragma).close()


def _begin_sqlite(conn: Connection) -> None:
    if conn.get_execution_options().get("partnerstack_reading"):
        conn.exec_driver_sql("BEGIN")
        return
    # A transaction that reads first and writes later fails with "database is locked" whatever
    # the timeout; one that takes the write lock at its beginning can wait for it.
    _patiently(partial(conn.exec_driver_sql, "BEGIN IMMEDIATE"))


def _patiently(act: Callable[[], object]) -> None:
    """Do what may find the file locked, again and again for ``BUSY_WAIT``.

    In short random pauses: SQLite's own grow to a tenth of a second, and a process that sleeps so
    long misses every moment in which the lock is free.
    """
    deadline = time.monotonic() + BUSY_WAIT
    while not _is_done(act, last_try=time.monotonic() >= deadline):
        time.sleep(random.random() * BUSY_PAUSE)  # noqa: S311 - guards nothing


def _is_done(act: Callable[[], object], *, last_try: bool) -> bool:
    try:
        act()
    except (OperationalError, sqlite3.OperationalError) as e:
        # sqlite3 has told its error codes apart since Python 3.11; the words are older.
        if last_try or "locked" not in str(e):
            raise
        return False
    return True
