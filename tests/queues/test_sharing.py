"""Two apps, each with a ledger of its own, whose workers take messages from one queue."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from flask import Flask

from flask_partnerstack import celery as room
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from tests.kit import XID
from tests.queues.brokers import Broker
from tests.queues.brokers import RabbitBroker
from tests.queues.brokers import RedisBroker
from tests.queues.celery_app import celery_init_app

if TYPE_CHECKING:
    from tests.queues.conftest import Worker

WORKER = ("--app=tests.queues.make_celery", "worker", "--pool=solo", "--loglevel=WARNING")


@pytest.fixture(params=[RedisBroker, RabbitBroker])
def broker(start: Callable[[type[Broker]], Broker], request: pytest.FixtureRequest) -> Broker:
    return start(request.param)


@pytest.fixture
def theirs(broker: Broker, hire: Callable[..., Worker], config: dict[str, str]) -> None:
    """The other app's worker, at the same queue."""
    config.update(SITE_CELERY=broker.url, PARTNERSTACK_ENGINE="celery")
    hire("celery", *WORKER, **config)


@pytest.fixture
def ours(
    broker: Broker, make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Flask]:
    """An app that has no worker, and one connection, which is closed in the end."""
    app = make_app(ENGINE="celery")
    celery = celery_init_app(app, broker.url)
    with celery.connection_for_write() as connection:
        monkeypatch.setattr(celery, "connection_for_write", lambda: connection)
        yield app


def record(app: Flask, *keys: str) -> None:
    """Record, and have it published."""
    with app.app_context():
        for key in keys:
            track_conversion(key, xid=XID)
    get_state(app).engine.stop()


@pytest.mark.usefixtures("theirs")
@pytest.mark.timeout(600)
def test_a_message_about_another_ledger_is_said_once(
    ours: Flask,
    ledger: Ledger,
    eventually: Callable[[Callable[[], bool]], None],
    tmp_path: Path,
) -> None:
    """Each entry has a namesake in the other app's ledger, which nobody takes it for.

    And a message that does not say which ledger it is about, as older versions publish, is obeyed.
    """
    others = [ledger.record(Conversion.of(customer_key=f"theirs-{n}", xid=XID)) for n in range(3)]
    record(ours, "ours-1", "ours-2", "ours-3")
    celery: Celery = ours.extensions["celery"]
    connection = celery.connection_for_write()
    celery.tasks[room.DELIVER].apply_async((others[-1].entry.id,), connection=connection)
    eventually(lambda: ledger.find(others[-1].entry.id).status is not Status.PENDING)
    assert ledger.counts()[Status.PENDING] == 2
    assert get_state(ours).ledger.counts()[Status.PENDING] == 3
    said = (tmp_path / "worker.log").read_text()
    assert said.count("is about another ledger than the one at postgresql") == 1
    assert "Give each app a queue of its own" in said
