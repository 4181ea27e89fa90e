"""``flask partnerstack check`` asks the app's real Celery over a real broker who is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack.doctor import Finding
from flask_partnerstack.doctor import engine
from flask_partnerstack.doctor import examine
from tests.kit import free_port
from tests.queues.brokers import Broker
from tests.queues.brokers import RabbitBroker
from tests.queues.brokers import RedisBroker
from tests.queues.brokers import SilentBroker
from tests.queues.celery_app import celery_init_app
from tests.queues.conftest import Eventually
from tests.queues.conftest import Start
from tests.queues.conftest import Worker

Hire = Callable[..., Worker]

#: Of a site's, over a ledger of its own.
CELERY = ("--app", "tests.queues.make_celery", "worker", "--concurrency", "1")


ANSWERED = Finding("ok", "Deliveries are made by Celery; 1 worker answered.")


@pytest.fixture
def look(make_app: Callable[..., Flask]) -> Callable[[str], Finding]:
    """Return what asks the doctor about an app whose Celery has its broker there."""

    def look(broker_url: str) -> Finding:
        app = make_app(ENGINE="celery")
        celery = celery_init_app(app, broker_url)
        (finding,) = (found for found in examine(app) if "elery" in found.what)
        celery.close()
        return finding

    return look


@pytest.fixture
def silent() -> Iterator[Callable[[str], str]]:
    """Return what starts a broker that never says a word, and gives its URL."""
    brokers: list[SilentBroker] = []

    def start(scheme: str) -> str:
        brokers.append(SilentBroker(scheme))
        return brokers[-1].url

    yield start
    for broker in brokers:
        broker.close()


@pytest.mark.parametrize("kind", [RedisBroker, RabbitBroker])
def test_a_worker_answers_or_none_does(
    start: Start,
    look: Callable[[str], Finding],
    hire: Hire,
    eventually: Eventually,
    tmp_path: Path,
    kind: type[Broker],
) -> None:
    """Nobody there is an error, a worker makes it good, and its end an error again."""
    broker = start(kind)
    alone = look(broker.url)
    assert (alone.level, "No Celery worker answered" in alone.what) == ("error", True)
    environment = {"SITE_INSTANCE": str(tmp_path / "worker"), "SITE_CELERY": broker.url}
    worker = hire("celery", *CELERY, **environment)
    eventually(lambda: look(broker.url) == ANSWERED)
    worker.kill()
    assert look(broker.url) == alone


@pytest.mark.parametrize("scheme", ["redis://:s3cr3t@", "amqp://user:s3cr3t@"])
def test_a_broker_that_is_down(look: Callable[[str], Finding], scheme: str) -> None:
    """Nobody listens where it should be: that is said at once, and no password with it."""
    started = time.monotonic()
    finding = look(f"{scheme}127.0.0.1:{free_port()}")
    assert time.monotonic() - started < engine.PATIENCE
    assert finding.level == "error"
    assert "Its broker cannot be asked (OperationalError)" in finding.what
    assert "s3cr3t" not in str(finding)


@pytest.mark.parametrize("scheme", ["redis://", "amqp://"])
def test_a_silent_broker_is_not_waited_for(
    look: Callable[[str], Finding],
    silent: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    """A broker that takes the connection and never says a word is a finding, in bounded time."""
    monkeypatch.setattr(engine, "PATIENCE", 0.2)
    finding = look(silent(scheme))
    assert (finding.level, "Its broker said nothing" in finding.what) == ("error", True)
