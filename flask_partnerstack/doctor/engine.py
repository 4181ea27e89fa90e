"""Who delivers: the engine that truly runs, and whether anybody is there."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar

from flask import Flask

from .._state import State
from ..engines import InlineEngine
from ..engines import PublishingEngine
from ..engines import RequestEngine
from ..errors import ConfigurationError
from .finding import Finding

Answer = TypeVar("Answer")

#: Seconds that Celery's workers have to answer, and that we wait for a broker that says nothing.
PING = 1.5
PATIENCE = 6.0


def look_at_engine(app: Flask, state: State) -> Iterator[Finding]:
    """Say who delivers here, and what must be running for it."""
    engine: str = state.settings.engine
    if isinstance(state.engine, RequestEngine):
        yield _in_requests(engine)
    elif engine == "none":
        yield _elsewhere()
    elif engine == "celery":
        yield _celery(app.extensions.get("celery"))
    elif isinstance(state.engine, PublishingEngine):
        yield _rq(app, state.engine)
    else:
        yield _in_this_app(engine, state)


def _in_requests(engine: str) -> Finding:
    return Finding(
        "error",
        f'PARTNERSTACK_ENGINE is "{engine}", but uWSGI runs here without threads: deliveries are '
        "made by RequestEngine, in requests.",
        "Page views and signups deliver, and wait for it, 3 s at most; between requests nothing is "
        "delivered.",
        "Start uWSGI with --enable-threads, or keep flask partnerstack worker running and set "
        'PARTNERSTACK_ENGINE to "none".',
    )


def _elsewhere() -> Finding:
    return Finding(
        "warning",
        'PARTNERSTACK_ENGINE is "none": this app delivers nothing by itself.',
        "Conversions wait until another process delivers them.",
        "Keep flask partnerstack worker running, or run flask partnerstack deliver from cron.",
    )


def _in_this_app(engine: str, state: State) -> Finding:
    hint = ""
    if not isinstance(state.engine, InlineEngine) and _is_uwsgi_here():
        hint = (
            "uWSGI is installed: without --enable-threads it delivers in requests, by "
            "RequestEngine. The app's start-up log says so at ERROR; this command cannot see it."
        )
    return Finding(
        "ok",
        f'Deliveries are made by the engine "{engine}" ({type(state.engine).__name__}).',
        way_out=hint,
    )


def _is_uwsgi_here() -> bool:
    return shutil.which("uwsgi") is not None or importlib.util.find_spec("pyuwsgi") is not None


def _celery(celery: Any) -> Finding:
    if celery is None:
        return Finding(
            "error",
            'PARTNERSTACK_ENGINE is "celery", but app.extensions["celery"] is not there.',
            "Nothing can be published, so nothing is delivered.",
            "Give the app a Celery as Flask's documentation shows: "
            "https://flask.palletsprojects.com/patterns/celery/",
        )
    answers = _ping(celery)
    if isinstance(answers, list) and answers:
        named = "1 worker" if len(answers) == 1 else f"{len(answers)} workers"
        return Finding("ok", f"Deliveries are made by Celery; {named} answered.")
    what = answers if isinstance(answers, str) else "No Celery worker answered."
    return Finding(
        "error",
        f'PARTNERSTACK_ENGINE is "celery". {what}',
        "Conversions are recorded, and wait until a worker or the periodic sweep delivers them.",
        "Start the app's worker (celery -A make_celery worker) and beat; see that they use this "
        "app's broker. Until then: flask partnerstack deliver",
    )


def _rq(app: Flask, engine: PublishingEngine) -> Finding:
    try:
        engine.connect()
    except ConfigurationError as e:
        return Finding(
            "error",
            str(e),
            "Nothing can be enqueued, so nothing is delivered.",
            "Until then: flask partnerstack deliver",
        )
    queue = _queue_of(app.extensions["rq"])
    workers = _within_patience(lambda: _workers(queue))
    if isinstance(workers, int) and workers:
        named = "1 worker" if workers == 1 else f"{workers} workers"
        return Finding("ok", f"Deliveries are made by RQ; {named} of {queue.name!r} known.")
    what = workers if isinstance(workers, str) else f"No RQ worker serves {queue.name!r}."
    return Finding(
        "error",
        f'PARTNERSTACK_ENGINE is "rq". {what}',
        "Conversions are recorded, and wait until a worker delivers them.",
        "Start a worker of that queue in the app's context, and rq cron for the periodic sweep; "
        "see that they use this app's Redis. Until then: flask partnerstack deliver",
    )


def _queue_of(found: Any) -> Any:
    from rq import Queue  # of an extra, which is there where this engine is

    return found if isinstance(found, Queue) else found.queue


def _workers(queue: Any) -> int:
    from rq import Worker

    queue.connection.ping()
    return Worker.count(queue=queue)


def _ping(celery: Any) -> list[Any] | str:
    """Return the workers that answer, or what is wrong with the broker."""

    def ask() -> list[Any]:
        with celery.connection_for_write() as connection:
            # Or Celery would try again without end at a broker that is not there.
            connection.ensure_connection(max_retries=1, interval_start=0)
            return celery.control.ping(timeout=PING, connection=connection) or []

    return _within_patience(ask)


def _within_patience(ask: Callable[[], Answer]) -> Answer | str:
    """Return what a broker answers, or what is wrong with it.

    In a thread that is left alone in the end, because a silent broker is waited for without end.
    """
    said: list[Answer | str] = []

    def run() -> None:
        try:
            said.append(ask())
        except Exception as e:  # noqa: BLE001 - each broker has its own
            said.append(f"Its broker cannot be asked ({type(e).__name__}).")

    thread = threading.Thread(target=run, name="partnerstack-ping", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return said[0] if said else f"Its broker said nothing for {PATIENCE:.0f} seconds."
