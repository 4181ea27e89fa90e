"""The cookie that a click is kept in, on a response."""

from __future__ import annotations

import logging
from typing import Final

from flask import Response
from flask import request

from ._state import State
from ._visit import Environ
from .referral import Memory

log: Final = logging.getLogger("flask_partnerstack")

#: How many hosts outside COOKIE_DOMAIN are complained of: a Host header is anybody's to write.
MOST_COMPLAINTS = 16


def is_set(state: State, response: Response) -> bool:
    """Say whether the app sets or deletes the cookie: a withdrawal of consent, which stands."""
    name = f"{state.settings.cookie_name}="
    return any(line.startswith(name) for line in response.headers.getlist("Set-Cookie"))


def set_cookie(state: State, environ: Environ, memory: Memory, response: Response) -> None:
    """Let the visitor's browser keep ``memory``."""
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
    address, bracket, _ = str(authority).rpartition("]")
    return f"{address}{bracket}" or str(authority).partition(":")[0].lower()
