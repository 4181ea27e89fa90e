"""``POST CAPTURE_PATH``: keeps the click of a page that a shared cache served.

No CSRF token guards it, because there is nothing to forge: all that it does for a caller, a
partner's link does for anybody who follows it. It answers pages of its own origin only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from typing import Final

from flask import Flask
from flask import Response
from flask import request
from werkzeug.exceptions import Forbidden
from werkzeug.exceptions import InternalServerError
from werkzeug.exceptions import RequestEntityTooLarge

from .._origin import comes_from_here
from .._state import State
from .._state import get_state
from .._visit import NOBODY
from .._visit import look
from ..referral import read_query
from ..settings import Settings

log: Final = logging.getLogger("flask_partnerstack")

#: The name to rate-limit it by, or to build its URL.
ENDPOINT = "partnerstack_click"
#: Bytes of a query string that are read. Browsers and servers take 8 KiB of a URL as a rule.
LONGEST_QUERY = 8192
#: What a body is told that brings none. What the visitor's cookies say is kept all the same.
NO_CLICK = "No click is in the body: expected the query string of the page that carries it.\n"


def add_endpoint(app: Flask, state: State) -> None:
    """Add the endpoint to ``app``, where ``CAPTURE_PATH`` says."""
    path = state.settings.capture_path
    if path is None:
        return
    for where in _everywhere(app):
        app.add_url_rule(path, ENDPOINT, keep_click, methods=["POST"], **where)
    app.before_request_funcs.setdefault(None, []).insert(0, _exemption(app))


def _everywhere(app: Flask) -> list[dict[str, Any]]:
    """Return what a rule needs to be found on every host of ``app``."""
    if app.url_map.host_matching:
        return [{"host": "<host>"}]
    if app.subdomain_matching:
        return [{"subdomain": ""}, {"subdomain": "<subdomain>"}]
    return [{}]


def keep_click(**_host: str) -> Response:
    """Keep the click in the body, which is the page's query string."""
    if not comes_from_here():  # what is no browser has no business here
        raise Forbidden(
            "Only pages of this origin may call this. Behind a proxy, let it hand on the Host "
            "header (ProxyFix, x_host=1)."
        )
    state = get_state()
    page = _query(state)
    visit = look(state, {**request.environ, "QUERY_STRING": page})
    request.environ[state.visit_key] = visit if visit is NOBODY else visit._replace(page=page)
    return _answer(204 if _carries_click(page, state.settings) else 400)


def _carries_click(page: str, settings: Settings) -> bool:
    # Not by the visit: a click that is known already is one, too.
    return read_query(page, settings.xid_params, settings.partner_key_params).xid is not None


def _answer(status: int) -> Response:
    text = NO_CLICK if status == 400 else None
    response = Response(text, status, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    return response


def _query(state: State) -> str:
    length = request.content_length or 0  # of a body in chunks nobody says it
    if length > LONGEST_QUERY or len(body := _body()) > LONGEST_QUERY:
        raise RequestEntityTooLarge
    if len(body) < length:
        raise _body_is_gone(state)
    return body.decode("latin-1").removeprefix("?")


def _body() -> bytes:
    # What a hook of the app has read before us is in the request's cache.
    left: bytes = request.stream.read(LONGEST_QUERY + 1)
    return left or request.get_data()


def _body_is_gone(state: State) -> InternalServerError:
    if state.once.first("capture without a body"):
        log.error(
            "A click is lost: the body of POST %s was read before it came here. Let the app's "
            "before_request hooks read it with request.get_data(), which keeps it for others, or "
            "leave the endpoint %s alone.",
            request.path,
            ENDPOINT,
        )
    return InternalServerError("The body was read by somebody else. The app's log says more.")


def _exemption(app: Flask) -> Callable[[], None]:
    """Return a hook that exempts us from Flask-WTF's CSRFProtect, whichever came first.

    It is for the first request, and takes itself away: each hook costs every request half of what
    all the rest of ours does.
    """

    def exempt() -> None:
        protect = app.extensions.get("csrf")
        if protect is not None:
            protect.exempt(keep_click)
        # In a new list, because Flask goes through the old one just now.
        hooks = app.before_request_funcs[None]
        app.before_request_funcs[None] = [hook for hook in hooks if hook is not exempt]

    return exempt
