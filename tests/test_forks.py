"""What is watched is told of forks, for as long as it lives."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from collections.abc import Iterator

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


def test_one_that_is_made_just_then_keeps_no_other_from_being_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A set that another thread changes cannot be gone through, and is gone through again."""

    class Changing(list[object]):
        changes = 1

        def __iter__(self) -> Iterator[object]:
            if self.changes:
                self.changes -= 1
                raise RuntimeError("Set changed size during iteration")
            return super().__iter__()

    watched = Watched()
    monkeypatch.setattr(forks, "_aware", Changing([watched]))
    assert forks._everything() == [watched]


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


PATIENCE = 60.0  # how long a test waits for what comes at once


def in_a_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def go_through(gate: forks.Gate) -> None:
    with gate.passed():
        pass


def test_a_fork_waits_until_no_other_thread_is_inside() -> None:
    """What is under way is done, and its locks are free, when the process is forked."""
    gate, told = forks.Gate(patience=PATIENCE), list[str]()

    def fork() -> None:
        gate.close()
        told.append("forked")

    with gate.passed():
        forking = in_a_thread(fork)
        told.append("done")
    forking.join()
    assert told == ["done", "forked"]


def test_nobody_is_let_in_while_a_fork_is_due() -> None:
    """Whoever comes meanwhile goes on after it, in the parent."""
    gate, told = forks.Gate(patience=PATIENCE), list[str]()

    def use() -> None:
        with gate.passed():
            told.append("used")

    gate.close()
    using = in_a_thread(use)
    told.append("forked")
    gate.open()
    using.join()
    assert told == ["forked", "used"]


def test_whoever_forks_may_still_use_what_is_behind_the_gate() -> None:
    """It closes connections; and the garbage that is collected just then may be a ledger."""
    gate = forks.Gate(patience=PATIENCE)
    with gate.passed():
        gate.close()
    with gate.passed():
        gate.open()


def test_two_that_fork_at_once_do_not_wait_for_each_other() -> None:
    """Though both do so in the midst of a transaction."""
    gate, both = forks.Gate(patience=PATIENCE), threading.Barrier(2)

    def fork() -> None:
        with gate.passed():
            both.wait(PATIENCE)
            gate.close()
            both.wait(PATIENCE)
            gate.open()

    other = in_a_thread(fork)
    fork()
    other.join()


def test_whoever_is_stopped_while_the_gate_closes_leaves_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gevent.Timeout of the app's, or a worker's end, comes wherever somebody waits."""
    gate, passed = forks.Gate(patience=PATIENCE), threading.Event()

    def close(thread: int) -> None:
        shut(thread)
        raise SystemExit

    def pass_through() -> None:
        go_through(gate)
        passed.set()

    shut = gate._here.close
    monkeypatch.setattr(gate._here, "close", close)
    with pytest.raises(SystemExit), gate.closed():
        pass
    passing = in_a_thread(pass_through)
    assert passed.wait(PATIENCE / 2)
    passing.join()


def test_a_fork_does_not_wait_for_ever() -> None:
    """What hangs inside holds up neither it nor those who come meanwhile for long."""
    gate, ended = forks.Gate(patience=0.0), threading.Event()
    inside = threading.Event()

    def hang() -> None:
        with gate.passed():
            inside.set()
            ended.wait(PATIENCE)

    hanging = in_a_thread(hang)
    assert inside.wait(PATIENCE)
    gate.close()
    in_a_thread(lambda: go_through(gate)).join()
    ended.set()
    hanging.join()


def test_the_gate_is_open_on_both_sides_of_a_fork() -> None:
    """Also where it was forked inside, and in the child another thread was inside."""
    with forks.gate.passed():
        child = os.fork()
    if child == 0:
        passing = in_a_thread(lambda: go_through(forks.gate))
        passing.join(1.0)
        os._exit(0 if not passing.is_alive() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    in_a_thread(lambda: go_through(forks.gate)).join()
