"""``PartnerStack``: the extension. Keeps nothing of an app; that is on the app."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from typing import Final
from typing import ParamSpec
from typing import TypeVar
from typing import overload

from flask import Blueprint
from flask import Flask
from flask import got_request_exception
from flask.templating import Environment

from . import capture
from . import signals
from . import signup
from . import snippet
from . import startup
from . import tracking
from . import verification
from ._db import join_metadata
from ._heard import let_be_heard
from ._on_g import show_always
from ._runs import AskCustomer
from ._runs import AskSuccess
from ._state import EXTENSION
from ._state import State
from .assembly import Givens
from .assembly import build_state
from .dashboard import Permission
from .dashboard import make_dashboard
from .hooks import ConsentHook
from .hooks import Hooks
from .hooks import SkipIfHook
from .hooks import WhenVerified
from .ledger import utcnow
from .settings import Settings
from .wire import HTTPTransport
from .wire import Transport

P = ParamSpec("P")
R = TypeVar("R")


class PartnerStack:
    """Captures PartnerStack referrals and reports conversions, for any number of apps.

    :param app: registered at once when given; else call :meth:`init_app` in the factory.
    :param db: a Flask-SQLAlchemy (3, or Lite) object, so that the ledger lies in the app's own
        database. Its tables join ``db.metadata`` at once.
    """

    def __init__(self, app: Flask | None = None, *, db: Any = None) -> None:
        self._hooks = Hooks()
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
        startup.check_app(app)
        startup.refuse_second(app)
        let_be_heard()
        settings = Settings.from_mapping(app.config)
        db = self._db if db is None else db
        place = startup.place_of(app, settings, db)
        if settings.enabled:
            startup.check_place(place)

        state = build_state(self._givens(app, db), settings, place)
        app.extensions[EXTENSION] = state
        _hook(app, state)
        tell = partial(verification.tell_verified, self._hooks)
        state.receivers.append(tell)
        signals.conversion_verified.connect(tell, sender=app)
        startup.tell(state)

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

        A factory may register it each time: the one of the same name takes the earlier one's place.

        :raises RuntimeError: there is another such function already.
        :raises TypeError: an ``async def``, which nobody would await.
        """
        self._hooks.add_consent(hook)
        return hook

    def skip_if(self, hook: SkipIfHook) -> SkipIfHook:
        """Register a function that may veto a conversion, for all apps.

        It gets the :class:`Conversion` and returns the reason, or ``None`` to let it pass. What
        it vetoes is in the ledger as ``skipped``. There may be several: the first reason counts.
        An e-mail address in a reason is masked, because the reason stays when data is pruned.

        A factory may register it each time, and it is asked once. One that closes over a value,
        the factory's ``app`` for one, is another rule each time, asked of every app's
        conversions: let it read ``current_app.config`` in its place.

        :raises TypeError: an ``async def``, which nobody would await.
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

        :raises TypeError: an ``async def``, which nobody would await.
        """
        self._hooks.add_when_verified(hook)
        return hook

    def clock(self) -> datetime:
        """Return the time of day, aware; a subclass with another one travels in time."""
        return utcnow()

    def make_transport(self, settings: Settings) -> Transport:
        """Return what carries requests; a subclass may carry them elsewhere."""
        return HTTPTransport(settings.timeout)

    def _givens(self, app: Flask, db: Any) -> Givens:
        return Givens(
            app=app,
            db=db,
            hooks=self._hooks,
            clock=self.clock,
            make_transport=self.make_transport,
        )


def _hook(app: Flask, state: State) -> None:
    show_always(app)
    _furnish(app)
    if state.settings.enabled:
        snippet.add_endpoint(app, state)
        _wrap(app)
        got_request_exception.connect(signup.fail, sender=app, weak=False)
    else:
        app.preprocess_request = capture.ignoring(  # type: ignore[method-assign]
            app.preprocess_request
        )


def _furnish(app: Flask) -> None:
    """Give templates what they call, without having Jinja made before the app has set it up."""
    if "jinja_env" in vars(app):
        _give(app.jinja_env)
        return
    create = app.create_jinja_environment

    def create_jinja_environment() -> Environment:
        return _give(create())

    app.create_jinja_environment = create_jinja_environment  # type: ignore[method-assign]


def _give(jinja: Environment) -> Environment:
    jinja.globals.update(
        partnerstack_snippet=snippet.partnerstack_snippet,
        partnerstack_capture=snippet.partnerstack_capture,
    )
    jinja.filters["decorate_url"] = capture.decorate_url
    return jinja


def _wrap(app: Flask) -> None:
    """Go before the first hook of the app, and behind the last."""
    preprocess, process = app.preprocess_request, app.process_response
    handle = app.handle_exception
    app.preprocess_request = capture.capturing(  # type: ignore[method-assign]
        preprocess, app.extensions
    )
    app.process_response = capture.keeping(  # type: ignore[method-assign]
        process, app.extensions
    )
    app.handle_exception = capture.keeping_on_errors(  # type: ignore[method-assign]
        handle, app.extensions
    )
