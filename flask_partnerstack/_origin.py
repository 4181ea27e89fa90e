"""Whose page has sent the current request: one of this very origin, or another site's."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request
from werkzeug.exceptions import SecurityError


def comes_from_here() -> bool | None:
    """Say whether a page of this origin sent the request; ``None``: no page, as far as it says.

    https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    told = request.headers.get("Sec-Fetch-Site")
    if told is not None:
        return None if told == "none" else told == "same-origin"
    # An older browser's; and only https, and http to this machine, has the other.
    origin = request.headers.get("Origin")
    return None if origin is None else _is_this_host(origin)


def is_linked_from_elsewhere() -> bool:
    """Say whether the page that the current request comes from is for sure another site's.

    By the ``Referer``, and without the list of public suffixes: hosts that have their last two
    labels in common count as one site, so that two of ``co.uk`` do, too.
    """
    try:
        told = urlsplit(request.headers.get("Referer", "")).hostname
        here = urlsplit(f"//{_this_host()}").hostname
    except ValueError:
        return False
    return bool(told and here) and _site_of(told) != _site_of(here)


def _site_of(host: str | None) -> list[str]:
    return (host or "").lower().split(".")[-2:]


def _is_this_host(origin: str) -> bool:
    # Hosts only: TLS often ends at a proxy that does not say so.
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return False
    return host != "" and host == _this_host()


def _this_host() -> str:
    try:
        return request.host
    except SecurityError:  # none that the app's TRUSTED_HOSTS know, in anybody's request
        return ""
