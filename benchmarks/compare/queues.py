"""The three queues on Redis: a task that posts one conversion, tried again as their manuals show.

:mod:`benchmarks.compare.worker` works on what is queued.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from typing import Final

from flask import Flask

from benchmarks.compare.place import FACTS
from benchmarks.compare.place import Place

CELERY_TASK: Final = "report"
#: More than each outage here lasts.
TRIES: Final = 10
WORKERS: Final = 16

_thread = threading.local()


def report(vendor: str, key: str) -> None:
    """Post one conversion over a connection that the thread keeps."""
    import requests

    if not hasattr(_thread, "session"):
        _thread.session = requests.Session()
    url, body = f"{vendor}/conversion/xid", {"customer_key": key, **FACTS}
    headers = {"Authorization": "Bearer token"}
    _thread.session.post(url, json=body, headers=headers, timeout=10).raise_for_status()


# --- Celery ---------------------------------------------------------------------------------------


def celery_app(place: Place) -> Any:
    from celery import Celery
    from requests import RequestException

    app = Celery("compare", broker=place.redis)
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)

    @app.task(  # type: ignore[untyped-decorator]  # Celery ships no types
        name=CELERY_TASK,
        shared=False,
        autoretry_for=(RequestException,),
        retry_backoff=True,
        retry_backoff_max=8,
        max_retries=TRIES,
    )
    def task(key: str) -> None:
        report(place.vendor, key)

    return app


def work_on_celery(place: Place) -> None:
    work_with_threads(celery_app(place))


def work_with_threads(app: Any, *arguments: str) -> None:
    """Run a Celery's worker until it is stopped."""
    size = f"--concurrency={WORKERS}"
    app.worker_main(["worker", "--pool=threads", size, "--loglevel=ERROR", *arguments])


def give_celery(app: Flask, place: Place) -> None:
    """Give an app its Celery, as Flask's documentation shows, and our sweep."""
    from celery import Celery
    from celery import Task

    from flask_partnerstack.celery import SWEEP_SCHEDULE

    class FlaskTask(Task):  # type: ignore[misc]  # Celery ships no types
        def __call__(self, *args: Any, **options: Any) -> Any:
            with app.app_context():
                return self.run(*args, **options)

    celery = Celery(app.name, broker=place.redis, task_cls=FlaskTask)
    celery.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        beat_schedule=SWEEP_SCHEDULE,
    )
    celery.set_default()
    app.extensions["celery"] = celery


# --- Huey -----------------------------------------------------------------------------------------


def huey_task(place: Place) -> Callable[[str], object]:
    return _huey_and_task(place)[1]


def _huey_and_task(place: Place) -> tuple[Any, Callable[[str], object]]:
    from huey import RedisHuey

    app = RedisHuey("compare", url=place.redis, results=False)

    @app.task(retries=TRIES, retry_delay=2, name="report")  # type: ignore[untyped-decorator]
    def task(key: str) -> None:
        report(place.vendor, key)

    return app, task


def work_on_huey(place: Place) -> None:
    app, _ = _huey_and_task(place)
    app.create_consumer(workers=WORKERS, worker_type="thread").run()


# --- RQ -------------------------------------------------------------------------------------------


def rq_queue(place: Place) -> Any:
    from redis import Redis
    from rq import Queue

    return Queue(connection=Redis.from_url(place.redis))


def rq_retry() -> Any:
    from rq import Retry

    return Retry(max=TRIES, interval=[1, 2, 4, 8])


def work_on_rq(place: Place) -> None:
    from rq import Worker

    queue = rq_queue(place)
    worker = Worker([queue], connection=queue.connection)
    worker.work(with_scheduler=True, logging_level="ERROR")


WORK: Final[dict[str, Callable[[Place], None]]] = {
    "celery": work_on_celery,
    "huey": work_on_huey,
    "rq": work_on_rq,
}
