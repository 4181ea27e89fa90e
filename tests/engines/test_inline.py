"""The inline engine delivers at the nudge, and the engine that does nothing does nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from flask_partnerstack.engines import InlineEngine
from flask_partnerstack.engines import NoEngine
from flask_partnerstack.engines import RequestEngine
from tests.engines.work import Work


def test_a_nudge_delivers_before_it_returns() -> None:
    """All that is due is done when the nudge comes back."""
    done: list[int] = []
    InlineEngine(Work(lambda: done.append(1), lambda: done.append(2))).nudge()
    assert done == [1, 2]


def test_a_nudge_walks_away_from_what_hangs() -> None:
    """A request does not wait for ever for a service that does."""
    go_on, done = threading.Event(), threading.Event()

    def hang() -> None:
        go_on.wait()
        done.set()

    InlineEngine(Work(hang), patience=0.05).nudge()
    assert not done.is_set()
    go_on.set()
    assert done.wait(10.0)


def test_nothing_more_is_begun_when_patience_is_over() -> None:
    """What is left is left to the next nudge."""
    work = Work(lambda: None)
    InlineEngine(work, patience=0.0).nudge()
    assert len(work.jobs) == 1


@pytest.mark.parametrize("job", [lambda: 1 / 0, sys.exit])
def test_a_nudge_never_raises(caplog: pytest.LogCaptureFixture, job: Callable[[], object]) -> None:
    """Whatever a pass runs into is logged, and the signup goes on."""
    InlineEngine(Work(job)).nudge()
    assert "cut short" in caplog.text


def test_no_thread_to_be_had_is_said_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is taken then, and neither a signup nor a page view hears of it."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    work = Work(lambda: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    InlineEngine(work).nudge()
    RequestEngine(work, longest=1.0).wake()
    assert len(work.jobs) == 1
    assert caplog.text.count("can't start new thread") == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_there_is_nothing_to_wake_or_stop() -> None:
    """An engine without threads of its own has nothing to start, and leaves no work undone."""
    work = Work(lambda: None)
    for engine in (InlineEngine(work), NoEngine()):
        assert engine.awake
        engine.wake()
        engine.stop()
    NoEngine().nudge()
    assert len(work.jobs) == 1
