"""The process's exit, with the engines of several apps in it."""

from __future__ import annotations

from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest

from flask_partnerstack.engines import PublishingEngine
from flask_partnerstack.engines import ThreadEngine
from flask_partnerstack.engines import base
from flask_partnerstack.engines.base import stop_all
from flask_partnerstack.engines.base import stop_at_exit
from tests.engines.work import Work


class Ending:
    """An engine that says what it was told, to all of them."""

    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told

    def begin_to_stop(self) -> None:
        self._told.append(f"{self._name} takes nothing more")

    def stop(self, *, waited: float = 0.0) -> None:
        self._told.append(f"{self._name} stops, {waited:g} s are over")


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine of another test is stopped."""
    monkeypatch.setattr(base, "_at_exit", set())


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later."""
    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=partial(next, count())))


def test_apps_of_a_process_end_together(ticking: None) -> None:
    """None takes more while another is waited for, and the waits are one and the same."""
    told: list[str] = []
    engines = [Ending("app", told) for _ in range(3)]
    for engine in engines:
        stop_at_exit(engine)
    stop_all()
    assert told[:3] == ["app takes nothing more"] * 3
    assert told[3:] == [f"app stops, {second} s are over" for second in (1, 2, 3)]


def test_what_is_over_of_the_wait_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine waits for the rest of its time, and where it has none for nothing."""
    waits: list[float] = []
    for name in ("thread._Crew", "publishing._Publisher"):
        monkeypatch.setattr(
            f"flask_partnerstack.engines.{name}.stop", lambda _self, within: waits.append(within)
        )
    for waited in (0.5, 3600.0):
        thread = ThreadEngine(Work(), concurrency=1, stop_within=2.0)
        thread.wake()
        thread.stop(waited=waited)
        publishing = PublishingEngine(lambda: lambda _entry_id: None)
        publishing.nudge(1)
        publishing.stop(waited=waited)
    assert waits == [1.5, 1.5, 0.0, 0.0]


def test_who_is_told_to_stop_takes_nothing_more() -> None:
    """What is due after that is left to the ledger, also while others are waited for."""
    work = Work(due_in=3600.0)
    engine = ThreadEngine(work, concurrency=1, poll=3600.0)
    engine.wake()
    engine.begin_to_stop()
    work.jobs = [lambda: None]
    engine.nudge()
    engine.stop()
    assert len(work.jobs) == 1
