"""Request → ``g``; response → cookie. The hooks that every request passes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Response
from flask import g
from flask import request
from werkzeug.datastructures import Headers
from werkzeug.local import LocalProxy

from . import signals
from ._state import EXTENSION
from ._state import State
from ._state import this_app
from ._visit import NOBODY
from ._visit import Environ
from ._visit import Visit
from ._visit import current_visit
from ._visit import look
from .referral import EMPTY
from .referral import Memory
from .referral import Referral

log = logging.getLogger("flask_partnerstack")

#: The name on ``g``.
REFERRAL = "partnerstack"
#: Browsers keep no cookie longer (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.5).
LONGEST_AGE = timedelta(days=400)
#: What a request fetches that is a page, or a script's call for one, and no sub-resource.
PAGES = ("document", "empty", "")

_this_g = g._get_current_object  # a proxy's, not the type's

#: The current request's referral, importable; the empty one outside a request.
current_referral: Referral = LocalProxy(lambda: current_visit().referral)  # type: ignore[assignment]


def before_hook(extensions: Mapping[str, Any]) -> Callable[[], None]:
    """Return the function that runs before each request and sets ``g.partnerstack``.

    Nearly every request carries none of our names: it pays a search in two strings.

    :param extensions: the app's. Where a rehearsal has put another state, that is the one.
    """
    state: State = extensions[EXTENSION]
    engine, key, mentions = state.engine, state.visit_key, _mentions(state)
    # Twice as fast as going through the proxies for each attribute.
    this_request, this_g = request._get_current_object, _this_g  # type: ignore[attr-defined]

    def capture() -> None:
        nonlocal state, engine, mentions
        if extensions[EXTENSION] is not state:
            state = extensions[EXTENSION]
            engine, mentions = state.engine, _mentions(state)
        if not engine.awake:
            engine.wake()
        environ = this_request().environ
        if mentions(environ.get("QUERY_STRING"), environ.get("HTTP_COOKIE")):
            visit = look(state, environ)
        else:
            visit = NOBODY
        environ[key] = visit
        if vars(this_g()).setdefault(REFERRAL, visit.referral) is not visit.referral:
            # Another request's: the two share an outer app context, and the other may go on when
            # this one has ended.
            g.partnerstack = current_referral

    return capture


def after_hook(extensions: Mapping[str, Any]) -> Callable[[Response], Response]:
    """Return the function that runs after each request and keeps a new click."""
    key = extensions[EXTENSION].visit_key
    this_request = request._get_current_object  # type: ignore[attr-defined]

    def keep(response: Response) -> Response:
        environ = this_request().environ
        visit = environ.get(key)
        if visit is NOBODY:
            return response
        # No visit: another hook answered before ours, a locale's redirect for one.
        _follow_up(extensions[EXTENSION], environ, visit or current_visit(), response)
        return response

    return keep


def disabled_hook() -> None:
    """Run before each request of an app with ``ENABLED=False``."""
    g.partnerstack = EMPTY


def _mentions(state: State) -> Callable[[str | None, str | None], bool]:
    settings = state.settings
    in_query = (*settings.xid_params, *settings.partner_key_params)
    # The redirector's names contain these, too.
    in_cookies = (settings.cookie_name, "ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey")

    def mentions(query: str | None, cookies: str | None) -> bool:
        if query:
            for name in in_query:
                if name in query:
                    return True
        if cookies:
            for name in in_cookies:
                if name in cookies:
                    return True
        return False

    return mentions


# --- the response -------------------------------------------------------------------------------


def _follow_up(state: State, environ: Environ, visit: Visit, response: Response) -> None:
    try:
        if visit.referral is not EMPTY:
            _keep(state, environ, visit, response)
    except Exception:  # a page never fails because of its visitor's click
        log.exception("A click could not be kept.")
    # An outer app context outlives the request; its referral does not.
    vars(_this_g())[REFERRAL] = current_referral
    if visit.follower is not None:
        visit.follower.follow(response)


def _keep(state: State, environ: Environ, visit: Visit, response: Response) -> None:
    memory = visit.memory if visit.memory is not None and _may_keep(environ) else None
    headers = {name.lower(): value for name, value in response.headers}
    if memory is not None or headers.get("content-type", "").startswith("text/html"):
        _forbid_sharing(response, headers)
    if memory is not None:
        _set_cookie(state, memory, response)
        signals.send(signals.referral_captured, this_app(), referral=visit.referral)


def _may_keep(environ: Environ) -> bool:
    """Say whether the request is a visit: no ``HEAD``, no prefetch, no image or script.

    https://fetch.spec.whatwg.org/#sec-purpose-header
    """
    told = environ.get
    purpose = told("HTTP_SEC_PURPOSE") or told("HTTP_PURPOSE") or told("HTTP_X_MOZ") or ""
    return (
        told("REQUEST_METHOD") != "HEAD"
        and "prefetch" not in purpose.lower()
        and told("HTTP_SEC_FETCH_DEST", "") in PAGES
    )


def _set_cookie(state: State, memory: Memory, response: Response) -> None:
    settings = state.settings
    secure = request.is_secure if settings.cookie_secure is None else settings.cookie_secure
    # It outlives the window, so that an expired click is known as expired when PartnerStackJS's
    # copy of it, which renews itself, shows up again.
    response.set_cookie(
        settings.cookie_name,
        memory.dumps(),
        max_age=min(2 * settings.attribution_window, LONGEST_AGE),
        path=settings.cookie_path,
        domain=settings.cookie_domain,
        secure=secure,
        httponly=True,
        samesite=settings.cookie_samesite,
    )


def _forbid_sharing(response: Response, found: Mapping[str, str]) -> None:
    """Make sure that no shared cache hands one visitor's click or greeting to everybody.

    :param found: the response's headers by their names in lower case.
    """
    headers = response.headers
    if "vary" in found:
        _join(headers, "Vary")
        response.vary.add("Cookie")
    else:
        headers.add("Vary", "Cookie")
    if "cache-control" in found:
        _join(headers, "Cache-Control")
        _make_private(response)
    else:
        headers.add("Cache-Control", "private")
    for name in _SHARED_CACHES_ONLY & found.keys():
        headers.remove(name)


#: Headers that speak to shared caches alone.
_SHARED_CACHES_ONLY = frozenset({"cdn-cache-control", "surrogate-control"})


def _join(headers: Headers, name: str) -> None:
    # Werkzeug reads the first line of a header, and what it writes replaces them all.
    lines = headers.getlist(name)
    if len(lines) > 1:
        headers[name] = ", ".join(lines)


def _make_private(response: Response) -> None:
    cache = response.cache_control
    directives = {directive.lower(): directive for directive in cache}
    for shared in directives.keys() & {"public", "s-maxage"}:
        del cache[directives[shared]]
    if "no-store" not in directives:
        cache.private = True
