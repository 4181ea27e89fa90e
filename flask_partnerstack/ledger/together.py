"""``Together``: what several threads write at the same moment is committed at once.

A commit waits for the disk and costs more than what it commits, so those that come while one is
under way share the next. Nobody waits for company, and each returns when its own is committed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TypeVar
from typing import cast

from sqlalchemy import Connection

from .. import forks
from .storage import Storage

T = TypeVar("T")


@dataclass(eq=False)
class _Part:
    """What one thread wants to write, and what came of it."""

    act: Callable[[Connection], Any]
    is_done: bool = False
    result: Any = field(default=None, repr=False)
    error: Exception | None = None


class Together:
    """Writes to one ledger from many threads, in as few transactions as they need."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: deque[_Part] = deque()
        self._locks: dict[str, threading.Lock] = {}
        forks.watch(self)

    def write(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in a transaction that others may share, and return when it is committed.

        :param act: what is written. It may run twice: when another of the same transaction fails,
            all are rolled back, and each is written alone.
        :raises LedgerUnavailable: as :meth:`Storage.write`; and whatever ``act`` raises.
        """
        part = _Part(act)
        self._waiting.append(part)
        # Made at its first use: gevent replaces locks after an app is loaded (see Database).
        with self._locks.setdefault("turn", threading.Lock()):
            if not part.is_done:
                self._write_waiting(part)
        if part.error is not None:
            raise part.error
        return cast("T", part.result)

    def before_fork(self) -> None:
        """Nothing to let go: no thread of the parent's crosses a fork."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads, and what they wait for."""
        self._locks = {}
        self._waiting = deque()

    def _write_waiting(self, mine: _Part) -> None:
        parts = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._write(parts)
        except BaseException:  # the thread is being ended; the others look after themselves
            left = [part for part in parts if part is not mine and not part.is_done]
            self._waiting.extendleft(reversed(left))
            raise

    def _write(self, parts: Sequence[_Part]) -> None:
        try:
            with self._storage.write() as conn:
                results = [part.act(conn) for part in parts]
        except Exception as e:  # noqa: BLE001 - whoever wrote it is told
            self._part(parts, e)
        else:
            for part, result in zip(parts, results, strict=True):
                part.result, part.is_done = result, True

    def _part(self, parts: Sequence[_Part], error: Exception) -> None:
        """Write each alone, because one of them failed; that one is told."""
        if len(parts) == 1:
            parts[0].error, parts[0].is_done = error, True
            return
        for part in parts:
            self._write([part])
