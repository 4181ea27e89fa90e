"""The room for RQ: what it asks of the app, and when it enqueues its job."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from redis import Redis
from rq import Queue
from rq import SimpleWorker
from rq import Worker

from flask_partnerstack import rq as room
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.doctor import examine
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.errors import NotInitialized
from flask_partnerstack.ledger import Status
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import ScriptedTransport
from tests.queues.brokers import Broker
from tests.queues.brokers import RedisBroker

MakeApp = Callable[..., Flask]


@pytest.fixture
def queue(start: Callable[[type[Broker]], Broker]) -> Queue:
    return Queue(connection=Redis.from_url(start(RedisBroker).url))


@pytest.fixture
def app(make_app: MakeApp, queue: Queue) -> Flask:
    app = make_app(ENGINE="rq")
    app.extensions["rq"] = queue
    return app


def record(app: Flask, *keys: str) -> None:
    """Record, and have it published."""
    with app.app_context():
        for key in keys:
            track_conversion(key, xid=XID)
    get_state(app).engine.stop()


def work(app: Flask, queue: Queue) -> None:
    """Run what is enqueued, in this process."""
    with app.app_context():
        SimpleWorker([queue], connection=queue.connection).work(burst=True)


def test_one_job_delivers_all_that_is_due(
    app: Flask, queue: Queue, transport: ScriptedTransport
) -> None:
    """Many signups enqueue one job while none of it is run, because RQ forks for each."""
    record(app, *(f"customer-{number}" for number in range(20)))
    assert queue.count == 1
    work(app, queue)
    assert len(transport.requests) == 20
    assert get_state(app).ledger.counts()[Status.DELIVERED] == 20


def test_a_job_that_has_begun_counts_no_more(
    app: Flask, queue: Queue, transport: ScriptedTransport
) -> None:
    """Who records while a pass is at its end has a job of their own."""
    record(app, "one")
    work(app, queue)
    record(app, "two")
    assert queue.count == 1
    work(app, queue)
    assert len(transport.requests) == 2


@pytest.fixture
def other(make_app: MakeApp, queue: Queue) -> Flask:
    """An app with a ledger of its own, at the same queue."""
    app = make_app(ENGINE="rq")
    app.extensions["rq"] = queue
    return app


def test_each_ledger_has_its_own_job(app: Flask, other: Flask, queue: Queue) -> None:
    """A job that waits for another app is none for this one."""
    record(app, "ours")
    record(other, "theirs")
    assert queue.count == 2


def test_a_job_for_another_ledger_is_said_once(
    app: Flask, other: Flask, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """It runs nothing here, and what comes next in the other app enqueues a job again."""
    for key in ("one", "two"):
        record(other, key)
        assert queue.count == 1
        work(app, queue)
    assert caplog.text.count("in the queue 'default' is about another ledger") == 1
    assert get_state(other).ledger.counts()[Status.PENDING] == 2


def test_a_job_of_an_older_version_is_for_whoever_takes_it(app: Flask, queue: Queue) -> None:
    """It does not say which ledger it is for, and its mark in Redis goes with it."""
    record(app, "acme")
    queue.empty()  # type: ignore[no-untyped-call]  # RQ's
    queue.connection.set("partnerstack:waiting:default", 1)
    queue.enqueue_call(room.sweep)
    work(app, queue)
    assert get_state(app).ledger.counts()[Status.DELIVERED] == 1
    assert not queue.connection.exists("partnerstack:waiting:default")


def test_a_ledger_that_cannot_be_asked_its_name_is_published_for(
    app: Flask, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is of more use than the name in it."""

    def fail(_ledger: object) -> str:
        raise LedgerUnavailable("the ledger", "it is busy")

    with app.app_context(), monkeypatch.context() as busy:
        busy.setattr(type(get_state(app).ledger), "name", fail)
        room.connect(app)(None)
    assert [job.meta for job in queue.jobs] == [{}]


def test_a_job_that_could_not_be_enqueued_does_not_count(
    app: Flask, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody trusts that one waits, and the next nudge enqueues it."""

    def fail(*_args: object, **_options: object) -> None:
        raise ConnectionError("failover")

    with app.app_context():
        publish = room.connect(app)
        with monkeypatch.context() as broken:
            broken.setattr(queue, "enqueue_call", fail)
            with pytest.raises(ConnectionError):
                publish(1)
        publish(1)
    assert queue.count == 1


def test_what_does_not_fit_into_one_job_is_left_to_another(
    app: Flask, queue: Queue, transport: ScriptedTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that runs out of time enqueues the next, so that others have a turn."""
    monkeypatch.setattr(room, "SWEEP_LASTS", 0)
    record(app, *(f"customer-{number}" for number in range(5)))
    with app.app_context():
        SimpleWorker([queue], connection=queue.connection).work(burst=True, max_jobs=1)
    assert len(transport.requests) == 4  # CONCURRENCY
    assert queue.count == 1


def test_a_job_is_no_deploy(app: Flask, queue: Queue, transport: ScriptedTransport) -> None:
    """RQ forks for each job; what was set up before a pause is not probed at once by any."""
    transport.answers = [Response(401)] * 100
    record(app, *(f"customer-{number}" for number in range(9)))
    ledger, sent = get_state(app).ledger, []
    for _ in range(2):
        for _ in range(4):
            queue.enqueue_call(room.sweep, result_ttl=0)
        with app.app_context():
            Worker([queue], connection=queue.connection).work(burst=True)
        sent.append(sum(len(ledger.trail(entry)) for entry in ledger.entries()))
    assert sent[0] <= get_state(app).settings.concurrency
    assert sent[1] == sent[0]


def test_nothing_is_kept_of_a_job_that_is_done(app: Flask, queue: Queue) -> None:
    """Neither a result nor a trace of ours stays in Redis."""
    record(app, "acme")
    work(app, queue)
    assert queue.connection.keys("rq:job:*") == []
    assert queue.connection.keys("partnerstack:*") == []


def test_a_queue_that_is_not_asynchronous_is_refused(app: Flask, queue: Queue) -> None:
    """Its job would run in the publisher's thread, without the app, and deliver nothing."""
    app.extensions["rq"] = Queue(connection=queue.connection, is_async=False)
    with pytest.raises(ConfigurationError, match="is_async=False"):
        room.connect(app)


def test_check_counts_the_workers(app: Flask, queue: Queue) -> None:
    """Nobody serves the queue, and then somebody does."""

    def findings() -> list[tuple[str, str]]:
        return [(f.level, f.what) for f in examine(app) if "RQ" in f.what]

    assert findings() == [
        ("error", "PARTNERSTACK_ENGINE is \"rq\". No RQ worker serves 'default'.")
    ]
    worker = Worker([queue], connection=queue.connection)
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ's
    assert findings() == [("ok", "Deliveries are made by RQ; 1 worker of 'default' known.")]
    worker.register_death()  # type: ignore[no-untyped-call]  # RQ's


def test_the_queue_of_flask_rq_is_found(app: Flask, queue: Queue) -> None:
    """An extension with a ``queue`` of the current app, as Flask-RQ's is."""

    class FlaskRQ:
        @property
        def queue(self) -> Queue:
            get_state()  # needs the app's context, as Flask-RQ does
            return queue

    app.extensions["rq"] = FlaskRQ()
    record(app, "acme")
    assert queue.count == 1


def test_a_page_view_has_nothing_to_do_with_a_queue_that_is_not_there(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Flask-RQ raises where RQ_QUEUES names no "default": that is said, and the page is shown."""

    class FlaskRQ:
        @property
        def queue(self) -> Queue:
            raise KeyError("default")

    app.extensions["rq"] = FlaskRQ()
    assert app.test_client().get("/nowhere").status_code == 404
    assert "which has none (KeyError: 'default'). Flask-RQ's is the one named" in caplog.text
    (told,) = (finding for finding in examine(app) if "RQ_QUEUES" in finding.what)
    assert told.level == "error"


def test_looking_for_the_queue_ends_no_context(app: Flask, queue: Queue) -> None:
    """The first page view looks, inside its own; what the app takes down at its end stays up."""
    taken_down: list[object] = []
    app.teardown_appcontext(taken_down.append)
    with app.app_context():
        room.connect(app)
        assert taken_down == []


@pytest.mark.parametrize(("there", "named"), [(None, "nothing"), ("redis://", "str")])
def test_an_app_without_a_queue_is_told(make_app: MakeApp, there: object, named: str) -> None:
    """Which key asks for it, where it is looked for, what is there, and the way out."""
    app = make_app(ENGINE="rq")
    app.extensions["rq"] = there
    with pytest.raises(ConfigurationError, match=rf"ENGINE: .*got {named} there\. .*Queue\("):
        room.connect(app)


def test_a_job_without_an_app_says_how_to_have_one() -> None:
    """A worker that was started without the app's context fails with the recipe."""
    with pytest.raises(NotInitialized, match=r"app\.app_context\(\)"):
        room.sweep()
