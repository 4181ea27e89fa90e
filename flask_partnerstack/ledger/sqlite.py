"""SQLite over a connection that is not ours: in which mode it is, and how to begin a write."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Engine

from .tables import facts

# What Python 3.12 and later call sqlite3.LEGACY_TRANSACTION_CONTROL.
_LEGACY = -1
#: Seconds between two tries at a lock: SQLite tells nobody that one is free.
_PAUSE = 0.005


def is_legacy(driver: Any) -> bool:
    """Say whether sqlite3 begins transactions by itself, before the first write.

    Its default. A savepoint does not begin one then, so that releasing it commits.
    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    """
    return getattr(driver, "autocommit", _LEGACY) == _LEGACY and driver.isolation_level is not None


def begin_writing(conn: Connection) -> None:
    """Take the write lock at the beginning of a transaction, whoever began it."""
    driver: Any = conn.connection.driver_connection
    if driver.in_transaction:  # begun by the app's own event: a first write takes the lock as well
        conn.execute(facts.update().where(facts.c.name == ""), {"value": ""})
    else:
        conn.exec_driver_sql("BEGIN IMMEDIATE")


def can_write(engine: Engine, *, within: float) -> bool:
    """Say whether a write could be committed, tried for ``within`` seconds.

    An exclusive lock is asked for, because without WAL a reader stands in the way of a commit. By
    a connection of its own, because the busy timeout of the app's connections is the app's.
    """
    connect = engine.dialect.loaded_dbapi.connect
    args, options = engine.dialect.create_connect_args(engine.url)
    deadline = time.monotonic() + within
    with closing(connect(*args, **{**options, "timeout": 0.0, "isolation_level": None})) as driver:
        act = partial(driver.execute, "BEGIN EXCLUSIVE")
        while not _succeeds(engine, act):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)  # SQLite tells nobody that a lock is free
        driver.execute("ROLLBACK")
    return True


def _succeeds(engine: Engine, act: partial[Any]) -> bool:
    try:
        act()
    except engine.dialect.loaded_dbapi.OperationalError:
        return False
    return True
