"""``State``: what belongs to one app, and the one way to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field

from flask import Flask
from flask import current_app
from flask import has_app_context

from .dispatcher import Dispatcher
from .engines import Engine
from .errors import NotInitialized
from .hooks import Hooks
from .ledger import Clock
from .ledger import Ledger
from .ledger import Place
from .referral import Attribution
from .settings import Settings

#: The name on ``app.extensions``.
EXTENSION = "partnerstack"


class Once:
    """Says whether a thing is said for the first time in this process."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def first(self, what: str) -> bool:
        """Return ``True`` the first time it is asked for ``what``."""
        with self._lock:
            known = what in self._said
            self._said.add(what)
        return not known


@dataclass(frozen=True, kw_only=True)
class State:
    """The objects that belong to one app.

    :param visit_key: the name of the app's :class:`~._visit.Visit` in a request's WSGI
        environment, which nested apps may share.
    :param rebuild: builds the app's state once more, from other settings, with another place for
        the ledger, another ``clock=`` and another ``transport=``. A rehearsal puts it in this
        one's place.
    :param receivers: of signals, which hold them weakly, so that none outlives its app.
    """

    visit_key: str
    settings: Settings
    attribution: Attribution
    place: Place
    ledger: Ledger
    dispatcher: Dispatcher
    engine: Engine
    clock: Clock
    rebuild: Callable[..., State] = field(repr=False)
    hooks: Hooks = field(default_factory=Hooks)
    once: Once = field(default_factory=Once)
    receivers: list[object] = field(default_factory=list, repr=False)


def this_app() -> Flask:
    """Return the current app itself, not the proxy."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy's
    return app


def is_current(app: Flask) -> bool:
    """Say whether ``app`` is the one whose context is active here."""
    return has_app_context() and this_app() is app


def context_of(app: Flask) -> AbstractContextManager[object]:
    """Return a context of ``app``, where its own is not the current one.

    The end of a second one would run the app's teardown functions in the middle of a request, and
    roll back what the view has not committed yet.
    """
    return nullcontext() if is_current(app) else app.app_context()


def get_state(app: Flask | None = None) -> State:
    """Return the state of ``app``, or of the current one.

    :raises NotInitialized: with the two mistakes that lead there.
    """
    app = app or this_app()
    state = app.extensions.get(EXTENSION)
    if not isinstance(state, State):
        raise NotInitialized(
            f"The app {app.name!r} knows no PartnerStack. Either partnerstack.init_app(app) was "
            "not called in its factory, or another app's context is active here."
        )
    return state
