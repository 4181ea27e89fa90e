"""``atomic``: one transaction, and what is left of it when its connection ends.

Nothing, if that was before COMMIT was sent: it may be done once more. Later nobody knows, and
whoever wrote something finds it by a unique key, or does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from .said import READ_ONLY
from .said import codes_of
from .said import words_of
from .waiting import CONNECT_WAIT


class CutOff(ConnectionError):
    """The server keeps nothing of the transaction, and another connection may do better."""


class CommitUnanswered(ConnectionError):
    """The connection ended after COMMIT was sent, so that it may have been done."""


@contextmanager
def atomic(conn: Connection, renew: Callable[[], object]) -> Iterator[None]:
    """One transaction; committed at the end of the block.

    :param renew: drops the idle connections, which are as old as this one.
    :raises CutOff: its connection ended, or takes no writes; but not when that took long, because
        whoever waits for a server that is silent is not to wait for it twice.
    :raises CommitUnanswered: as it says.
    """
    began, is_done = time.monotonic(), False
    try:
        with conn.begin():
            yield
            is_done = True
    except DBAPIError as e:
        if _takes_no_writes(e):  # made in a failover, it would stay so
            conn.invalidate()
            renew()
        raise _said_by(e, is_done=is_done, began=began) from None


def _said_by(error: DBAPIError, *, is_done: bool, began: float) -> Exception:
    words = words_of(error.orig or error)
    if _takes_no_writes(error):
        return CutOff(words)
    if error.connection_invalidated and is_done:
        return CommitUnanswered(words)
    is_soon = time.monotonic() - began <= CONNECT_WAIT
    return CutOff(words) if error.connection_invalidated and is_soon else error


def _takes_no_writes(error: DBAPIError) -> bool:
    return not READ_ONLY.isdisjoint(codes_of(error.orig))
