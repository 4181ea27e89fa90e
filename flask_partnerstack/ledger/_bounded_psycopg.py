"""``BoundedConnection``: psycopg's, which does not wait for ever for a server that is silent.

Imported only where that is the driver.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any

from psycopg import Connection
from psycopg import OperationalError

from . import waiting


class NoAnswer(OperationalError):
    """The server said nothing for too long."""


class BoundedConnection(Connection[Any]):
    """A connection that is closed when its server says nothing for ``answer_wait`` seconds.

    libpq has no such bound. Psycopg waits by itself, and since 3.2.4 comes by ten times a second,
    for Ctrl-C; before, only what the kernel knows of the server's host bounds a wait.
    """

    answer_wait: float = 0

    @classmethod
    def bounded(cls, *args: Any, **options: Any) -> BoundedConnection:
        """Connect; wait for answers as long as the ``tcp_user_timeout`` says, in milliseconds.

        That is libpq's word for what the kernel waits for. 0 is for ever, as it is there.
        """
        conn = cls.connect(*args, **options)
        told = int(options.get("tcp_user_timeout", 1000 * waiting.ANSWER_WAIT))
        conn.answer_wait = told / 1000 or math.inf
        return conn

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the server to do what ``gen`` is about."""
        try:
            return super().wait(_bounded(gen, self.answer_wait), *args, **options)
        except NoAnswer:
            self.pgconn.finish()  # what it says later would be taken for another answer
            raise

    def __del__(self, *_given: Any) -> None:
        """Close it without a warning: a pool that is disposed of lets go of what comes back to it.

        https://docs.sqlalchemy.org/en/20/core/connections.html#engine-disposal
        """
        if hasattr(self, "pgconn"):  # it came about
            self.close()


def _bounded(gen: Any, answer_wait: float) -> Generator[Any, Any, Any]:
    """Do as ``gen``, which is told when it may go on, or nothing when it was just come by."""
    deadline = time.monotonic() + answer_wait
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                deadline = time.monotonic() + answer_wait
            elif time.monotonic() > deadline:
                raise NoAnswer(f"the server said nothing for {answer_wait:g} seconds")
            wanted = gen.send(ready)
    except StopIteration as e:
        return e.value
