"""``Visit``: what one request says of the visitor's clicks. Kept with the request itself.

Not only on ``g``, because requests under one outer app context share that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import Protocol
from typing import cast

from flask import Request
from flask import Response
from flask import has_request_context
from flask import request
from werkzeug.sansio.http import parse_cookie

from ._state import State
from ._state import get_state
from .referral import EMPTY
from .referral import THEIR_PREFIXES
from .referral import Clicks
from .referral import Memory
from .referral import Referral
from .referral import carries_two
from .referral import read_query
from .referral import read_redirector_cookies
from .referral import read_script_cookies

log: Final = logging.getLogger("flask_partnerstack")

Environ = dict[str, Any]
Cookies = list[tuple[str, str]]


class Follower(Protocol):
    """Something that waits for the request's finished response."""

    def follow(self, response: Response) -> None:
        """See the finished response. It must not raise."""


class Visit(NamedTuple):
    """What one request says of the visitor's clicks.

    :param memory: what our cookie is to remember, when the click is new to us.
    :param follower: who waits for the response.
    :param page: the raw query string of the page that is visited, where the request has another.
    """

    referral: Referral
    memory: Memory | None = None
    follower: Follower | None = None
    page: str | None = None


#: The visit of everybody whom nobody referred.
NOBODY = Visit(EMPTY)


def look(state: State, environ: Environ) -> Visit:
    """Read the clicks in a request's raw query string and Cookie header. Never raises."""
    try:
        return _decide(state, environ)
    except Exception:  # nothing that a visitor can send makes a page fail
        log.exception("The clicks of a request could not be read.")
        return NOBODY


def current_visit() -> Visit:
    """Return the current request's visit, also when our hook has not run; outside, nobody's.

    :raises NotInitialized: the request's app knows no PartnerStack.
    """
    return visit_of(get_state()) if has_request_context() else NOBODY


def visit_of(state: State) -> Visit:
    """Return the same, for whoever has the state of the request's app."""
    if not has_request_context():
        return NOBODY
    environ = this_request().environ
    visit = environ.get(state.visit_key)
    if visit is None:
        visit = environ[state.visit_key] = look(state, environ)
    return cast("Visit", visit)


def this_request() -> Request:
    """Return the current request itself: a proxy looks it up for each attribute."""
    here: Request = request._get_current_object()  # type: ignore[attr-defined]  # a proxy's
    return here


@contextmanager
def asked_by(page: str) -> Iterator[None]:
    """Let the current request have this raw query string for a while, ``request.args`` and all."""
    here = this_request()
    environ, said = here.environ, vars(here)
    before = {name: said.pop(name) for name in _OF_QUERY if name in said}
    sent = environ.get("QUERY_STRING", "")
    environ["QUERY_STRING"], here.query_string = page, page.encode("latin-1")
    try:
        yield
    finally:
        environ["QUERY_STRING"] = sent
        for name in _OF_QUERY:
            said.pop(name, None)
        said.update(before)


#: What a request says of its query, and remembers when it was asked.
_OF_QUERY = ("query_string", "args", "values", "full_path", "url")


def follow(follower: Follower) -> None:
    """Let ``follower`` see the current request's finished response; the last one wins."""
    state = get_state()
    visit = visit_of(state)
    # Each view under @track_signup comes by here, and _replace() takes three times as long.
    this_request().environ[state.visit_key] = Visit(visit.referral, visit.memory, follower)


def _decide(state: State, environ: Environ) -> Visit:
    settings = state.settings
    if not settings.enabled:
        return NOBODY
    now = state.clock()
    clicks = _clicks(state, environ, now)
    if clicks.url and carries_two(environ["QUERY_STRING"], settings.xid_params):
        _tell_of_two(state)
    referral, memory = state.attribution.decide(clicks, now)
    return Visit(referral, memory) if referral or memory is not None else NOBODY


def _tell_of_two(state: State) -> None:
    if state.once.first("two clicks in a URL"):
        log.warning(
            "A landing URL of %s carries two different clicks. The one that stands under a second "
            "name counts, else the last. Somebody's link leads to an address that was copied from "
            "a landing page: take %s and the like out of its destination.",
            _rule_here(),
            " and ".join(state.settings.xid_params),
        )


def _rule_here() -> str:
    """Return the current request's URL rule. Its path may have somebody's address in it."""
    rule = this_request().url_rule if has_request_context() else None
    return "no route" if rule is None else f"the route {rule.rule!r}"


def _clicks(state: State, environ: Environ, now: datetime) -> Clicks:
    settings, url = state.settings, EMPTY
    if query := environ.get("QUERY_STRING"):
        url = read_query(query, settings.xid_params, settings.partner_key_params)
    header = environ.get("HTTP_COOKIE")
    if not header:
        return Clicks(url)
    cookies = _cookies(header)
    theirs = [pair for pair in cookies if pair[0].startswith(THEIR_PREFIXES)]
    return Clicks(
        url=url,
        memories=tuple(_memories(state, cookies, now)),
        scripts=read_script_cookies(theirs) if theirs else (),
        redirector=read_redirector_cookies(theirs) if theirs else EMPTY,
    )


def _memories(state: State, cookies: Cookies, now: datetime) -> Iterator[Memory]:
    for name, value in cookies:
        if name == state.settings.cookie_name:
            memory = Memory.loads(value, now)
            if memory is not None:
                yield memory
            elif Memory.is_refused_for_its_time(value, now):
                _tell_of_clocks(state)


def _tell_of_clocks(state: State) -> None:
    if state.once.first("a click to come"):
        log.warning(
            "A visitor's click is not believed: by this machine's clock its cookie was written "
            "more than a day ahead. Either the clocks of your machines differ (expected: NTP on "
            "each of them), or somebody wrote the cookie by hand."
        )


def _cookies(header: str) -> Cookies:
    # Splitting is all that most headers need; quotes and octal escapes are Werkzeug's.
    if '"' in header or not header.isascii():
        text = header.encode("latin-1", "replace").decode("utf-8", "replace")
        return list(parse_cookie(text).items(multi=True))
    pairs = (part.partition("=") for part in header.split(";"))
    return [(name.strip(), value.strip()) for name, _, value in pairs]
