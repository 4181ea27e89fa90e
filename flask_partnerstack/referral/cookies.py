"""PartnerStack's own cookies on our domain → the clicks that they remember.

Two families: those of PartnerStackJS, one value each, and those of the redirector, one set per
click. Values are plain, never base64, whatever the parameter of the same name in a link holds.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from .value import EMPTY
from .value import Referral
from .value import valid_partner_key
from .value import valid_xid

#: What PartnerStackJS calls the click, newest name first.
SCRIPT_XID_COOKIES = ("ps_xid", "gsxid")
SCRIPT_PARTNER_KEY_COOKIES = ("ps_partner_key", "growSumoPartnerKey")
#: How the redirector's names begin. A program's and a click's suffix follow.
REDIRECTOR_XID_PREFIXES = ("_ps_xid_", "_gsxid")
REDIRECTOR_PARTNER_KEY_PREFIXES = ("_ps_partner_key_", "_grsmpk")

#: How the name of each cookie begins that is looked at here.
THEIR_PREFIXES = (
    *SCRIPT_XID_COOKIES,
    *SCRIPT_PARTNER_KEY_COOKIES,
    *REDIRECTOR_XID_PREFIXES,
    *REDIRECTOR_PARTNER_KEY_PREFIXES,
)

Cookies = Iterable[tuple[str, str]]


def read_script_cookies(cookies: Cookies) -> tuple[Referral, ...]:
    """Return the distinct clicks that PartnerStackJS remembers, the newer name's first.

    As a rule there is one. Of a cookie that a subdomain and its apex both have, a browser sends
    both copies, and which of them is news only who knows the other can tell.
    """
    found = list(cookies)
    xids = _values(found, SCRIPT_XID_COOKIES, valid_xid)
    keys = _values(found, SCRIPT_PARTNER_KEY_COOKIES, valid_partner_key)
    if len(xids) < 2:
        only = _referral(_first(xids), _first(keys), source="partnerstackjs")
        return (only,) if only else ()
    paired = _pairs(found)
    return tuple(_referral(xid, paired.get(xid), source="partnerstackjs") for xid in xids)


def read_redirector_cookies(cookies: Cookies) -> Referral:
    """Return the redirector's click when it remembers just one, else the empty referral.

    A Cookie header has no times, so between two clicks nobody can tell the newer.
    """
    found = list(cookies)
    xids = _distinct(found, REDIRECTOR_XID_PREFIXES, valid_xid)
    if len(xids) != 1:
        return EMPTY
    keys = _distinct(found, REDIRECTOR_PARTNER_KEY_PREFIXES, valid_partner_key)
    return _referral(xids.pop(), keys.pop() if len(keys) == 1 else None, source="redirector")


def _referral(xid: str | None, partner_key: str | None, *, source: str) -> Referral:
    if xid is None and partner_key is None:
        return EMPTY
    return Referral(xid=xid, partner_key=partner_key, source=source)


def _values(
    cookies: Cookies, names: tuple[str, ...], valid: Callable[[str], str | None]
) -> list[str]:
    values = (valid(v) for wanted in names for name, v in cookies if name == wanted)
    return list(dict.fromkeys(value for value in values if value is not None))


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _pairs(cookies: Cookies) -> dict[str, str]:
    """Return whose click is whose, where each copy of the xid has one of the partner key.

    A browser sends both names' copies in the same order.
    """
    pairs: dict[str, str] = {}
    for xid_name, key_name in zip(SCRIPT_XID_COOKIES, SCRIPT_PARTNER_KEY_COOKIES, strict=True):
        xids = [value for name, value in cookies if name == xid_name and valid_xid(value)]
        keys = [value for name, value in cookies if name == key_name and valid_partner_key(value)]
        if len(xids) == len(keys):
            pairs = {**dict(zip(xids, keys, strict=True)), **pairs}
    return pairs


def _distinct(
    cookies: Cookies, prefixes: tuple[str, ...], valid: Callable[[str], str | None]
) -> set[str]:
    values = (valid(value) for name, value in cookies if name.startswith(prefixes))
    return {value for value in values if value is not None}
