"""What must not live on in a forked child: one registration with the interpreter, for all; locks.

``os.register_at_fork`` cannot be taken back, so registering each ledger and engine would keep them
alive for ever. Here the interpreter is told once, and they are remembered weakly.

And what must not be under way while the process is forked: the gate.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from typing import Any
from typing import Final
from typing import Protocol

#: Seconds that a fork waits for what other threads are about, and they for a fork.
PATIENCE = 2.0


class ForkAware(Protocol):
    """Something that holds a thread, a file or a connection."""

    def before_fork(self) -> None:
        """In the parent, just before: let go of what can be let go."""

    def after_fork_in_child(self) -> None:
        """In the child, first thing: forget what belongs to the parent."""


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def watch(thing: ForkAware) -> None:
    """Tell ``thing`` of every fork for as long as it lives."""
    _aware.add(thing)


class LateLock:
    """A lock that each process makes at its first use.

    gunicorn's gevent worker replaces locks by its own kind after it has loaded and forked the app
    (``--preload``). One of the old kind, waited for by a greenlet, stops them all. And one that
    somebody held while the process was forked is never free again in the child, also where uWSGI
    forks without a word to the interpreter.

    :param reentrant: the thread that holds it may take it once more.
    """

    def __init__(self, *, reentrant: bool = False) -> None:
        self._reentrant = reentrant
        self._locks: dict[int, threading.Lock] = {}

    @property
    def here(self) -> threading.Lock:
        """This process's lock."""
        # Typeshed has no common name for the two.
        made: Any = threading.RLock() if self._reentrant else threading.Lock()
        return self._locks.setdefault(os.getpid(), made)


class Gate:
    """Keeps a fork out of what other threads are about, and them out of it while one is due.

    A database library has locks of its own, SQLite's table of files for one. One that a thread of
    the parent holds at the fork is never free again in the child: it waits in vain, or for ever.

    So does whoever puts another file in the place of a ledger's: a transaction that is under way
    would be committed to the old one.

    :param patience: seconds after which either goes ahead all the same.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._passages: dict[int, _Passage] = {}

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Let no other thread fork within the block. Whoever is inside may pass once more."""
        passage, thread = self._here, threading.get_ident()
        passage.enter(thread)
        try:
            yield
        finally:
            if passage is self._here:  # else this is a child, that was forked within the block
                passage.leave(thread)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keep it closed within the block."""
        try:
            self.close()  # whoever waits there may be stopped, by a time-out of the app's perhaps
            yield
        finally:
            self.open()

    def close(self) -> None:
        """Wait until no other thread is inside, and let none in. For whoever is about to fork.

        Two that close it at once do not wait for each other.
        """
        self._here.close(threading.get_ident())

    def open(self) -> None:
        """Let them in again, in the parent."""
        self._here.open(threading.get_ident())

    def forget(self) -> None:
        """Forget who was inside, in the child: they are not there."""
        self._passages.clear()

    @property
    def _here(self) -> _Passage:
        """This process's own, for the reasons of :class:`LateLock`."""
        process = os.getpid()
        found = self._passages.get(process)
        return found or self._passages.setdefault(process, _Passage(self._patience))


class _Passage:
    """Who is inside, and who forks, in one process: each thread, and how often."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        #: Reentrant, because the garbage that is collected meanwhile may be a ledger's.
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._inside: dict[int, int] = {}
        self._forking: dict[int, int] = {}

    def enter(self, thread: int) -> None:
        with self._lock:
            if self._forking and thread not in self._inside and thread not in self._forking:
                self._change.wait_for(lambda: not self._forking, self._patience)
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def leave(self, thread: int) -> None:
        with self._lock:
            _count_down(self._inside, thread)
            if self._forking:
                self._change.notify_all()

    def close(self, thread: int) -> None:
        with self._lock:
            self._forking[thread] = self._forking.get(thread, 0) + 1
            self._change.notify_all()  # two that fork at once do not wait for each other
            self._change.wait_for(
                lambda: self._inside.keys() <= self._forking.keys(), self._patience
            )

    def open(self, thread: int) -> None:
        with self._lock:
            _count_down(self._forking, thread)
            self._change.notify_all()


def _count_down(counts: dict[int, int], thread: int) -> None:
    count = counts.pop(thread, 1) - 1
    if count:
        counts[thread] = count


#: What every use of a ledger's own connections passes.
gate: Final = Gate()


def _everything() -> list[ForkAware]:
    # Without a lock, which somebody may hold at the fork.
    while True:
        with suppress(RuntimeError):  # another thread made one more just then
            return list(_aware)


def _before() -> None:
    gate.close()
    for thing in _everything():
        thing.before_fork()


def _after_in_parent() -> None:
    gate.open()


def _after_in_child() -> None:
    gate.forget()
    for thing in _everything():
        thing.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
