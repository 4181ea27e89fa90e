"""How long the ledger waits for a database server that is away, or falls silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import event

#: Seconds in which a connection comes about.
CONNECT_WAIT = 3
#: Seconds that a server may say nothing before its connection is given up. Nothing that a signup
#: asks of one takes so long: it waits for a row, or a table, for two or three. What a person asks
#: of a very large ledger may; their URL can say so.
ANSWER_WAIT = 10

#: Seconds in which another thread of the process has made a ledger ready, or found out that it
#: cannot. Whoever waited for longer is refused: if each tried in its turn, the last would wait for
#: as long as all before it.
READY_WAIT = 2.5


@contextmanager
def making_ready(lock: threading.Lock) -> Iterator[None]:
    """Let one thread after the other make a ledger ready.

    :raises TimeoutError: another one is at it for too long.
    """
    if not lock.acquire(timeout=READY_WAIT):
        raise TimeoutError("another thread is making it ready, and is not done")
    try:
        yield
    finally:
        lock.release()


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return what a driver is told of our waits, but for what the URL says itself."""
    waits: dict[str, Any] = {}
    if url.get_driver_name() in ("pymysql", "mysqldb"):
        waits = {"read_timeout": ANSWER_WAIT, "write_timeout": ANSWER_WAIT}
    elif url.get_driver_name() in ("psycopg", "psycopg2"):
        waits = {**_PROBES, "tcp_user_timeout": round(ANSWER_WAIT * 1000)}
    if waits:
        waits["connect_timeout"] = CONNECT_WAIT
    return {name: wait for name, wait in waits.items() if name not in url.query}


#: A host that went away without a word is known by what the kernel asks it, which a host that
#: stays and says nothing answers. https://www.postgresql.org/docs/current/libpq-connect.html
_PROBES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


def bound_answers(engine: Engine) -> None:
    """Bound the wait for an answer where it takes more than an argument."""
    connect = _BOUNDED.get(engine.dialect.driver)
    if connect is not None:
        event.listen(engine, "do_connect", connect)


def _connect_psycopg(_dialect: object, _record: object, args: Any, options: Any) -> object:
    from ._bounded_psycopg import BoundedConnection  # the driver is an extra

    return BoundedConnection.bounded(*args, **options)


def _connect_pymysql(_dialect: object, _record: object, args: Any, options: Any) -> object:
    from ._bounded_pymysql import BoundedConnection  # the driver is an extra

    return BoundedConnection(*args, **options)


_BOUNDED = {"psycopg": _connect_psycopg, "pymysql": _connect_pymysql}
