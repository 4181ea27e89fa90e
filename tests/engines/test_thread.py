"""The thread engine: works in the background, one process's own, and ends in time."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flask_partnerstack.engines import Job
from flask_partnerstack.engines import ThreadEngine
from flask_partnerstack.errors import LedgerUnavailable
from tests.engines.work import Work

PATIENCE = 10.0  # how long a test waits for what comes at once; nothing is ever asserted of it


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def engine(work: Work) -> Iterator[ThreadEngine]:
    engine = ThreadEngine(work, concurrency=2, poll=3600.0)
    yield engine
    engine.stop()


def test_building_it_starts_no_thread(work: Work) -> None:
    """An engine sleeps until its process serves a request."""
    before = threading.active_count()
    engine = ThreadEngine(work, concurrency=4)
    assert not engine.awake
    assert threading.active_count() == before


def test_a_nudge_gets_the_work_done(work: Work, engine: ThreadEngine) -> None:
    """What is due is done soon after the nudge, in another thread."""
    done: list[int] = []
    finished = threading.Event()
    work.jobs = [lambda: done.append(threading.get_ident()), finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    assert done[0] != threading.get_ident()


def test_waking_looks_for_what_was_left_behind(work: Work, engine: ThreadEngine) -> None:
    """A fresh process finds what a killed one left, without any nudge."""
    finished = threading.Event()
    work.jobs = [finished.set]
    engine.wake()
    assert finished.wait(PATIENCE)


def test_waking_twice_starts_one_scheduler(work: Work, engine: ThreadEngine) -> None:
    """However many requests come first together, one thread schedules."""
    for _ in range(5):
        engine.wake()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("partnerstack-scheduler") == 1


def test_sends_at_once_are_bounded(work: Work, engine: ThreadEngine) -> None:
    """Two at once is two at once, and nothing more is claimed before one of them is done."""
    begun, together = threading.Semaphore(0), threading.Barrier(3)

    def wait() -> None:
        begun.release()
        together.wait(PATIENCE)

    work.jobs = [wait, wait, lambda: None]
    engine.nudge()
    assert all(begun.acquire(timeout=PATIENCE) for _ in range(2))
    assert len(work.jobs) == 1
    together.wait(PATIENCE)


def test_a_sender_goes_on_until_the_engine_stops(work: Work) -> None:
    """A job may go on with what is due after it, and no longer when the engine is stopped."""
    engine = ThreadEngine(work, concurrency=1, poll=3600.0, stop_within=0.0)
    begun, stopped = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        stopped.wait(PATIENCE)

    work.jobs = [lambda: None]
    engine.nudge()
    assert work.dealt.acquire(timeout=PATIENCE)
    work.jobs = [wait]
    engine.nudge()
    assert begun.wait(PATIENCE)
    engine.stop()
    stopped.set()
    assert work.dealt.acquire(timeout=PATIENCE)
    assert work.told == [True, False]


def test_a_job_that_raises_stops_nothing(
    work: Work, engine: ThreadEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """One entry that cannot be settled is logged, and the others are dealt with."""
    finished = threading.Event()
    work.jobs = [lambda: 1 / 0, finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    engine.stop()
    assert "could not be settled" in caplog.text


def test_a_job_that_would_end_its_thread_does_not(
    work: Work, engine: ThreadEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that calls ``sys.exit()`` takes no thread away, however often, and is logged."""
    for _ in range(4):
        work.jobs = [sys.exit]
        engine.nudge()
        assert work.begun.acquire(timeout=PATIENCE)
    finished = threading.Event()
    work.jobs = [finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    engine.stop()
    assert caplog.text.count("could not be settled") == 4


def test_a_look_that_would_end_the_scheduler_does_not(
    work: Work,
    engine: ThreadEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a ``gevent.Timeout`` that somebody forgot does: it is logged, and a nudge tries again."""
    asked, finished = threading.Event(), threading.Event()

    def look() -> None:
        asked.set()
        sys.exit()

    monkeypatch.setattr(work, "next_due", look)
    engine.wake()
    assert asked.wait(PATIENCE)
    work.jobs = [finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    assert "cannot be looked at" in caplog.text


@pytest.mark.parametrize(
    ("error", "traceback"),
    [(OSError("disk away"), True), (LedgerUnavailable("sqlite://", "disk away"), False)],
)
def test_a_ledger_that_fails_stops_nothing(
    work: Work,
    engine: ThreadEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    traceback: bool,
) -> None:
    """When the ledger cannot be looked at, that is logged and a nudge tries again.

    Without a traceback where the error says it all: it comes again every five seconds.
    """
    failed, finished = threading.Event(), threading.Event()
    take = work.take

    def fail_once(limit: int) -> list[Job]:
        if not failed.is_set():
            failed.set()
            raise error
        return take(limit)

    monkeypatch.setattr(work, "take", fail_once)
    engine.wake()
    assert failed.wait(PATIENCE)
    work.jobs = [finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    assert "cannot be looked at" in caplog.text
    assert "disk away" in caplog.text
    assert ("Traceback" in caplog.text) is traceback


def test_what_somebody_else_holds_is_not_looked_at_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Due, and not to be had: an open transaction on a server holds it. Nudges are heard still."""
    monkeypatch.setattr("flask_partnerstack.engines.thread.WHILE_HELD", 3600.0)
    work = Work(due_in=0.0)
    engine = ThreadEngine(work, concurrency=1, poll=7200.0)
    for _ in range(10):
        work.jobs = [lambda: None]
        engine.nudge()
        assert work.dealt.acquire(timeout=PATIENCE)
    engine.stop()
    assert len(work.asked) <= 10 * 3  # for a nudge, for the end of a job, and what came between


def test_stopping_waits_for_what_is_under_way(work: Work) -> None:
    """A send that is under way is finished; nothing more is taken."""
    engine = ThreadEngine(work, concurrency=1, poll=3600.0)
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        go_on.wait(PATIENCE)
        done.set()

    work.jobs = [job]
    engine.nudge()
    started.wait(PATIENCE)
    threading.Timer(0.05, go_on.set).start()
    engine.stop()
    assert done.is_set()
    assert not engine.awake


def test_a_stopped_engine_can_be_woken_again(work: Work, engine: ThreadEngine) -> None:
    """A nudge after a stop starts anew: a test's app is often used again."""
    engine.wake()
    engine.stop()
    finished = threading.Event()
    work.jobs = [finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)


def test_a_forked_child_starts_its_own_threads(work: Work, engine: ThreadEngine) -> None:
    """Threads do not cross a fork: the child is asleep, wakes, and works."""
    engine.wake()
    child = os.fork()
    if child == 0:
        finished = threading.Event()
        work.jobs = [finished.set]
        slept = not engine.awake
        engine.wake()
        os._exit(0 if slept and finished.wait(PATIENCE) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.awake


def test_no_thread_to_be_had_is_said_and_raises_nothing(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no thread can be started the page goes on, and the log says who is not delivering."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = ThreadEngine(work, concurrency=1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    engine.nudge()
    assert not engine.awake
    assert "nothing is delivered by this process" in caplog.text


def test_its_threads_end_with_their_work() -> None:
    """Whoever drops an app, as each test does, is left with no thread and no file of it."""
    threads = Noted()
    finished = threading.Event()
    engine = ThreadEngine(Work(finished.set), concurrency=1, poll=3600.0, make_thread=threads)
    engine.nudge()
    assert finished.wait(PATIENCE)
    del engine
    gc.collect()
    for thread in threads.made:
        thread.join(PATIENCE)
    assert [thread.is_alive() for thread in threads.made] == [False, False]


def test_waking_starts_nothing_where_nothing_may_be_sent(work: Work) -> None:
    """An app under test has no thread that looks for what others left behind."""
    work.is_blocked = True
    threads = Noted()
    engine = ThreadEngine(work, concurrency=1, make_thread=threads)
    engine.wake()
    assert not engine.awake
    assert not threads.made


class Noted:
    """Threads, and which they are."""

    def __init__(self) -> None:
        self.made: list[threading.Thread] = []

    def __call__(self, **options: Any) -> threading.Thread:
        self.made.append(threading.Thread(**options))
        return self.made[-1]


class Scarce:
    """Threads of which so many can be started, and more once there is room."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, **options: Any) -> threading.Thread:
        self.room -= 1
        return threading.Thread(**options) if self.room >= 0 else Refused(**options)


class Refused(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("room", [1, 2])
def test_it_goes_on_with_the_threads_that_there_are(
    work: Work, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    """Where no sender can be started, or no second one, all that is claimed is dealt with."""
    engine = ThreadEngine(work, concurrency=2, poll=3600.0, make_thread=Scarce(room))
    finished = threading.Semaphore(0)
    for _ in range(3):
        work.jobs = [finished.release, finished.release]
        engine.nudge()
        assert all(finished.acquire(timeout=PATIENCE) for _ in range(2))
    engine.stop()
    assert "No more threads can be started" in caplog.text


def test_it_has_all_its_threads_again_when_there_is_room(work: Work) -> None:
    """A shortage that is over leaves nothing behind."""
    threads = Scarce(1)
    engine = ThreadEngine(work, concurrency=2, poll=3600.0, make_thread=threads)
    finished, together = threading.Event(), threading.Barrier(3)
    work.jobs = [finished.set]
    engine.nudge()
    assert finished.wait(PATIENCE)
    threads.room = 2
    work.jobs = [lambda: together.wait(PATIENCE), lambda: together.wait(PATIENCE)]
    engine.nudge()
    together.wait(PATIENCE)  # both at once, and the test
    engine.stop()


EXIT = """
import threading, time
from flask_partnerstack.engines import ThreadEngine

class Work:
    jobs = [lambda go_on: time.sleep(3600)]  # a send without an end: the exit waits for none
    def take(self, limit):
        return [self.jobs.pop()] if self.jobs else []
    in_the_foreground = False
    is_blocked = False

    def next_due(self):
        started.set()

started = threading.Event()
engine = ThreadEngine(Work(), concurrency=1)
engine.nudge()
started.wait(10)
print("bye")
"""


def test_a_process_ends_although_a_send_hangs() -> None:
    """The interpreter's exit waits 2 seconds at most for a send that hangs for an hour."""
    ended = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "bye\n"
    assert ended.stderr == ""
