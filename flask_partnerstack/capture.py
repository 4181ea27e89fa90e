"""Request → ``g``; response → cookie. What every request passes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Final

from flask import Response
from flask import g
from flask import has_request_context
from flask import request
from werkzeug.local import LocalProxy

from . import signals
from ._caches import keep_private
from ._caches import own_copy
from ._cookie import is_set
from ._cookie import set_cookie
from ._heard import let_be_heard
from ._on_g import REFERRAL
from ._presence import is_visit
from ._state import EXTENSION
from ._state import State
from ._state import get_state
from ._state import this_app
from ._visit import NOBODY
from ._visit import Environ
from ._visit import Follower
from ._visit import Visit
from ._visit import asked_by
from ._visit import current_visit
from ._visit import look
from .referral import EMPTY
from .referral import SCRIPT_PARTNER_KEY_COOKIES
from .referral import SCRIPT_XID_COOKIES
from .referral import Memory
from .referral import Mentions
from .referral import Referral
from .referral import check_referral
from .referral import decorate
from .referral import looking_for

log: Final = logging.getLogger("flask_partnerstack")

#: Says in a request's WSGI environment that Flask could not process its last response.
_UNPROCESSED = "flask_partnerstack.unprocessed"
_this_g = g._get_current_object  # a proxy's, not the type's

#: The current request's referral, importable; the empty one outside a request.
current_referral: Referral = LocalProxy(lambda: current_visit().referral)  # type: ignore[assignment]


def capturing(process: Callable[..., Any], extensions: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the app's ``preprocess_request`` with ``g.partnerstack`` set before it.

    Not a hook of ``before_request``, nor :func:`keeping` one of ``after_request``: so every hook,
    whoever registered first, sees the referral, and none has the last word on the response. And
    to call a hook costs Flask several times what ours costs.

    Nearly every request carries none of our names: it pays a few searches in two strings.

    :param process: what Flask calls before it dispatches a request.
    :param extensions: the app's. Where a rehearsal has put another state, that is the one.
    """
    state: State = extensions[EXTENSION]
    engine, key, mentions = state.engine, state.visit_key, _looking(state)
    seen: State | None = None
    # Twice as fast as going through the proxies for each attribute.
    this_request, this_g = request._get_current_object, _this_g  # type: ignore[attr-defined]

    def preprocess_request(*given: Any) -> Any:
        nonlocal state, seen, engine, mentions
        if extensions[EXTENSION] is not seen:
            state = seen = extensions[EXTENSION]
            engine, mentions = state.engine, _looking(state)
            let_be_heard()  # a migration that the app ran at its start may have silenced us
        if not engine.awake:
            engine.wake()
        environ = this_request().environ
        query, cookies = environ.get("QUERY_STRING"), environ.get("HTTP_COOKIE")
        mentioned = (query or cookies) and mentions(query, cookies)
        visit = environ[key] = look(state, environ) if mentioned else NOBODY
        if vars(this_g()).setdefault(REFERRAL, visit.referral) is not visit.referral:
            # Another request's: the two share an outer app context, and the other may go on when
            # this one has ended.
            g.partnerstack = current_referral
        return process(*given)

    return preprocess_request


def keeping(
    process: Callable[..., Response], extensions: Mapping[str, Any]
) -> Callable[..., Response]:
    """Return the app's ``process_response`` with the keeping of a new click behind it.

    :param process: what Flask calls with the response as the last argument.
    :param extensions: the app's, as for :func:`capturing`.
    """
    key = extensions[EXTENSION].visit_key
    this_request = request._get_current_object  # type: ignore[attr-defined]

    def process_response(*given: Any) -> Response:
        try:
            response = process(*given)
        except Exception:
            this_request().environ[_UNPROCESSED] = True
            raise
        environ = this_request().environ
        visit = environ.get(key)
        if visit is not NOBODY:
            # No visit: a receiver of request_started raised before Flask preprocessed it.
            return _follow_up(extensions[EXTENSION], environ, visit or current_visit(), response)
        return response

    return process_response


def keeping_on_errors(
    handle: Callable[..., Response], extensions: Mapping[str, Any]
) -> Callable[..., Response]:
    """Return the app's ``handle_exception`` with the same behind it, where that has not come yet.

    A hook that raises for the page for errors as well has Flask send this page as it is.

    :param handle: what Flask calls with an error that nobody handled.
    :param extensions: the app's, as for :func:`capturing`.
    """

    def handle_exception(*given: Any) -> Response:
        environ = request.environ if has_request_context() else {}
        environ.pop(_UNPROCESSED, None)  # what was raised first, which is being handled
        response = handle(*given)
        if environ.pop(_UNPROCESSED, False):
            return _follow_up(extensions[EXTENSION], environ, current_visit(), response)
        return response

    return handle_exception


def ignoring(process: Callable[..., Any]) -> Callable[..., Any]:
    """Return the app's ``preprocess_request`` for ``ENABLED=False``: nobody was ever referred.

    As :func:`capturing`, so that whatever sees a referral then finds an empty one now.
    """

    def preprocess_request(*given: Any) -> Any:
        g.partnerstack = EMPTY
        return process(*given)

    return preprocess_request


def decorate_url(url: str, referral: Referral | None = None) -> str:
    """Return ``url`` with the visitor's click in its query, for a hop that no cookie survives.

    To another registrable domain of yours, for example, whose app keeps the click as if the
    partner's link had led there. Without a click the URL comes back as it was. Decorate links to
    your own sites only.

    :param referral: somebody else's, one that you have stored.
    :raises InvalidConversion: ``referral`` is none, but the text that you have stored.
    """
    settings = get_state().settings
    found = current_visit().referral if referral is None else check_referral(referral)
    return decorate(url, found, settings.xid_params, settings.partner_key_params)


def _looking(state: State) -> Mentions:
    settings = state.settings
    # The redirector's names contain these, too.
    theirs = (*SCRIPT_XID_COOKIES, *SCRIPT_PARTNER_KEY_COOKIES)
    return looking_for(
        (*settings.xid_params, *settings.partner_key_params), (settings.cookie_name, *theirs)
    )


# --- the response -------------------------------------------------------------------------------


def _follow_up(state: State, environ: Environ, visit: Visit, response: Response) -> Response:
    """Return the response that the visitor gets: the app's, or a copy that keeps the click."""
    try:
        if visit is not NOBODY:
            response = _keep(state, environ, visit, response)
    except Exception:  # a page never fails because of its visitor's click
        log.exception("A click could not be kept.")
    # An outer app context outlives the request; its referral does not.
    vars(_this_g())[REFERRAL] = current_referral
    if visit.follower is not None:
        _let_follow(visit.follower, response)
    return response


def _let_follow(follower: Follower, response: Response) -> None:
    try:
        follower.follow(response)
    except Exception:  # it logs what goes wrong by itself, unless that goes wrong as well
        log.exception("A signup's conversion may not be recorded.")


def _keep(state: State, environ: Environ, visit: Visit, response: Response) -> Response:
    memory = visit.memory
    if memory is not None and not (is_visit(environ) and _may_keep(state, memory, visit.page)):
        memory = None
    headers = {name.lower(): value for name, value in response.headers}
    if memory is None and not (visit.referral and _is_page(headers)):
        return response
    response = own_copy(response)
    keep_private(response, headers)
    if memory is not None:
        _write(state, environ, visit.referral, memory, response)
    return response


def _write(
    state: State, environ: Environ, referral: Referral, memory: Memory, response: Response
) -> None:
    try:
        if is_set(state, response):
            return
        set_cookie(state, environ, memory, response)
        # One of our cookie's is no capture: another click lost to it.
        if referral and referral.source != "cookie":
            signals.send(signals.referral_captured, this_app(), referral=referral)
    except Exception:  # the page is the visitor's own all the same
        log.exception("A click could not be kept.")


def _may_keep(state: State, memory: Memory, page: str | None) -> bool:
    if page is None:
        return state.hooks.may_keep(memory.referral)
    with asked_by(page):  # a hook that looks at the landing URL is not got round by a script
        return state.hooks.may_keep(memory.referral)


def _is_page(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").lower()
    return kind.startswith(("text/html", "application/xhtml+xml"))
