"""Engines of our own: how a connection is made, kept, and waits for SQLite's lock."""

from __future__ import annotations

import logging
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from typing import cast

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import QueuePool
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.exc import OperationalError

from ..errors import ConfigurationError
from .atomic import atomic
from .pooled import bound_pooled
from .pooled import set_up_postgresql
from .waiting import bound_answers
from .waiting import connect_arguments

LEDGER_URL = "PARTNERSTACK_LEDGER_URL"

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

#: How far our transactions are kept apart, whatever is the server's default. At a stricter level
#: PostgreSQL refuses what we let wait by locks of our own, and MySQL locks whatever is only read. A
#: laxer one cannot be written there where the binary log holds statements.
ISOLATION = {
    "postgresql": "READ COMMITTED",
    "mysql": "REPEATABLE READ",
    "mariadb": "REPEATABLE READ",
}

#: What SQLAlchemy calls the ledger's engines in its log.
_LOGGED_AS = "partnerstack"


def _is_no_row(record: logging.LogRecord) -> bool:
    """Say whether a line of SQLAlchemy's may be logged: at DEBUG it says rows, with customers."""
    return record.levelno > logging.DEBUG


logging.getLogger(f"sqlalchemy.engine.Engine.{_LOGGED_AS}").addFilter(_is_no_row)


def parse_url(text: str) -> URL:
    """Read a SQLAlchemy URL.

    :raises ConfigurationError: without showing it, because it may hold a password.
    """
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # whose text may quote the password
        raise ConfigurationError(
            LEDGER_URL,
            "expected a SQLAlchemy URL, like postgresql+psycopg://user:password@host/db.",
        ) from None


def location_of(url: URL) -> str:
    """Return where a database lies, as a URL that may be shown: without its password.

    Drivers take one in the query as well, under names of their own. So of that is shown only what
    says where.
    """
    where = {name: value for name, value in url.query.items() if name in _WHERE}
    return url.set(query=where).render_as_string(hide_password=True)


_WHERE = ("host", "port", "service", "unix_socket", "mode", "uri")


def make_engine(url: URL) -> Engine:
    """Return an engine for a ledger of its own; it connects at its first use.

    :raises ConfigurationError: when no driver for the URL is installed.
    """
    try:
        engine = create_engine(url, **_options(url))
    except (ModuleNotFoundError, NoSuchModuleError) as e:
        raise ConfigurationError(
            LEDGER_URL,
            f"no driver for {url.drivername} is installed ({e}). Expected postgresql+psycopg://… "
            "(pip install 'Flask-PartnerStack[postgresql]'), mysql+pymysql://… ('[mysql]'), or a "
            "driver of your own.",
        ) from e
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", set_up_postgresql)
    elif engine.dialect.name in _BOUND_LOCK_WAIT:
        event.listen(engine, "connect", _bound_lock_wait(engine.dialect.name))
    bound_answers(engine)
    return engine


#: Bounds how long a statement waits for a row, or a table, that somebody else holds: 50 seconds and
#: a day or a year on MySQL and MariaDB unless told, for ever on PostgreSQL. A signup must not.
_BOUND_LOCK_WAIT = {
    "mysql": "SET innodb_lock_wait_timeout = 2, lock_wait_timeout = 2",
    "mariadb": "SET innodb_lock_wait_timeout = 2, lock_wait_timeout = 2",
}


def _bound_lock_wait(dialect: str) -> Callable[[Any, object], None]:
    def bound(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(_BOUND_LOCK_WAIT[dialect])
        connection.commit()

    return bound


def _options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {
        "hide_parameters": True,
        "logging_name": _LOGGED_AS,
        "poolclass": QueuePool,
        "pool_size": KEPT_CONNECTIONS,
        "max_overflow": MORE_CONNECTIONS,
        "pool_timeout": POOL_WAIT,
        "pool_use_lifo": True,
    }
    if url.get_backend_name() != "sqlite":
        return {**options, **_server_options(url)}
    if in_memory(url):
        # One connection, taken in turns: a second would be a second, empty ledger.
        options.update(pool_size=1, max_overflow=0)
    return {**options, "connect_args": {"timeout": 0.0, "check_same_thread": False}}


def _server_options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {"connect_args": connect_arguments(url)}
    level = ISOLATION.get(url.get_backend_name())  # a driver of your own keeps what it has
    return options if level is None else {**options, "isolation_level": level}


def in_memory(url: URL) -> bool:
    """Say whether the ledger is a SQLite database that no file holds."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # We begin our transactions ourselves; sqlite3 would begin them too late, after reading.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        # Where several processes open a new file at once, switching it to WAL finds it locked,
        # and SQLite waits for nobody then, whatever its busy timeout.
        patiently(partial(connection.execute, f"PRAGMA {pragma}"))


@contextmanager
def transaction(engine: Engine, *, reading: bool = False) -> Iterator[Connection]:
    """One transaction over an engine of our own; committed at the end of the block.

    Not by SQLAlchemy's event: with any listener, each statement looks for listeners of all kinds.

    :param reading: it only reads, and so waits for no writer on SQLite.
    """
    with engine.connect() as conn:
        _ask_first(engine, conn)
        with atomic(conn, renew=engine.dispose):
            if engine.dialect.name == "sqlite":
                _begin_sqlite(conn, reading=reading)
            else:
                bound_pooled(conn)
            yield conn


def _ask_first(engine: Engine, conn: Connection) -> None:
    """Notice a connection that ended before anything depends on it.

    Not by the engine's ``pool_pre_ping``: that asks for who is not afraid of a failure, too.
    """
    if not is_alive(conn):
        conn.invalidate()  # it connects anew by itself
        engine.dispose()  # and not with one of the others, which ended with it


def is_alive(conn: Connection) -> bool:
    """Say whether a pooled connection still leads to its server, unless the pool asks itself.

    What stops whoever asks is no answer: a ``gevent.Timeout`` of the app's, or a worker's end.
    """
    if conn.dialect.name == "sqlite" or getattr(conn.engine.pool, "_pre_ping", False):
        return True
    seen_to = sys.exc_info()[1]  # whoever asks may be about to see to an exception of their own
    try:
        return conn.dialect.do_ping(cast("Any", conn.connection.dbapi_connection))
    except conn.dialect.loaded_dbapi.Error as e:
        # Psycopg's connection is in the middle of the question then, and says only that.
        stopped_by = e.__context__
    if stopped_by in (None, seen_to) or isinstance(stopped_by, Exception):
        return False
    conn.invalidate()
    raise stopped_by


def _begin_sqlite(conn: Connection, *, reading: bool) -> None:
    driver: Any = conn.connection.driver_connection
    if reading:
        driver.execute("BEGIN")
        return
    # A transaction that reads first and writes later fails with "database is locked" whatever
    # the timeout; one that takes the write lock at its beginning can wait for it.
    patiently(partial(driver.execute, "BEGIN IMMEDIATE"))


def patiently(act: Callable[[], object]) -> None:
    """Do what may find the file locked, again and again for ``BUSY_WAIT``.

    In short random pauses: SQLite's own grow to a tenth of a second, and a process that sleeps so
    long misses every moment in which the lock is free.
    """
    deadline = time.monotonic() + BUSY_WAIT
    while not _is_done(act, last_try=time.monotonic() >= deadline):
        # SQLite tells nobody that its lock is free; random, so that waiters do not meet again.
        time.sleep(random.random() * BUSY_PAUSE)  # noqa: S311 - spreads waiters, guards nothing


def _is_done(act: Callable[[], object], *, last_try: bool) -> bool:
    try:
        act()
    except (OperationalError, sqlite3.OperationalError) as e:
        # sqlite3 has told its error codes apart since Python 3.11; the words are older.
        if last_try or "locked" not in str(e):
            raise
        return False
    return True


def same_database(one: URL, other: URL) -> bool:
    """Say whether two URLs lead to the same database, whatever driver and user they name."""
    if one.get_backend_name() != other.get_backend_name():
        return False
    if one.get_backend_name() == "sqlite":
        return Path(one.database or "").absolute() == Path(other.database or "").absolute()
    return _address(one) == _address(other)


def _address(url: URL) -> tuple[object, ...]:
    host = url.query.get("host", url.host)  # drivers take it, and these, in the query as well
    port = url.query.get("port", url.port or _PORTS.get(url.get_backend_name()))
    by_name = [url.query.get(name) for name in ("unix_socket", "service")]
    here = "127.0.0.1" if host in (None, "localhost") else host
    return (here, str(port), *by_name, url.database or url.username)


_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
