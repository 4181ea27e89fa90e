"""uWSGI without threads is seen, and requests do what threads cannot."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from flask import Flask

from flask_partnerstack._state import get_state
from flask_partnerstack.engines import RequestEngine
from flask_partnerstack.engines import ThreadEngine
from flask_partnerstack.engines import threads_stand_still
from flask_partnerstack.engines.uwsgi import is_to_be_forked
from flask_partnerstack.errors import LedgerUnavailable
from tests.engines.work import Work

PATIENCE = 10.0  # how long a test waits for what comes at once; nothing is ever asserted of it


def pretend(monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """Put a module in uWSGI's place that was started with these options."""
    named = {name.replace("_", "-"): value for name, value in options.items()}
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=named))


@pytest.mark.parametrize(
    "options",
    [{}, {"enable_threads": b"false"}, {"enable_threads": [True, b"0"]}, {"processes": b"4"}],
)
def test_uwsgi_without_threads_is_seen(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    """Started without ``--enable-threads``, or with it switched off, in whatever way."""
    pretend(monkeypatch, **options)
    assert threads_stand_still()


@pytest.mark.parametrize(
    "options",
    [
        {"enable_threads": True},
        {"enable_threads": b"true"},
        {"threads": b"2"},
        {"threads": [b"2", b"4"]},
        {"gevent": b"100"},
    ],
)
def test_uwsgi_with_threads_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    """Whatever lets threads run, on the command line or from a file, is believed."""
    pretend(monkeypatch, **options)
    assert not threads_stand_still()


def test_a_file_called_uwsgi_is_not_uwsgi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of uWSGI there is no such module, or one of the app's own."""
    assert not threads_stand_still()
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(app="the project's uwsgi.py"))
    assert not threads_stand_still()


def pretend_to_be(monkeypatch: pytest.MonkeyPatch, worker: int, *, master: int) -> None:
    """Put a module in uWSGI's place that says which process this is."""
    process = SimpleNamespace(opt={}, worker_id=lambda: worker, masterpid=lambda: master)
    monkeypatch.setitem(sys.modules, "uwsgi", process)


@pytest.mark.parametrize("master", [0, os.getpid()], ids=["no master", "the master"])
def test_no_thread_is_started_before_uwsgi_forks(
    monkeypatch: pytest.MonkeyPatch, master: int
) -> None:
    """A request that warms the app up starts nothing in the master; a worker's first one does."""
    finished = threading.Event()
    engine = ThreadEngine(Work(finished.set), concurrency=1)
    pretend_to_be(monkeypatch, 0, master=master)
    engine.wake()
    engine.nudge()
    assert not engine.awake
    pretend_to_be(monkeypatch, 1, master=master)
    engine.wake()
    assert finished.wait(PATIENCE)
    engine.stop()


def test_a_mule_has_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no worker, but was forked already."""
    pretend_to_be(monkeypatch, 0, master=os.getppid())
    assert not is_to_be_forked()


def test_the_app_says_it_and_delivers_in_requests(
    make_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The default engine is replaced, and one ERROR line says so with the way out."""
    pretend(monkeypatch, processes=b"4")
    assert isinstance(get_state(make_app(ENGINE="thread")).engine, RequestEngine)
    said = [record for record in caplog.records if "--enable-threads" in record.message]
    assert [record.levelname for record in said] == ["ERROR"]


def test_the_app_keeps_its_threads_where_they_run(
    make_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With ``--enable-threads`` it is an app like any other, and nothing is said."""
    pretend(monkeypatch, enable_threads=True)
    assert isinstance(get_state(make_app(ENGINE="thread")).engine, ThreadEngine)
    assert "uWSGI" not in caplog.text


def test_the_first_page_view_deals_with_what_was_left() -> None:
    """A fresh process is asleep; its first request does what is due, and the next need not."""
    done: list[int] = []
    engine = RequestEngine(Work(lambda: done.append(1), lambda: done.append(2)), longest=1.0)
    assert not engine.awake
    engine.wake()
    assert done == [1, 2]
    assert engine.awake


def test_a_page_view_looks_again_when_something_is_due() -> None:
    """It sleeps no longer than until the next due time."""
    engine = RequestEngine(Work(lambda: None, due_in=0.0), longest=1.0)
    engine.wake()
    assert not engine.awake


def test_no_page_view_looks_again_at_once_for_what_others_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing was there to be taken, the next views look at nothing, whatever is due."""
    monkeypatch.setattr("flask_partnerstack.engines.uwsgi.WHILE_HELD", 3600.0)
    engine = RequestEngine(Work(due_in=0.0), longest=1.0)
    engine.wake()
    assert engine.awake


def test_nothing_is_begun_that_could_not_be_done_in_time() -> None:
    """Where one delivery may take all the time there is, none is begun; it stays in the ledger."""
    work = Work(lambda: pytest.fail("begun"))
    engine = RequestEngine(work, longest=60.0)
    engine.nudge()
    assert len(work.jobs) == 1
    assert not engine.awake


@pytest.mark.parametrize(
    ("error", "traceback"),
    [(OSError("disk away"), True), (LedgerUnavailable("sqlite://", "disk away"), False)],
)
def test_a_ledger_that_fails_breaks_no_page(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    traceback: bool,
) -> None:
    """When the ledger cannot be looked at the page goes on; it is logged, and tried later.

    Without a traceback where the error says it all: with page views it comes every five seconds.
    """

    def fail(*_: object) -> None:
        raise error

    work = Work()
    monkeypatch.setattr(work, "take", fail)
    monkeypatch.setattr(work, "next_due", fail)
    engine = RequestEngine(work, longest=1.0)
    engine.wake()
    assert engine.awake
    assert "disk away" in caplog.text
    assert [bool(record.exc_info) for record in caplog.records] == [traceback] * 2
