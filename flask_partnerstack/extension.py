"""``PartnerStack``: the extension. Keeps nothing of an app; that is on the app."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from functools import partial
from typing import Any
from typing import Final
from typing import ParamSpec
from typing import TypeVar
from typing import overload

import click
from flask import Blueprint
from flask import Flask
from flask.cli import FlaskGroup

from . import capture
from . import signals
from . import signup
from . import snippet
from . import tracking
from . import verification
from ._db import database_of
from ._db import join_metadata
from ._state import EXTENSION
from ._state import State
from .dashboard import Permission
from .dashboard import make_dashboard
from .dispatcher import Dispatcher
from .dispatcher import Outcome
from .engines import Engine
from .engines import InlineEngine
from .engines import NoEngine
from .engines import PublishingEngine
from .engines import RequestEngine
from .engines import ThreadEngine
from .engines import threads_stand_still
from .errors import ConfigurationError
from .hooks import ConsentHook
from .hooks import Hooks
from .hooks import SkipIfHook
from .ledger import LEDGER_URL
from .ledger import Clock
from .ledger import Database
from .ledger import Ledger
from .ledger import Place
from .ledger import Storage
from .ledger import utcnow
from .referral import Attribution
from .settings import DEADLINE
from .settings import Settings
from .settings import is_loopback
from .signup import AskCustomer
from .signup import AskSuccess
from .verification import WhenVerified
from .wire import Client
from .wire import HTTPTransport
from .wire import Transport

log: Final = logging.getLogger("flask_partnerstack")

P = ParamSpec("P")
R = TypeVar("R")

#: What one send may take while a request waits for it, so that it is settled before the request
#: walks away.
INLINE_DEADLINE = timedelta(seconds=2.5)
TESTING = "testing"


class PartnerStack:
    """Captures PartnerStack referrals and reports conversions, for any number of apps.

    :param app: registered at once when given; else call :meth:`init_app` in the factory.
    :param db: a Flask-SQLAlchemy (3, or Lite) object, so that the ledger lies in the app's own
        database. Its tables join ``db.metadata`` at once.
    """

    def __init__(self, app: Flask | None = None, *, db: Any = None) -> None:
        self._hooks = Hooks()
        self._when_verified: list[WhenVerified] = []
        self._db = db
        if db is not None:
            join_metadata(db)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, db: Any = None) -> None:
        """Register ``app``. Opens no database and starts no thread.

        :param db: as for the constructor, for this app. ``db.init_app`` may come later.
        :raises ConfigurationError: naming the key that has a bad value, or the argument, and what
            was expected.
        :raises RuntimeError: the app is registered already.
        """
        _check_app(app)
        _refuse_second(app)
        settings = Settings.from_mapping(app.config)
        db = self._db if db is None else db
        place = _place_of(app, settings, db)
        if settings.enabled:
            _check_place(place)

        state = self._build(app, settings, place, db=db)
        app.extensions[EXTENSION] = state
        _hook(app, state)
        tell = partial(verification.tell_verified, self._when_verified)
        signals.conversion_verified.connect(tell, sender=app, weak=False)
        _say(state)

    track_conversion: Final = staticmethod(tracking.track_conversion)
    set_customer: Final = staticmethod(signup.set_customer)
    decorate_url: Final = staticmethod(capture.decorate_url)
    is_verified: Final = staticmethod(verification.is_verified)

    # Type checkers lose the overloads of what is wrapped in staticmethod().
    @overload
    @staticmethod
    def track_signup(view: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    @staticmethod
    def track_signup(
        *, customer: AskCustomer | None = None, success: AskSuccess | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    @staticmethod
    def track_signup(
        view: Callable[P, R] | None = None,
        /,
        *,
        customer: AskCustomer | None = None,
        success: AskSuccess | None = None,
    ) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a signup view: see :func:`flask_partnerstack.track_signup`."""
        decorate = signup.track_signup(customer=customer, success=success)
        return decorate if view is None else decorate(view)

    def consent(self, hook: ConsentHook) -> ConsentHook:
        """Register the function that says whether a visitor has consented, for all apps.

        It gets the purpose, ``"keep"`` (may we keep the click in your browser?) or ``"report"``
        (may we tell PartnerStack of you?), and the :class:`Referral`; it returns ``True``,
        ``False``, or ``None`` for not asked yet. Anything but ``True`` counts as no, for now:
        nothing is kept, and a conversion is skipped until it is recorded again. For ``"report"``
        look at ``referral.source``: where it is ``"stored"``, this request is not the customer's.

        :raises RuntimeError: there is such a function already.
        """
        self._hooks.add_consent(hook)
        return hook

    def skip_if(self, hook: SkipIfHook) -> SkipIfHook:
        """Register a function that may veto a conversion, for all apps.

        It gets the :class:`Conversion` and returns the reason, or ``None`` to let it pass. What
        it vetoes is in the ledger as ``skipped``. There may be several: the first reason counts.
        """
        self._hooks.add_skip_if(hook)
        return hook

    def dashboard(self, *, permission: Permission | None = None) -> Blueprint:
        """Return the operator's page, to be registered on an app under a prefix of your choice.

        ::

            def may_see_customers():
                return current_user.is_authenticated and current_user.is_admin

            page = partnerstack.dashboard(permission=may_see_customers)
            app.register_blueprint(page, url_prefix="/partnerstack")

        :param permission: called in each request: ``True`` lets it pass, a response (a redirect
            to your login, say) is answered in its place, and anything else is a 403.
        :raises TypeError: without it. The page shows your customers.
        """
        return make_dashboard(permission)

    def when_verified(self, hook: WhenVerified) -> WhenVerified:
        """Decorate a function that is told the entry of each customer who is verified.

        In an app context, in the process that looked the customer up, after it is committed, and
        at most once: a process that is killed just then tells nobody. So let it start what can
        also be started by :func:`is_verified`, asked again later. Test customers are left out.
        """
        self._when_verified.append(hook)
        return hook

    def clock(self) -> datetime:
        """Return the time of day, aware; a subclass with another one travels in time."""
        return utcnow()

    def make_transport(self, settings: Settings) -> Transport:
        """Return what carries requests; a subclass may carry them elsewhere."""
        return HTTPTransport(settings.timeout)

    def _build(
        self,
        app: Flask,
        settings: Settings,
        place: Place,
        *,
        db: Any,
        clock: Clock | None = None,
        transport: Transport | None = None,
    ) -> State:
        clock = clock or self.clock
        database = _database_of(app, place, db)
        ledger = Ledger(database, lease=settings.lease, clock=clock)
        engine = _engine_name(settings)
        dispatcher = Dispatcher(
            settings,
            ledger,
            Client(settings, transport or self.make_transport(settings)),
            deadline=INLINE_DEADLINE if engine in _IN_REQUESTS else DEADLINE,
            blocked=_blocked(app, settings),
            on_outcome=_announcer(app),
        )
        return State(
            visit_key=f"flask_partnerstack.visit.{id(app)}",
            settings=settings,
            attribution=Attribution(settings.attribution, settings.attribution_window),
            place=place,
            ledger=ledger,
            dispatcher=dispatcher,
            engine=_ENGINES[engine](app, settings, dispatcher),
            clock=clock,
            hooks=self._hooks,
            rebuild=partial(self._build, app, db=db),
        )


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
_ELSEWHERE = ("celery", "rq")


def _engine_name(settings: Settings) -> str:
    """Return the engine that was asked for, or the one that can do its work here."""
    return "request" if _is_without_threads(settings) else settings.engine


def _is_without_threads(settings: Settings) -> bool:
    return settings.engine == "thread" and threads_stand_still()


def _check_app(app: object) -> None:
    if not isinstance(app, Flask):
        raise ConfigurationError(
            "app",
            f"expected a Flask app, got {type(app).__name__}. A db object goes by its name: "
            "PartnerStack(app, db=db), or PartnerStack(db=db) and init_app(app) in the factory.",
        )


def _refuse_second(app: Flask) -> None:
    if EXTENSION in app.extensions:
        raise RuntimeError(
            f"The app {app.name!r} was given to PartnerStack before. Call PartnerStack(app) or "
            "init_app(app), once."
        )


def _place_of(app: Flask, settings: Settings, db: Any) -> Place:
    if db is None:
        return Place.of(settings.ledger_url, app.instance_path)
    if settings.ledger_url is not None:
        raise ConfigurationError(
            LEDGER_URL, "expected this key or db=, not both: the ledger lies in one database."
        )
    join_metadata(db)
    return Place.of_app(app.instance_path)


def _database_of(app: Flask, place: Place, db: Any) -> Storage:
    if place.url is None:
        return database_of(app, db)
    return Database(place.url, embedded=place.embedded)


def _check_place(place: Place) -> None:
    try:
        place.make_writable()
    except ConfigurationError as e:
        # Whoever runs "flask partnerstack check" wants to read of this and not to stumble on it.
        if not _is_flask_command():
            raise
        log.error("%s", e)


def _is_flask_command() -> bool:
    """Say whether a ``flask`` command other than ``run`` is what loads the app."""
    context = click.get_current_context(silent=True)
    while context is not None and context.parent is not None:
        if isinstance(context.parent.command, FlaskGroup):
            return context.info_name != "run"
        context = context.parent
    return context is not None and isinstance(context.command, FlaskGroup)


def _is_looked_at() -> bool:
    """Say whether one of our own commands loads the app, which all but the worker end at once."""
    context, names = click.get_current_context(silent=True), []
    while context is not None:
        names.append(context.info_name)
        context = context.parent
    return "partnerstack" in names and names[0] != "worker"


def _hook(app: Flask, state: State) -> None:
    app.jinja_env.globals.update(
        partnerstack_snippet=snippet.partnerstack_snippet,
        partnerstack_capture=snippet.partnerstack_capture,
    )
    app.jinja_env.filters["decorate_url"] = capture.decorate_url
    if not state.settings.enabled:
        app.before_request(capture.disabled_hook)
        return
    snippet.add_endpoint(app, state)
    _wrap(app)


def _wrap(app: Flask) -> None:
    """Go before the first hook of the app, and behind the last."""
    preprocess, process = app.preprocess_request, app.process_response
    app.preprocess_request = capture.capturing(  # type: ignore[method-assign]
        preprocess, app.extensions
    )
    app.process_response = capture.keeping(  # type: ignore[method-assign]
        process, app.extensions
    )


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


def _say(state: State) -> None:
    if not state.settings.enabled:
        log.warning("PARTNERSTACK_ENABLED is False: nothing is captured, nothing is recorded.")
        return
    log.info("The ledger lies at %s.", state.ledger.location)
    if _is_without_threads(state.settings):
        log.error(
            "uWSGI runs here without threads, so nothing is delivered between requests: page "
            "views and signups deliver, and wait for it, 3 s at most. Start uWSGI with "
            "--enable-threads, or keep flask partnerstack worker running and set "
            'PARTNERSTACK_ENGINE to "none".'
        )
    if state.settings.engine in _ELSEWHERE and state.place.path is not None:
        log.warning(
            'PARTNERSTACK_ENGINE is "%s" and the ledger is a file: only workers on this machine '
            "that share it can deliver. Set PARTNERSTACK_LEDGER_URL to a database.",
            state.settings.engine,
        )
    if _is_looked_at():  # check says it, and above each answer of the others it would be noise
        return
    if not state.place.lasts():
        log.warning(
            "The ledger at %s will not outlive this machine or process: mount a volume there, "
            "or set PARTNERSTACK_LEDGER_URL to a database.",
            state.ledger.location,
        )
    if state.settings.token is None:
        log.warning(
            "PARTNERSTACK_TOKEN is not set: conversions are recorded and parked until it is."
        )
