"""``BoundedConnection``: psycopg's, which does not wait for ever for a server that is silent.

Imported only where that is the driver.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from psycopg import Connection
from psycopg import OperationalError

from . import waiting


class NoAnswer(OperationalError):
    """The server said nothing for too long."""


class BoundedConnection(Connection[Any]):
    """A connection that is closed when its server says nothing for ``ANSWER_WAIT``.

    libpq has no such bound. Psycopg waits by itself, and since 3.2.4 comes by ten times a second,
    for Ctrl-C; before, only what the kernel knows of the server's host bounds a wait.
    """

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the server to do what ``gen`` is about."""
        try:
            return super().wait(_bounded(gen), *args, **options)
        except NoAnswer:
            self.pgconn.finish()  # what it says later would be taken for another answer
            raise

    def __del__(self, *_given: Any) -> None:
        """Close it without a warning: a pool that is disposed of lets go of what comes back to it.

        https://docs.sqlalchemy.org/en/20/core/connections.html#engine-disposal
        """
        if hasattr(self, "pgconn"):  # it came about
            self.close()


def _bounded(gen: Any) -> Generator[Any, Any, Any]:
    """Do as ``gen``, which is told when it may go on, or nothing when it was just come by."""
    deadline = time.monotonic() + waiting.ANSWER_WAIT
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                deadline = time.monotonic() + waiting.ANSWER_WAIT
            elif time.monotonic() > deadline:
                raise NoAnswer(f"the server said nothing for {waiting.ANSWER_WAIT} seconds")
            wanted = gen.send(ready)
    except StopIteration as e:
        return e.value
