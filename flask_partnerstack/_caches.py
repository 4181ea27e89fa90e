"""What keeps shared caches from handing one visitor's click or greeting to everybody."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response
from werkzeug.datastructures import Headers


def keep_private(response: Response, found: Mapping[str, str]) -> None:
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
