"""What requests will look like: the cookie's domain, and the proxy in front."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from .._state import State
from ..values import in_ascii
from .finding import Finding

PROXY_FIX = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)"


def look_at_requests(app: Flask, state: State) -> Iterator[Finding]:
    """Say whether browsers will take our cookie, and whose address is reported."""
    yield _cookie_domain(state.settings.cookie_domain, _host_in(app, state.settings.cookie_domain))
    if state.settings.takes_each_click_for_the_first:
        yield _strict_cookie()
    if state.settings.hides_the_first_click:
        yield _narrow_cookie(state.settings.cookie_path)
    yield _proxy(app)


def _server_name(app: Flask) -> str | None:
    """Return ``SERVER_NAME`` without its port, as browsers write a host: ``xn--bcher-kva.de``."""
    name = app.config.get("SERVER_NAME")
    if not isinstance(name, str) or not name:
        return None
    try:
        host = urlsplit(f"//{name}").hostname or ""
        return host if _is_address(host) else in_ascii(host.rstrip(".")) or None
    except ValueError:  # Flask has its own words for what is no host
        return None


def _host_in(app: Flask, domain: str | None) -> str | None:
    """Return the host that the app answers for, as far as it is known."""
    host, bare = _server_name(app), (domain or "").lstrip(".").lower()
    # With subdomains the app answers for those of SERVER_NAME as well.
    is_subdomain = bool(host) and bare.endswith(f".{host}")
    return bare if app.subdomain_matching and is_subdomain else host


def _cookie_domain(domain: str | None, host: str | None) -> Finding:
    if domain is None:
        return Finding("ok", "The click's cookie belongs to the host that the click came to.")
    bare = domain.lstrip(".").lower()
    if "." not in bare or _is_address(bare):
        return Finding(
            "error",
            f"PARTNERSTACK_COOKIE_DOMAIN is {domain}, which no browser shares cookies under.",
            "The click is kept for one host only, and is lost on the way to another.",
            "Expected a domain of yours, like acme.com.",
        )
    if host is not None and not f".{host}".endswith(f".{bare}"):
        return Finding(
            "error",
            f"PARTNERSTACK_COOKIE_DOMAIN is {domain}, and SERVER_NAME is {host}.",
            "Browsers refuse such a cookie, so it is set for that host alone, and a signup on "
            "another subdomain does not see the click.",
            f"Set it to {host}, or a domain above it.",
        )
    where = f"{host} is in it" if host else "a host that is not in it is said in the log, once"
    return Finding("ok", f"The click's cookie is shared under {bare}; {where}.")


def _strict_cookie() -> Finding:
    return Finding(
        "warning",
        'PARTNERSTACK_COOKIE_SAMESITE is "Strict", and PARTNERSTACK_ATTRIBUTION is "first".',
        "Browsers leave a Strict cookie behind when they follow another site's link, so a landing "
        "page sees no earlier click: each looks like the first, and the last one counts.",
        'Set PARTNERSTACK_COOKIE_SAMESITE to "Lax".',
    )


def _narrow_cookie(path: str) -> Finding:
    return Finding(
        "warning",
        f'PARTNERSTACK_COOKIE_PATH is "{path}", and PARTNERSTACK_ATTRIBUTION is "first".',
        "A landing page outside of that path does not see the cookie, and so no earlier click: "
        "each looks like the first, and the last one counts.",
        'Set PARTNERSTACK_COOKIE_PATH to "/", unless every page that a link leads to lies below '
        "it.",
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _proxy(app: Flask) -> Finding:
    if _has_proxy_fix(app):
        return Finding("ok", "ProxyFix is in place: customers' addresses come from the proxy.")
    return Finding(
        "ok",
        "No ProxyFix is in place: customers' addresses are those of their connections.",
        way_out="That is seen only in requests. Behind a proxy the first conversion logs a WARNING "
        f"that names ProxyFix. It is put right by: {PROXY_FIX}",
    )


def _has_proxy_fix(app: Flask) -> bool:
    """Look through what wraps the app; most middleware keeps what it wraps as ``app``."""
    layer: object = app.wsgi_app
    for _ in range(50):
        if isinstance(layer, ProxyFix):
            return True
        layer = getattr(layer, "app", None) or getattr(layer, "wsgi_app", None)
        if layer is None or layer is app:
            return False
    return False
