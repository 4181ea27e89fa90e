"""What must not live on in a forked child: one registration with the interpreter, for all; locks.

``os.register_at_fork`` cannot be taken back, so registering each ledger and engine would keep them
alive for ever. Here the interpreter is told once, and they are remembered weakly.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any
from typing import Protocol


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


def _before() -> None:
    for thing in list(_aware):
        thing.before_fork()


def _after_in_child() -> None:
    for thing in list(_aware):
        thing.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before, after_in_child=_after_in_child)


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
