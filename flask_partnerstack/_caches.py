"""What keeps one visitor's click or greeting from everybody: shared caches, shared responses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from inspect import ismemberdescriptor
from typing import Any

from flask import Response
from werkzeug.datastructures import Headers


def own_copy(response: Response) -> Response:
    """Return the response with headers of its own, for this visitor alone.

    An app may answer everybody with one object, made once in a module or by ``lru_cache``. Not
    by ``copy.copy``, which leaves out what a class of the app's own does not pickle. The body and
    what is to be called at the end are shared, so that whoever holds the response has both.
    """
    kind: Any = type(response)
    twin: Response = object.__new__(kind)
    vars(twin).update(vars(response))
    for slot in _slots(kind):
        if hasattr(response, slot):
            setattr(twin, slot, getattr(response, slot))
    twin.headers = response.headers.copy()
    # What waits for the app's object to go, to remove a file that is being sent perhaps, is not
    # to act before the answer has gone.
    vars(twin)["partnerstack_copy_of"] = response
    return twin


@lru_cache(maxsize=64)
def _slots(kind: Any) -> tuple[str, ...]:
    members = ((name, member) for base in kind.__mro__ for name, member in vars(base).items())
    return tuple(name for name, member in members if ismemberdescriptor(member))


def keep_private(response: Response, found: Mapping[str, str]) -> None:
    """Make sure that no shared cache hands one visitor's click or greeting to everybody.

    :param found: the response's headers by their names in lower case.
    """
    headers = response.headers
    if "cache-control" in found:
        _join(headers, "Cache-Control")
        _make_private(response)
    else:
        headers.add("Cache-Control", "private")
    if "vary" in found:
        _join(headers, "Vary")
        response.vary.add("Cookie")
    else:
        headers.add("Vary", "Cookie")
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
    try:
        _mend_directives(response)
    except Exception:  # noqa: BLE001 - Werkzeug 3.0's, of a malformed header
        is_stored = "no-store" not in response.headers["Cache-Control"].lower()
        response.headers["Cache-Control"] = "private" if is_stored else "private, no-store"


def _mend_directives(response: Response) -> None:
    cache = response.cache_control
    directives = {directive.lower(): directive for directive in cache}
    for shared in directives.keys() & {"public", "s-maxage"}:
        del cache[directives[shared]]
    if "no-store" not in directives:
        cache.private = True
