"""Deliveries by the app's own RQ: the job, and what enqueues it.

``PARTNERSTACK_ENGINE="rq"`` enqueues one job for all that is due, because RQ forks for each.
The queue is ``app.extensions["rq"]``: an ``rq.Queue``, or Flask-RQ's extension. The worker runs in
the app's context. Retries are the ledger's, so a periodic sweep belongs to it; it also finds what
Redis lost. In a configuration file of ``rq cron``::

    from rq import cron
    from flask_partnerstack.rq import SWEEP_EVERY, sweep

    cron.register(sweep, queue_name="default", interval=SWEEP_EVERY)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from typing import Any
from typing import Final

from flask import Flask
from flask import has_app_context
from rq import Queue
from rq import get_current_job
from rq.job import Job

from ._heard import let_be_heard
from ._message import LEDGER
from ._message import is_strange
from ._message import marked
from ._message import name_of
from ._message import said_of_strangers
from ._state import EXTENSION
from ._state import State
from ._state import context_of
from ._state import get_state
from ._state import this_app
from .engines import Publish
from .engines import drain
from .errors import ConfigurationError
from .errors import NotInitialized

log: Final = logging.getLogger("flask_partnerstack")

#: Seconds between two periodic sweeps. A retry is late by that at most.
SWEEP_EVERY: Final = 30
#: Seconds for which one job begins new sends; then it enqueues another, and others have a turn.
SWEEP_LASTS: Final = 60
_JOB: Final[dict[str, Any]] = {
    "timeout": 180,  # seconds: enough for the last send and its look-up
    "result_ttl": 0,
    "failure_ttl": 86_400,  # seconds for which RQ shows a job that failed
}
#: Seconds after which a job that was enqueued and never seen again is enqueued anew.
_WAITING_EXPIRES: Final = 60
#: Seconds after which it is said again that apps share a queue.
_SAID_AGAIN: Final = 3600

_OWN_QUEUE = (
    'Give each app a queue of its own, app.extensions["rq"] = Queue("shop", connection=...), and '
    "its worker and its rq cron the same."
)
_RECIPE = (
    "Put an rq.Queue there when the app is made: "
    'app.extensions["rq"] = Queue(connection=Redis.from_url(...)), or init_app Flask-RQ.'
)


def sweep() -> None:
    """Deliver whatever is due. The job."""
    job = get_current_job()
    if job is not None:
        # First of all: who records from now on enqueues another job. Who did before is seen to.
        job.connection.delete(_waiting(job.origin, job.meta))
    state = _state()
    if job is not None and is_strange(job.meta, state):
        _say_shared(job, state)
        return
    left = drain(state.dispatcher, concurrency=state.settings.concurrency, seconds=SWEEP_LASTS)
    if left:
        connect(this_app())(None)


def connect(app: Flask) -> Publish:
    """Return what enqueues the job, unless one waits already.

    :raises ConfigurationError: the app has no queue, or one that is not asynchronous.
    """
    queue = _queue_of(app)
    name: str | None = None

    def publish(_entry_id: int | None) -> None:
        nonlocal name
        name = name or name_of(get_state(app))
        meta = marked(name)
        waiting = _waiting(queue.name, meta)
        if queue.connection.set(waiting, 1, nx=True, ex=_WAITING_EXPIRES):
            with _or_none_waits(queue, waiting):
                queue.enqueue_call(sweep, meta=meta, **_JOB)

    return publish


def _say_shared(job: Job, state: State) -> None:
    """Tell the log that apps share a queue: once in a while, though RQ forks for each job."""
    said = f"{EXTENSION}:said:{job.origin}"
    if job.connection.set(said, 1, nx=True, ex=_SAID_AGAIN):
        log.error("%s", said_of_strangers(state, job.origin, _OWN_QUEUE))


@contextmanager
def _or_none_waits(queue: Queue, waiting: str) -> Iterator[None]:
    """Take back that a job waits, where it could not be enqueued: the next nudge would trust it."""
    try:
        yield
    except Exception:
        with suppress(Exception):  # the broker's, of which we hear already
            queue.connection.delete(waiting)
        raise


def _queue_of(app: Flask) -> Queue:
    found = app.extensions.get("rq")
    with context_of(app):  # Flask-RQ's extension serves many apps, and gives the current one's
        queue = found if isinstance(found, Queue) else _default_of(found)
    if not isinstance(queue, Queue):
        raise ConfigurationError(
            "PARTNERSTACK_ENGINE",
            '"rq" enqueues into the rq.Queue in app.extensions["rq"], got '
            f"{'nothing' if found is None else type(found).__name__} there. {_RECIPE}",
        )
    if not queue.is_async:
        raise ConfigurationError(
            "PARTNERSTACK_ENGINE",
            '"rq" enqueues for a worker, got an rq.Queue in app.extensions["rq"] with '
            'is_async=False, which runs its jobs where they are enqueued. For that: "inline".',
        )
    return queue


def _default_of(extension: object) -> object:
    try:
        return getattr(extension, "queue", None)
    except Exception as e:
        raise ConfigurationError(
            "PARTNERSTACK_ENGINE",
            '"rq" enqueues into the queue of the extension in app.extensions["rq"], which has none '
            f'({type(e).__name__}: {e}). Flask-RQ\'s is the one named "default" in RQ_QUEUES.',
        ) from e


def _waiting(queue_name: str, message: Mapping[str, Any]) -> str:
    """Return the name in Redis that is there while a job for the same ledger waits to be run."""
    of_ledger = [message[LEDGER]] if LEDGER in message else []  # none in an older version's
    return ":".join([EXTENSION, "waiting", queue_name, *of_ledger])


def _state() -> State:
    if not has_app_context():
        raise NotInitialized(
            "An RQ job of Flask-PartnerStack ran without an app. Start the worker in its context, "
            "with app.app_context(): Worker([queue], connection=...).work(), or with Flask-RQ's "
            "flask rq worker."
        )
    let_be_heard()  # workers may set up their logging after the app
    return get_state()
