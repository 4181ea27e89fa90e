"""``BoundedConnection``: PyMySQL's, which comes about in time or not at all.

Imported only where that is the driver.
"""

from __future__ import annotations

from typing import Any

from pymysql.connections import Connection


class BoundedConnection(Connection):  # type: ignore[misc]  # PyMySQL says no types
    """A connection whose server has as long for each of its first words as its host to answer.

    PyMySQL waits for them as long as for the answer to a statement, ``read_timeout``, so that
    whoever connects anew to a silent server would wait twice as long.
    """

    _read_timeout: float | None

    def connect(self, sock: Any = None) -> None:
        """Connect, waiting for each answer no longer than ``connect_timeout``."""
        answer_wait, self._read_timeout = self._read_timeout, self._connect_wait()
        try:
            super().connect(sock)
        finally:
            self._read_timeout = answer_wait

    def _connect_wait(self) -> float:
        waits = (self.connect_timeout, self._read_timeout)
        return min(wait for wait in waits if wait is not None)
