"""Deliveries by the app's own Celery: the tasks, and what publishes them.

``PARTNERSTACK_ENGINE="celery"`` publishes "entry N is due" through ``app.extensions["celery"]``,
which Flask's documentation shows how to make (https://flask.palletsprojects.com/patterns/celery/).
Retries are the ledger's, so a periodic sweep belongs to it; it also finds what a broker lost::

    from flask_partnerstack.celery import SWEEP_SCHEDULE

    app.config["CELERY"] = {..., "beat_schedule": {**SWEEP_SCHEDULE}}
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from functools import partial
from typing import Any
from typing import Final

from celery import Celery
from celery import Task
from celery import shared_task
from flask import Flask
from flask import has_app_context

from ._heard import let_be_heard
from ._message import is_strange
from ._message import marked
from ._message import name_of
from ._message import said_of_strangers
from ._state import State
from ._state import get_state
from .engines import Publish
from .engines import drain
from .errors import ConfigurationError
from .errors import NotInitialized

log: Final = logging.getLogger("flask_partnerstack")

#: The tasks' names, for ``task_routes``.
DELIVER: Final = "flask_partnerstack.deliver"
SWEEP: Final = "flask_partnerstack.sweep"

#: How often everything that is due is looked for. A retry is late by that at most.
SWEEP_EVERY = timedelta(seconds=30)
#: How long one sweep begins new sends, so that the next one finds it done.
SWEEP_LASTS = timedelta(seconds=25)
#: How long a sweep waits for a worker. Celery drops what is older without a word: each one, where
#: the queue is always that far behind, or the worker's clock is ahead of beat's by as much.
SWEEP_EXPIRES = timedelta(hours=1)

#: For Celery's ``beat_schedule``. A sweep that nobody ran within the hour is not run later.
SWEEP_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "flask-partnerstack-sweep": {
        "task": SWEEP,
        "schedule": SWEEP_EVERY,
        "options": {"expires": SWEEP_EXPIRES.total_seconds()},
    }
}

_TASK: Final[dict[str, Any]] = {
    # A killed worker's message comes back. If the entry was claimed by then, its lease decides.
    "acks_late": True,
    "reject_on_worker_lost": True,
    "ignore_result": True,
    # Of our own, because an app-wide limit may be shorter than a send, and cut it off.
    "soft_time_limit": 100,
    "time_limit": 120,
}
#: A kept connection may have died since its last use, so one more try; the engine does the rest.
_PUBLISHING: Final[dict[str, Any]] = {
    "retry": True,
    "retry_policy": {"max_retries": 1, "interval_start": 0},
}

#: The longest wait for a broker that says nothing, in seconds and each transport's own words.
#: Their default is none. What the app's ``broker_transport_options`` say goes first.
_BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "redis": {"socket_connect_timeout": 5.0, "socket_timeout": 10.0},
    "amqp": {"read_timeout": 10.0, "write_timeout": 10.0},
}

_OWN_QUEUE = (
    "Give each app a queue of its own, by task_default_queue in its Celery's settings, or by "
    'task_routes = {"flask_partnerstack.*": {"queue": ...}} and --queues of its worker.'
)
_RECIPE = (
    "Give the app a Celery as Flask's documentation shows "
    "(https://flask.palletsprojects.com/patterns/celery/): "
)


@shared_task(name=DELIVER, bind=True, **_TASK)  # type: ignore[untyped-decorator]  # no types
def deliver(task: Task, entry_id: int) -> None:
    """Deliver one entry, if it is still due and in nobody's hands."""
    state = _state()
    if _is_for_another(task, state):
        return
    if not state.dispatcher.deliver(entry_id) and not state.ledger.has(entry_id):
        log.error(
            "A message says that entry %s is due, but the ledger at %s has none. Does this "
            "worker have the same PARTNERSTACK_LEDGER_URL as the app that recorded it?",
            entry_id,
            state.ledger.location,
        )


@shared_task(name=SWEEP, bind=True, **_TASK)  # type: ignore[untyped-decorator]  # no types
def sweep(task: Task) -> None:
    """Deliver whatever is due: retries, and what no message came for."""
    state = _state()
    if _is_for_another(task, state):
        return
    drain(
        state.dispatcher,
        concurrency=state.settings.concurrency,
        seconds=SWEEP_LASTS.total_seconds(),
    )


def _is_for_another(task: Task, state: State) -> bool:
    """Say whether a task's message is about another ledger, and tell the log, once."""
    if not is_strange(vars(task.request), state):
        return False
    if state.once.first("a message about another ledger"):
        queue = (task.request.delivery_info or {}).get("routing_key") or "celery"
        log.error("%s", said_of_strangers(state, queue, _OWN_QUEUE))
    return True


def connect(app: Flask) -> Publish:
    """Return what publishes through the app's Celery.

    :raises ConfigurationError: the app has none.
    """
    found = app.extensions.get("celery")
    if not isinstance(found, Celery):
        raise ConfigurationError(
            "PARTNERSTACK_ENGINE",
            '"celery" publishes through the Celery in app.extensions["celery"], got '
            f"{'nothing' if found is None else type(found).__name__} there. {_RECIPE}"
            "celery_init_app(app).",
        )
    return _Publisher(found, partial(name_of, get_state(app)))


class _Publisher:
    """Publishes over a connection of its own, which never waits for ever. For one thread."""

    def __init__(self, celery: Celery, ask_name: Callable[[], str | None]) -> None:
        self._celery = celery
        self._ask_name = ask_name
        self._name: str | None = None

    def __call__(self, entry_id: int | None) -> None:
        # Looked up by name: with several apps in a process, the shared task is the last one's.
        name, args = (SWEEP, ()) if entry_id is None else (DELIVER, (entry_id,))
        self._name = self._name or self._ask_name()
        how = {"headers": marked(self._name), "producer": self._producer, **_PUBLISHING}
        try:
            self._celery.tasks[name].apply_async(args, **how)
        except Exception:
            self._producer.connection.collect(socket_timeout=1.0)  # without saying good-bye
            raise

    @cached_property
    def _producer(self) -> Any:
        connection = self._celery.connection_for_write()
        bounds = _BOUNDS.get(connection.transport.driver_type, {})
        connection.transport_options = {**bounds, **connection.transport_options}
        return self._celery.amqp.Producer(connection, auto_declare=False)


def _state() -> State:
    if not has_app_context():
        raise NotInitialized(
            f"A Celery task of Flask-PartnerStack ran without an app. {_RECIPE}"
            "its FlaskTask runs each task in the app's context."
        )
    let_be_heard()  # workers may set up their logging after the app
    return get_state()
