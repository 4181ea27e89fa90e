"""The shop on a PostgreSQL and a Redis of the test's own, beside a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import URL

from examples.postgres_celery import create_app
from examples.postgres_celery.extensions import db
from flask_partnerstack.sandbox import SandboxProcess
from tests.queues.brokers import Absent
from tests.queues.brokers import RedisBroker
from tests.servers import Servers
from tests.servers import absent


@pytest.fixture
def database_url() -> Iterator[URL]:
    servers = Servers()
    yield servers.empty("postgresql")
    servers.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisBroker]:
    broker = RedisBroker(tmp_path / "broker")
    try:
        broker.start()
    except Absent as e:
        absent(str(e))
    yield broker
    broker.kill()


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch,
    database_url: URL,
    broker: RedisBroker,
    sandbox: SandboxProcess,
) -> None:
    """What the shop reads, in this process and in others, and its tables."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("FLASK_APP", "examples.postgres_celery")
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("BROKER_URL", broker.url)
    monkeypatch.setenv("PARTNERSTACK_TOKEN", sandbox.settings.token)
    monkeypatch.setenv("PARTNERSTACK_CONVERSION_URL", sandbox.conversion_url)
    subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"],
        check=True,
        capture_output=True,
        env={**os.environ},
    )


@pytest.fixture
def app(environment: None) -> Iterator[Flask]:
    app = create_app()
    yield app
    app.extensions["partnerstack"].engine.stop()
    app.extensions["partnerstack"].ledger.close()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def worker(environment: None, tmp_path: Path) -> Iterator[None]:
    """The shop's Celery worker, with its beat."""
    command = ["--app", "examples.postgres_celery.make_celery", "worker", "--beat"]
    options = ["--schedule", f"{tmp_path}/beat", "--concurrency", "1", "--loglevel", "WARNING"]
    with subprocess.Popen([sys.executable, "-m", "celery", *command, *options]) as worker:
        yield
        worker.terminate()
