"""The examples of docs/scaling.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from celery import Celery
from flask import Flask
from redis import Redis
from rq import Queue
from rq import SimpleWorker

from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.celery import SWEEP
from flask_partnerstack.celery import SWEEP_SCHEDULE
from flask_partnerstack.ledger import Status
from flask_partnerstack.rq import SWEEP_EVERY
from flask_partnerstack.rq import sweep
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack
from tests.queues.brokers import Broker
from tests.queues.brokers import RedisBroker


def test_celerys_beat_knows_the_sweep() -> None:
    """The schedule names a task that the room registers."""
    app = Flask(__name__)

    app.config["PARTNERSTACK_ENGINE"] = "celery"
    app.config["CELERY"] = {
        "broker_url": "redis://localhost",
        "beat_schedule": {**SWEEP_SCHEDULE},  # beside your own
    }

    celery = Celery(app.name)
    celery.config_from_object(app.config["CELERY"])
    (scheduled,) = celery.conf.beat_schedule.values()
    assert scheduled["task"] == SWEEP
    assert scheduled["task"] in celery.tasks


def test_rqs_worker_delivers_in_the_apps_context(
    start: Callable[[type[Broker]], Broker], tmp_path: Path
) -> None:
    """The queue on the app is where it is enqueued, and a worker in its context delivers it."""
    url = start(RedisBroker).url
    app = Flask(__name__, instance_path=str(tmp_path))
    app.config["PARTNERSTACK_TOKEN"] = "token"

    app.config["PARTNERSTACK_ENGINE"] = "rq"
    app.extensions["rq"] = Queue(connection=Redis.from_url(url))  # or Flask-RQ's RQ(app)

    TravellingPartnerStack(Clock(), ScriptedTransport()).init_app(app)
    with app.app_context():
        track_conversion("acme", xid=XID)
    get_state(app).engine.stop()

    with app.app_context():
        Worker([app.extensions["rq"]], connection=app.extensions["rq"].connection).work()

    assert get_state(app).ledger.counts()[Status.DELIVERED] == 1
    get_state(app).ledger.close()


class Worker(SimpleWorker):
    """One that ends when nothing is left, so that the test does."""

    def work(self, *_arguments: object, **_options: object) -> bool:
        return bool(super().work(burst=True))


CRON = """
from rq import cron
from flask_partnerstack.rq import SWEEP_EVERY, sweep

cron.register(sweep, queue_name="default", interval=SWEEP_EVERY)
"""


def test_rqs_cron_takes_the_sweep(start: Callable[[type[Broker]], Broker], tmp_path: Path) -> None:
    """What stands in a configuration of rq cron registers the job at its interval."""
    from rq.cron import CronScheduler  # RQ has it since 2.5

    (tmp_path / "cron.py").write_text(CRON)
    scheduler = CronScheduler(connection=Redis.from_url(start(RedisBroker).url))
    scheduler.load_config_from_file(str(tmp_path / "cron.py"))
    (job,) = scheduler.get_jobs()
    assert (job.func, job.interval) == (sweep, SWEEP_EVERY)
