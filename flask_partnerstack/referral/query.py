"""A landing URL's query string ↔ the click that it carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from urllib.parse import unquote_plus
from urllib.parse import urlencode
from urllib.parse import urlsplit

from .value import EMPTY
from .value import Referral
from .value import decode_partner_key
from .value import encode_partner_key
from .value import valid_sub_ids
from .value import valid_xid

#: Fields of a query string that are looked at. Real landing links have up to 15.
MOST_FIELDS = 100
_SUB_ID_NAME = re.compile(r"sid\d{0,2}", re.ASCII)

_Fields = list[tuple[str, str]]


def read_query(
    query: str, xid_params: tuple[str, ...], partner_key_params: tuple[str, ...]
) -> Referral:
    """Return the click in a raw query string, or the empty referral. Never raises.

    :param query: as WSGI has it: each character one byte of the URL. It is not read through
        ``request.args``, which refuses bytes that are not UTF-8 and would turn the page into
        an error.

    Parameters may come in any order and more than once, and the names count in the order given.
    A link whose destination has somebody's old click in it brings two: the one that stands under
    another name as well counts, else the last, because links append theirs; the partner key is
    the one beside it. A bad partner key never costs the click.
    """
    found = _fields(query, (*xid_params, *partner_key_params))
    xid = _chosen(found, xid_params, valid_xid)
    partner_key = _beside(xid, found, zip(xid_params, partner_key_params, strict=False))
    if partner_key is None:
        partner_key = _chosen(found, partner_key_params, decode_partner_key)
    if xid is None and partner_key is None:
        return EMPTY
    sub_ids = [value for name, value in found if _SUB_ID_NAME.fullmatch(name)]
    return Referral(xid, partner_key, None, valid_sub_ids(sub_ids) if sub_ids else (), "url")


def carries_two(query: str, xid_params: tuple[str, ...]) -> bool:
    """Say whether one name brings two different clicks. Most queries pay a search in a string."""
    if "%" not in query and all(query.count(f"{name}=") < 2 for name in xid_params):
        return False
    found = _fields(query, xid_params)
    return any(len({*_valid(found, name, valid_xid)}) > 1 for name in xid_params)


def decorate(
    url: str, referral: Referral, xid_params: tuple[str, ...], partner_key_params: tuple[str, ...]
) -> str:
    """Return ``url`` with the click in its query, where :func:`read_query` finds it.

    The rest of the URL stays as it is; a click that it carried already gives way, with its
    partner and its sub IDs. What is no web address (``mailto:``) is returned unchanged.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if referral.xid is None or parts.scheme not in ("", "http", "https"):
        return url
    ours = [(xid_params[0], referral.xid)]
    if referral.partner_key is not None:
        ours.append((partner_key_params[0], encode_partner_key(referral.partner_key)))
    ours += [(f"sid{n or ''}", sub_id) for n, sub_id in enumerate(referral.sub_ids)]
    names = {name for name, _ in ours}
    others = [
        field
        for field in _without_click(parts.query, {*xid_params, *partner_key_params})
        if _name_of(field) not in names
    ]
    return parts._replace(query="&".join((*others, urlencode(ours)))).geturl()


def _without_click(query: str, params: set[str]) -> list[str]:
    """Return the fields that are not part of a click: it has names of its own, and sub IDs.

    Without a click beside it, ``sid`` may be the name of anything.
    """
    fields = [(_name_of(field), field) for field in query.split("&") if field]
    if params.isdisjoint(name for name, _ in fields):
        return [field for _, field in fields]
    return [
        field for name, field in fields if name not in params and not _SUB_ID_NAME.fullmatch(name)
    ]


def _name_of(field: str) -> str:
    name = field.partition("=")[0]
    if "%" in name:
        name = unquote_plus(name, errors="replace")
    # A link that was HTML-escaped once too often separates by "&amp;", so that every name but
    # the first arrives as "amp;name".
    return name.removeprefix("amp;")


def _fields(query: str, wanted: tuple[str, ...]) -> _Fields:
    """Return the fields that are ours, decoded as ``parse_qsl`` does.

    Only those are decoded: a landing URL is full of others.
    """
    if not query.isascii():
        query = query.encode("latin-1", "replace").decode("utf-8", "replace")
    found = []
    for field in query.split("&", MOST_FIELDS)[:MOST_FIELDS]:
        name = _name_of(field)
        if name in wanted or name.startswith("sid"):
            value = field.partition("=")[2]
            found.append((name, unquote_plus(value, errors="replace")))
    return found


def _chosen(found: _Fields, names: Iterable[str], valid: Callable[[str], str | None]) -> str | None:
    by_name = [_valid(found, name, valid) for name in names]
    for values in by_name:
        if values:
            elsewhere = [value for other in by_name if other is not values for value in other]
            return next((v for v in reversed(values) if v in elsewhere), values[-1])
    return None


def _valid(found: _Fields, wanted: str, valid: Callable[[str], str | None]) -> list[str]:
    read = (valid(value) for name, value in found if name == wanted)
    return [value for value in read if value is not None]


def _beside(xid: str | None, found: _Fields, pairs: Iterable[tuple[str, str]]) -> str | None:
    """Return the partner key of a click that is not the only one: as many keys, the same place."""
    for xid_name, key_name in pairs:
        xids = [value for name, value in found if name == xid_name]
        if len(xids) < 2 or xid not in xids:
            continue
        keys = [value for name, value in found if name == key_name]
        if len(keys) == len(xids):
            return decode_partner_key(keys[-1 - xids[::-1].index(xid)])
    return None
