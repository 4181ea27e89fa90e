"""``build_state``: makes what belongs to one app. The one place where all the parts meet."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from flask import Flask

from . import signals
from ._db import database_of
from ._state import State
from .dispatcher import Dispatcher
from .dispatcher import Outcome
from .engines import Engine
from .engines import InlineEngine
from .engines import NoEngine
from .engines import PublishingEngine
from .engines import RequestEngine
from .engines import ThreadEngine
from .engines import engine_here
from .errors import ConfigurationError
from .hooks import Hooks
from .ledger import Clock
from .ledger import Database
from .ledger import Ledger
from .ledger import Place
from .ledger import Storage
from .referral import Attribution
from .settings import DEADLINE
from .settings import Settings
from .settings import is_loopback
from .wire import Client
from .wire import Transport

#: What one send may take while a request waits for it, so that it is settled before the request
#: walks away.
INLINE_DEADLINE = timedelta(seconds=2.5)
TESTING = "testing"


@dataclass(frozen=True, kw_only=True)
class Givens:
    """What is the same however often an app's state is built.

    :param db: the app's Flask-SQLAlchemy object, if the ledger lies in its database.
    """

    app: Flask
    db: Any
    hooks: Hooks
    clock: Clock
    make_transport: Callable[[Settings], Transport]


def build_state(
    givens: Givens,
    settings: Settings,
    place: Place,
    *,
    clock: Clock | None = None,
    transport: Transport | None = None,
) -> State:
    """Build an app's state. Opens no database and starts no thread.

    :param clock: in the place of the given one, as in a rehearsal.
    :param transport: likewise.
    :raises ConfigurationError: what was chosen needs something that is not installed.
    """
    app, clock = givens.app, clock or givens.clock
    ledger = Ledger(_database_of(givens, place), lease=settings.lease, clock=clock)
    client = Client(settings, transport or givens.make_transport(settings))
    dispatcher = _dispatcher_of(app, settings, ledger, client)
    return State(
        visit_key=f"flask_partnerstack.visit.{id(app)}",
        settings=settings,
        attribution=Attribution(settings.attribution, settings.attribution_window),
        place=place,
        ledger=ledger,
        dispatcher=dispatcher,
        engine=_ENGINES[engine_here(settings.engine)](app, settings, dispatcher),
        clock=clock,
        hooks=givens.hooks,
        rebuild=partial(build_state, givens),
    )


def _database_of(givens: Givens, place: Place) -> Storage:
    if place.url is None:
        return database_of(givens.app, givens.db)
    return Database(place.url, embedded=place.embedded)


def _dispatcher_of(app: Flask, settings: Settings, ledger: Ledger, client: Client) -> Dispatcher:
    return Dispatcher(
        settings,
        ledger,
        client,
        deadline=INLINE_DEADLINE if engine_here(settings.engine) in _IN_REQUESTS else DEADLINE,
        blocked=_blocked(app, settings),
        on_outcome=_announcer(app),
    )


# --- who delivers -------------------------------------------------------------------------------


def _by_celery(app: Flask, _settings: Settings, _work: Dispatcher) -> Engine:
    try:
        from .celery import connect
    except ModuleNotFoundError as e:
        raise _without_extra("celery") from e
    return PublishingEngine(partial(connect, app))


def _by_rq(app: Flask, _settings: Settings, _work: Dispatcher) -> Engine:
    try:
        from .rq import connect
    except ModuleNotFoundError as e:
        raise _without_extra("rq") from e
    return PublishingEngine(partial(connect, app))


def _without_extra(name: str) -> ConfigurationError:
    return ConfigurationError(
        "PARTNERSTACK_ENGINE",
        f"\"{name}\" needs what is not installed here: pip install 'Flask-PartnerStack[{name}]'.",
    )


_ENGINES: Mapping[str, Callable[[Flask, Settings, Dispatcher], Engine]] = {
    "thread": lambda _app, settings, work: ThreadEngine(work, concurrency=settings.concurrency),
    "inline": lambda _app, _settings, work: InlineEngine(work),
    "none": lambda _app, _settings, _work: NoEngine(),
    "celery": _by_celery,
    "rq": _by_rq,
    "request": lambda _app, _settings, work: RequestEngine(
        work, longest=INLINE_DEADLINE.total_seconds()
    ),
}
_IN_REQUESTS = ("inline", "request")


# --- what becomes of it -------------------------------------------------------------------------


def _blocked(app: Flask, settings: Settings) -> Callable[[], str | None]:
    # Looked at before each send, because tests set app.testing after the factory.
    spoken_to = [settings.conversion_url, *([settings.api_url] if settings.verifies else [])]
    local = all(map(is_loopback, spoken_to))
    return lambda: TESTING if app.testing and not local else None


def _announcer(app: Flask) -> Callable[[Outcome], None]:
    def announce(outcome: Outcome) -> None:
        signal, facts = _FATES[outcome.fate]
        signals.send(signal, app, **facts(outcome))

    return announce


_FATES: Mapping[str, tuple[Any, Callable[[Outcome], dict[str, Any]]]] = {
    "delivered": (signals.conversion_delivered, lambda o: {"entry": o.entry}),
    "verified": (signals.conversion_verified, lambda o: {"entry": o.entry}),
    "postponed": (
        signals.conversion_postponed,
        lambda o: {"entry": o.entry, "due": o.entry and o.entry.due_at},
    ),
    "paused": (signals.delivery_paused, lambda o: {"reason": o.reason}),
    "buried": (signals.conversion_buried, lambda o: {"entry": o.entry, "reason": o.reason}),
}
