"""PostgreSQL behind a pooler, PgBouncer for one, that gives each transaction another connection.

What was set there for a session, or prepared, is somebody else's a moment later.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import Connection

#: What a connection's ``info`` says where a pooler is in between.
_IS_POOLED = "partnerstack_is_pooled"


def set_up_postgresql(connection: Any, record: Any) -> None:
    """Bound how long a statement of a new connection waits for a row, or a table.

    Behind a pooler nothing is left on it, and psycopg prepares nothing: a statement of that name
    may be another client's there. https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
    """
    with closing(connection.cursor()) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        if _is_told(connection, *cursor.fetchone()):
            cursor.execute("SET lock_timeout = 2500")
        else:
            record.info[_IS_POOLED] = True
            if hasattr(connection, "prepare_threshold"):  # psycopg2 prepares nothing by itself
                connection.prepare_threshold = None
    connection.commit()


def _is_told(connection: Any, process: int) -> bool:
    """Say whether the server's process is the one that the connection was told of.

    A pooler's clients are told a number of its own, as they have no process for themselves.
    """
    told = getattr(getattr(connection, "info", None), "backend_pid", process)
    return bool(told == process)


def bound_pooled(conn: Connection) -> None:
    """Bound the waits of this transaction alone, where a pooler is in between."""
    if _IS_POOLED in conn.info:
        conn.exec_driver_sql("SET LOCAL lock_timeout = 2500")
