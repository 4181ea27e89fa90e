"""``comes_from_here``: whether a page of this very site has sent the current request."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request


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


def _is_this_host(origin: str) -> bool:
    # Hosts only: TLS often ends at a proxy that does not say so.
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return False
    return host != "" and host == request.host
