"""The publishing engine: in the background, bounded, and at rest after a failure."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from flask_partnerstack.engines import Publish
from flask_partnerstack.engines import PublishingEngine
from flask_partnerstack.errors import ConfigurationError

PATIENCE = 60.0  # how long a test waits for what comes at once; nothing is ever asserted of it


class Broker:
    """Takes messages; told to, it fails, or says nothing until it is let go."""

    def __init__(self) -> None:
        self.taken: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)
        self.fails = False
        self.error: BaseException = OSError("connection refused")
        self.speaks = threading.Event()
        self.speaks.set()

    def connect(self) -> Publish:
        return self.publish

    def publish(self, entry_id: int | None) -> None:
        self.asked.release()
        self.speaks.wait(PATIENCE)
        if self.fails:
            raise self.error
        self.taken.put(entry_id)

    def next(self) -> int | None:
        return self.taken.get(timeout=PATIENCE)


def publishers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "partnerstack-publisher"}


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def make(broker: Broker) -> Iterator[Callable[..., PublishingEngine]]:
    engines: list[PublishingEngine] = []

    def make(**options: float) -> PublishingEngine:
        engines.append(PublishingEngine(broker.connect, **options))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    broker.speaks.set()
    for engine in engines:
        engine.stop()


Make = Callable[..., PublishingEngine]


def test_a_nudge_is_published_in_the_background(make: Make, broker: Broker) -> None:
    """Each entry is a message, in order; no thread is started before the first."""
    before = threading.active_count()
    engine = make()
    engine.wake()
    assert threading.active_count() == before
    engine.nudge(7)
    engine.nudge(8)
    assert [broker.next(), broker.next()] == [7, 8]


def test_a_silent_broker_holds_nobody_up(
    make: Make, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue is bounded and a full one drops: one ERROR says so, and the nudges come back."""
    engine = make(most_waiting=3)
    broker.speaks.clear()
    engine.nudge(0)
    assert broker.asked.acquire(timeout=PATIENCE)
    for entry_id in range(1, 100):
        engine.nudge(entry_id)
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "3 messages wait" in errors[0]


def test_what_was_dropped_is_made_up_for(make: Make, broker: Broker) -> None:
    """The first message after a drop is to look at everything; then each entry has its own."""
    engine = make(most_waiting=1)
    broker.speaks.clear()
    engine.nudge(1)
    assert broker.asked.acquire(timeout=PATIENCE)
    engine.nudge(2)
    engine.nudge(3)
    broker.speaks.set()
    assert [broker.next(), broker.next()] == [1, None]
    engine.nudge(4)
    assert broker.next() == 4


def test_a_broker_that_failed_is_left_alone(
    make: Make, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not tried again before the rest is over, however many signups come meanwhile."""
    engine = make(after_failure=3600.0)
    broker.fails = True
    engine.nudge(1)
    assert broker.asked.acquire(timeout=PATIENCE)
    for entry_id in range(2, 10):
        engine.nudge(entry_id)
    engine.stop()
    assert not broker.asked.acquire(blocking=False)
    assert "OSError: connection refused" in caplog.text


def test_publishing_goes_on_after_the_rest(
    make: Make, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """One message makes up for all that failed; however often it fails, that is one ERROR."""
    engine = make(after_failure=0.0)
    broker.fails = True
    for entry_id in range(3):
        engine.nudge(entry_id)
        assert broker.asked.acquire(timeout=PATIENCE)
    broker.fails = False
    engine.nudge(3)
    assert broker.next() is None
    engine.nudge(4)
    assert broker.next() == 4
    assert [r.levelno for r in caplog.records].count(logging.ERROR) == 1


def test_a_client_that_would_end_the_thread_does_not(make: Make, broker: Broker) -> None:
    """A ``gevent.Timeout`` is no exception like others, and a failure like others."""
    engine = make(after_failure=0.0)
    broker.fails, broker.error = True, SystemExit()
    engine.nudge(1)
    assert broker.asked.acquire(timeout=PATIENCE)
    broker.fails = False
    engine.nudge(2)
    assert broker.next() is None


def test_the_first_request_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    """Without anything to publish with, the log says so at once, and the page goes on."""

    def connect() -> Publish:
        raise ConfigurationError("PARTNERSTACK_ENGINE", "expected a Celery.")

    engine = PublishingEngine(connect)
    engine.wake()
    assert engine.awake
    assert "PARTNERSTACK_ENGINE: expected a Celery." in caplog.text


def test_the_first_request_never_fails_for_it(caplog: pytest.LogCaptureFixture) -> None:
    """A client that raises anything at all is logged, with where it came from."""

    def connect() -> Publish:
        raise KeyError("default")

    PublishingEngine(connect).wake()
    assert "KeyError: 'default'" in caplog.text


def test_stopping_publishes_what_waits(make: Make, broker: Broker) -> None:
    """A script that records and ends has told of it; a nudge after that starts anew."""
    engine = make()
    for entry_id in range(100):
        engine.nudge(entry_id)
    engine.stop()
    assert broker.taken.qsize() == 100
    engine.nudge(100)
    engine.stop()
    assert broker.taken.qsize() == 101


@pytest.mark.parametrize("room", [1, 10])
def test_stopping_does_not_wait_for_a_silent_broker(
    make: Make, broker: Broker, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The process ends although a message hangs, whether or not others wait behind it."""
    monkeypatch.setattr("flask_partnerstack.engines.publishing.STOP_WITHIN", 0.05)
    engine = make(most_waiting=room)
    broker.speaks.clear()
    engine.nudge(1)
    assert broker.asked.acquire(timeout=PATIENCE)
    engine.nudge(2)
    engine.stop()
    assert broker.taken.empty()


def test_an_idle_thread_ends(make: Make, broker: Broker) -> None:
    """It is gone soon after its last message; the next one starts another, which publishes it."""
    others, engine = publishers(), make(idle=0.001)
    for number in range(5):
        engine.nudge(number)
        assert broker.next() == number
        for thread in publishers() - others:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_no_message_is_lost_as_a_thread_ends(make: Make, broker: Broker) -> None:
    """However the end of one and the next message fall together, each is published once."""
    engine = make(idle=0.0001)
    taken = []
    for number in range(500):
        engine.nudge(number)
        taken.append(broker.next())
    assert taken == list(range(500))


def test_a_forked_child_publishes_by_a_thread_of_its_own(make: Make, broker: Broker) -> None:
    """The parent's thread is not there any more, and its messages are the parent's."""
    engine = make()
    engine.nudge(1)
    assert broker.next() == 1
    child = os.fork()
    if child == 0:
        slept = not engine.awake
        engine.nudge(2)
        os._exit(0 if slept and broker.next() == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert broker.taken.empty()


def test_no_thread_to_be_had_is_said_and_raises_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no thread can be started the signup goes on, and the log says what does not."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    make().nudge(1)
    assert "this process publishes nothing" in caplog.text
