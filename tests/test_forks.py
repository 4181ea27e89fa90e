"""What is watched is told of forks, for as long as it lives."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from flask_partnerstack import forks


class Watched:
    def __init__(self) -> None:
        self.told: list[str] = []
        forks.watch(self)

    def before_fork(self) -> None:
        self.told.append("before")

    def after_fork_in_child(self) -> None:
        self.told.append("child")


def test_parent_and_child_are_told() -> None:
    """The parent is told before, the child after, each once."""
    watched = Watched()
    child = os.fork()
    if child == 0:
        os._exit(0 if watched.told == ["before", "child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert watched.told == ["before"]


def test_watching_keeps_nothing_alive() -> None:
    """A ledger or an engine that nobody uses any more is let go."""
    reference = weakref.ref(Watched())
    gc.collect()
    assert reference() is None


def test_a_late_lock_is_of_the_kind_that_there_is_at_its_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As gevent replaces locks when the app is loaded already; and it stays the same one."""
    late, first = forks.LateLock(), object()
    kinds = iter((first, object()))
    monkeypatch.setattr(threading, "Lock", lambda: next(kinds))
    assert [late.here, late.here] == [first, first]


def test_a_late_lock_that_is_held_at_a_fork_is_free_in_the_child() -> None:
    """Whoever held it is not there to let go."""
    late = forks.LateLock()
    with late.here:
        child = os.fork()
        if child == 0:
            os._exit(0 if late.here.acquire(blocking=False) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert late.here.locked()


def test_a_reentrant_late_lock_is_taken_twice_by_one_thread() -> None:
    """What it is held for may collect garbage, whose end wants it as well."""
    lock = forks.LateLock(reentrant=True)
    with lock.here:
        assert lock.here.acquire(blocking=False)
        lock.here.release()
