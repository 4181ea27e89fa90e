"""The room for Celery: what it asks of the app, and what its tasks do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import Celery
from flask import Flask
from kombu.exceptions import OperationalError

from flask_partnerstack import celery as room
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import NotInitialized
from flask_partnerstack.errors import NotSent
from flask_partnerstack.ledger import Status
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.queues.brokers import RabbitBroker
from tests.queues.brokers import RedisBroker
from tests.queues.brokers import SilentBroker
from tests.queues.celery_app import celery_init_app

MakeApp = Callable[..., Flask]


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """An app whose Celery runs each task where it is called."""
    app = make_app(ENGINE="celery")
    celery_init_app(app, "memory://").conf.task_always_eager = True
    return app


def record(app: Flask, *keys: str) -> list[int]:
    with app.app_context():
        entries = [track_conversion(key, xid=XID) for key in keys]
    return [entry.id for entry in entries if entry is not None]


def statuses(app: Flask) -> list[Status]:
    return [entry.status for entry in get_state(app).ledger.entries()]


def test_a_signup_is_delivered(app: Flask, transport: ScriptedTransport) -> None:
    """Recorded, published in the background, delivered by the task."""
    record(app, "acme")
    get_state(app).engine.stop()
    assert statuses(app) == [Status.DELIVERED]
    assert len(transport.requests) == 1


def test_a_repeated_message_sends_nothing(app: Flask, transport: ScriptedTransport) -> None:
    """Brokers repeat; the ledger knows that it was delivered."""
    (entry_id,) = record(app, "acme")
    get_state(app).engine.stop()
    for _ in range(3):
        app.extensions["celery"].tasks[room.DELIVER](entry_id)
    assert len(transport.requests) == 1


def test_a_message_is_about_one_entry(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """Others that are due are left to their own messages, or the sweep."""
    app = make_app()
    celery_init_app(app, "memory://")
    one, _ = record(app, "one", "two")
    app.extensions["celery"].tasks[room.DELIVER](one)
    assert [sent["customer_key"] for sent in transport.conversions] == ["one"]


def test_the_sweep_delivers_what_is_due(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """Whatever no message came for."""
    app = make_app()
    celery_init_app(app, "memory://")
    record(app, "one", "two", "three", "four", "five", "six")
    app.extensions["celery"].tasks[room.SWEEP]()
    assert len(transport.requests) == 6
    assert set(statuses(app)) == {Status.DELIVERED}


def test_retries_are_the_ledgers(app: Flask, transport: ScriptedTransport, clock: Clock) -> None:
    """A refused conversion does not fail its task; when it is due again the sweep delivers it."""
    transport.answers = [NotSent("could not connect")]
    record(app, "acme")
    get_state(app).engine.stop()
    assert statuses(app) == [Status.PENDING]
    clock.tick(seconds=10)
    app.extensions["celery"].tasks[room.SWEEP]()
    assert statuses(app) == [Status.DELIVERED]


def test_an_entry_that_is_not_there_is_said(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A worker with another ledger than the app's would deliver nothing, and silently."""
    app.extensions["celery"].tasks[room.DELIVER](4711)
    assert "entry 4711 is due, but the ledger at" in caplog.text
    assert "PARTNERSTACK_LEDGER_URL" in caplog.text


def test_an_app_without_celery_is_told_at_its_first_request(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Which key asks for it, and where it is looked for; the page and the signup go on."""
    app = make_app(ENGINE="celery")
    assert app.test_client().get("/nowhere").status_code == 404
    assert 'PARTNERSTACK_ENGINE: "celery" publishes through the Celery in' in caplog.text
    record(app, "acme")
    assert statuses(app) == [Status.PENDING]


def test_something_else_in_celerys_place_is_named(app: Flask) -> None:
    """What is there instead is said."""
    app.extensions["celery"] = object()
    with pytest.raises(ConfigurationError, match="got object there"):
        room.connect(app)


def test_a_task_without_an_app_says_how_to_have_one(make_app: MakeApp) -> None:
    """A Celery whose tasks know no app context fails with the recipe."""
    make_app(ENGINE="celery")
    plain = Celery("plain", broker="memory://")
    with pytest.raises(NotInitialized, match="FlaskTask"):
        plain.tasks[room.SWEEP]()


@pytest.mark.parametrize("scheme", [RedisBroker.scheme, RabbitBroker.scheme])
def test_a_silent_broker_is_given_up(
    app: Flask, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publishing thread comes back from a broker that accepts and never answers."""
    quick = {name: dict.fromkeys(bounds, 0.05) for name, bounds in room._BOUNDS.items()}
    monkeypatch.setattr(room, "_BOUNDS", quick)
    broker = SilentBroker(scheme)
    found = celery_init_app(app, broker.url)
    found.conf.broker_connection_timeout = 0.05
    with pytest.raises(OperationalError):
        room.connect(app)(1)
    broker.close()


def test_two_apps_publish_through_their_own(make_app: MakeApp) -> None:
    """The shared task is the last app's; the message still goes through the app's own Celery."""
    one, two = make_app(ENGINE="celery"), make_app(ENGINE="celery")
    for app in (one, two):
        celery_init_app(app, "memory://").conf.task_always_eager = True
    record(one, "acme")
    get_state(one).engine.stop()
    assert statuses(one) == [Status.DELIVERED]
    assert statuses(two) == []


def test_the_schedule_names_a_task_that_there_is(app: Flask) -> None:
    """One line in beat_schedule is enough, and no sweep is begun before the last is over."""
    (entry,) = room.SWEEP_SCHEDULE.values()
    assert entry["task"] in app.extensions["celery"].tasks
    assert timedelta(0) < room.SWEEP_LASTS < entry["schedule"]


def test_a_queue_that_is_behind_sweeps_all_the_same() -> None:
    """Minutes of other tasks before each sweep, or of another clock, are no reason to drop it."""
    (entry,) = room.SWEEP_SCHEDULE.values()
    assert entry["options"]["expires"] >= timedelta(minutes=30).total_seconds()


def test_messages_wait_until_they_were_dealt_with(app: Flask) -> None:
    """A killed worker's message comes back, and no result is kept."""
    for name in (room.DELIVER, room.SWEEP):
        task = app.extensions["celery"].tasks[name]
        assert task.acks_late
        assert task.reject_on_worker_lost
        assert task.ignore_result
