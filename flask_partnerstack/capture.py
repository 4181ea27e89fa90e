"""Request → ``g``; response → cookie. What every request passes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Final

from flask import Response
from flask import g
from flask import request
from werkzeug.datastructures import Headers
from werkzeug.local import LocalProxy

from . import signals
from ._origin import is_linked_from_elsewhere
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
from .referral import Memory
from .referral import Referral
from .referral import decorate

log: Final = logging.getLogger("flask_partnerstack")

#: The name on ``g``.
REFERRAL = "partnerstack"
#: Requests that only look, or ask what they may.
LOOKING = ("HEAD", "OPTIONS")
#: What a browser says when it loads a page that nobody may ever see. ``preview`` is Safari's word.
AHEAD_OF_TIME = ("prefetch", "prerender", "preview")
#: How many hosts outside COOKIE_DOMAIN are complained of: a Host header is anybody's to write.
MOST_COMPLAINTS = 16

_this_g = g._get_current_object  # a proxy's, not the type's

#: The current request's referral, importable; the empty one outside a request.
current_referral: Referral = LocalProxy(lambda: current_visit().referral)  # type: ignore[assignment]


def capturing(process: Callable[..., Any], extensions: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the app's ``preprocess_request`` with ``g.partnerstack`` set before it.

    Not a hook of ``before_request``, nor :func:`keeping` one of ``after_request``: so every hook,
    whoever registered first, sees the referral, and none has the last word on the response. And
    to call a hook costs Flask several times what ours costs.

    Nearly every request carries none of our names: it pays a search in two strings.

    :param process: what Flask calls before it dispatches a request.
    :param extensions: the app's. Where a rehearsal has put another state, that is the one.
    """
    state: State = extensions[EXTENSION]
    engine, key, mentions = state.engine, state.visit_key, _mentions(state)
    # Twice as fast as going through the proxies for each attribute.
    this_request, this_g = request._get_current_object, _this_g  # type: ignore[attr-defined]

    def preprocess_request(*given: Any) -> Any:
        nonlocal state, engine, mentions
        if extensions[EXTENSION] is not state:
            state = extensions[EXTENSION]
            engine, mentions = state.engine, _mentions(state)
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
        response = process(*given)
        environ = this_request().environ
        visit = environ.get(key)
        if visit is not NOBODY:
            # No visit: a receiver of request_started raised before Flask preprocessed it.
            _follow_up(extensions[EXTENSION], environ, visit or current_visit(), response)
        return response

    return process_response


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
    """
    settings = get_state().settings
    found = current_visit().referral if referral is None else referral
    return decorate(url, found, settings.xid_params, settings.partner_key_params)


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
        if visit is not NOBODY:
            _keep(state, environ, visit, response)
    except Exception:  # a page never fails because of its visitor's click
        log.exception("A click could not be kept.")
    # An outer app context outlives the request; its referral does not.
    vars(_this_g())[REFERRAL] = current_referral
    if visit.follower is not None:
        _let_follow(visit.follower, response)


def _let_follow(follower: Follower, response: Response) -> None:
    try:
        follower.follow(response)
    except Exception:  # it logs what goes wrong by itself, unless that goes wrong as well
        log.exception("A signup's conversion may not be recorded.")


def _keep(state: State, environ: Environ, visit: Visit, response: Response) -> None:
    memory = visit.memory
    if memory is not None and not (_is_visit(environ) and _may_keep(state, memory, visit.page)):
        memory = None
    headers = {name.lower(): value for name, value in response.headers}
    if memory is not None or (visit.referral and _is_page(headers)):
        _forbid_sharing(response, headers)
    if memory is not None and not _is_set(state.settings.cookie_name, response):
        _set_cookie(state, environ, memory, response)
        # One of our cookie's is no capture: another click lost to it.
        if visit.referral and visit.referral.source != "cookie":
            signals.send(signals.referral_captured, this_app(), referral=visit.referral)


def _may_keep(state: State, memory: Memory, page: str | None) -> bool:
    if page is None:
        return state.hooks.may_keep(memory.referral)
    with asked_by(page):  # a hook that looks at the landing URL is not got round by a script
        return state.hooks.may_keep(memory.referral)


def _is_set(name: str, response: Response) -> bool:
    """Say whether the app sets or deletes the cookie: a withdrawal of consent, which stands."""
    return any(line.startswith(f"{name}=") for line in response.headers.getlist("Set-Cookie"))


def _is_page(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith(("text/html", "application/xhtml+xml"))


def _is_visit(environ: Environ) -> bool:
    """Say whether somebody is here: no ``HEAD``, no page ahead of time, no image or script.

    A page ahead of time is one all the same where the browser takes its cookie with the visit.
    """
    return (
        environ.get("REQUEST_METHOD") not in LOOKING
        and _shows_a_page(environ)
        and (not _is_ahead_of_time(environ) or _waits_for_the_visit(environ))
    )


def _shows_a_page(environ: Environ) -> bool:
    """Say whether what is asked for is a page, not a part of one.

    A script of ours may call for it, and a page of ours frame it; another site's may not, or it
    could give its visitors clicks that they never made. https://www.w3.org/TR/fetch-metadata/
    """
    told = environ.get
    fetched, site = told("HTTP_SEC_FETCH_DEST", ""), told("HTTP_SEC_FETCH_SITE")
    if fetched == "empty":
        # A service worker that fetches the page somebody opens: no script can call it navigation.
        return site != "cross-site" or told("HTTP_SEC_FETCH_MODE") == "navigate"
    if fetched == "iframe":
        # One of the same origin shares its cookies with the page, which had the click before.
        return site == "same-site"
    return fetched in ("document", "")


def _is_ahead_of_time(environ: Environ) -> bool:
    # https://fetch.spec.whatwg.org/#sec-purpose-header
    purpose = " ".join(environ.get(name, "") for name in _PURPOSES).lower()
    return any(word in purpose for word in AHEAD_OF_TIME)


def _waits_for_the_visit(environ: Environ) -> bool:
    """Say whether the browser takes the answer's cookies when its page is shown, and only then.

    Chromium asks for another site's page apart from its cookies, and takes over what came when
    somebody follows the link; it does not ask again. A page of its own site it asks for with
    them, and would keep at once a click that nobody may ever make. Sec-Fetch-Site says "none" of
    both. https://wicg.github.io/nav-speculation/prefetch.html
    """
    told = environ.get
    return (
        told("HTTP_SEC_PURPOSE", "").startswith("prefetch")
        and told("HTTP_SEC_FETCH_MODE") == "navigate"
        and told("HTTP_SEC_FETCH_DEST") == "document"
        and told("HTTP_SEC_FETCH_SITE") in ("none", "cross-site")
        and is_linked_from_elsewhere()
    )


_PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")


def _set_cookie(state: State, environ: Environ, memory: Memory, response: Response) -> None:
    settings = state.settings
    response.set_cookie(
        settings.cookie_name,
        memory.dumps(),
        max_age=state.attribution.lifetime,
        path=settings.cookie_path,
        domain=_cookie_domain(state, environ),
        secure=settings.is_cookie_secure(by_https=request.is_secure),
        httponly=True,
        samesite=settings.cookie_samesite,
    )


def _cookie_domain(state: State, environ: Environ) -> str | None:
    """Return ``COOKIE_DOMAIN`` where a browser would take it, else ``None``: this host only."""
    domain = state.settings.cookie_domain
    if domain is None:
        return None
    host = _host_of(environ)
    if f".{host}".endswith("." + domain.lstrip(".").lower()):
        return domain
    if state.once.first(f"cookie domain {hash(host) % MOST_COMPLAINTS}"):
        log.error(
            "PARTNERSTACK_COOKIE_DOMAIN is %s, but a request came to the host %s: browsers refuse "
            "such a cookie, so it was set for that host alone and other subdomains will not see "
            "the click. Expected the request's host, or a domain above it; behind a proxy, let it "
            "hand on the Host header (ProxyFix, x_host=1).",
            domain,
            host,
        )
    return None


def _host_of(environ: Environ) -> str:
    authority = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return str(authority).rpartition("]")[0] or str(authority).partition(":")[0].lower()


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
    for name in found:
        if name in _SHARED_CACHES_ONLY or name.endswith("cdn-cache-control"):
            headers.remove(name)


#: Headers that speak to shared caches alone, and overrule Cache-Control there: Fastly's and
#: Varnish's, nginx's, Akamai's. Beside them ``CDN-Cache-Control``, which some put a name before.
_SHARED_CACHES_ONLY = frozenset({"surrogate-control", "x-accel-expires", "edge-control"})


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
