"""Does a request carry one of our names? Nearly none does, and each one pays for the question."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote
from urllib.parse import unquote

#: The fewest characters that are searched for: fewer stand in too much that is not ours.
SHORTEST = 3

Mentions = Callable[[str | None, str | None], bool]
"""Says it of a raw query string and a raw Cookie header, either of which may be missing."""


def looking_for(in_query: tuple[str, ...], in_cookies: tuple[str, ...]) -> Mentions:
    """Return what says whether a request may carry one of those names, anywhere in it.

    Most of the time goes into searching long strings, so what the names have in common is
    searched first: "xid" for ``ps_xid`` and for ``gsxid``.
    """
    query_pieces = pieces_of(piece for name in in_query for piece in _as_sent(name))
    cookie_pieces = pieces_of(in_cookies)

    def mentions(query: str | None, cookies: str | None) -> bool:
        if query:
            for piece in query_pieces:
                if piece in query and _has_name(query, in_query):
                    return True
        if cookies:
            for piece in cookie_pieces:
                if piece in cookies and _has_any(cookies, in_cookies):
                    return True
        return False

    return mentions


def _as_sent(name: str) -> Iterable[str]:
    """Return what a query string has of a name, percent-encoded or not.

    That is its longest part that nobody encodes, or, where all of them are short, the name as it
    is, as Python's urlencode writes it and as a browser's URLSearchParams does; and as others do,
    .NET for one, by whom the digits of an escape are in lower case.
    """
    part = max(re.findall(r"[0-9A-Za-z]+", name), key=len, default="")
    if len(part) >= SHORTEST:
        return (part,)
    escaped = {quote(name, safe=""), quote(name, safe="*").replace("~", "%7E")}
    return {name, *escaped, *(_ESCAPE.sub(lambda found: found[0].lower(), e) for e in escaped)}


_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def pieces_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return a few strings of which each name contains one: those that most names share first."""
    left, found = set(names), []
    while left:
        found.append(max(_candidates(left), key=partial(_worth, names=left)))
        left = {name for name in left if found[-1] not in name}
    return tuple(found)


def _candidates(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield name
        for start in range(len(name)):
            for end in range(start + SHORTEST, len(name) + 1):
                yield name[start:end]


def _worth(piece: str, names: Iterable[str]) -> tuple[int, int, str]:
    """Return what the best piece has most of; the longer one is found faster."""
    return sum(piece in name for name in names), len(piece), piece


def _has_name(query: str, names: Iterable[str]) -> bool:
    return _has_any(query, names) or ("%" in query and _has_any(unquote(query), names))


def _has_any(text: str, names: Iterable[str]) -> bool:
    return any(name in text for name in names)
