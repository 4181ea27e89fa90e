"""``Referral``: this visitor came by a partner's link."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from typing import Any
from typing import Final

from ..errors import InvalidConversion

log: Final = logging.getLogger("flask_partnerstack")

#: An xid is opaque. Those seen have 12 or 14 base62 characters; anything outside this is
#: refused rather than mended, because a mended one is another click's or nobody's.
_XID = re.compile(r"[0-9A-Za-z_-]{4,128}", re.ASCII)
#: The longest partner key, in characters of the link; no real one comes near.
LONGEST_PARTNER_KEY = 512
#: PartnerStack documents 255 characters for a sub ID.
LONGEST_SUB_ID = 255
#: Characters of a stored referral; as many bytes, because all of them are ASCII.
LONGEST_STORED = 2048
#: More sub IDs than a partner appends to a link.
MOST_SUB_IDS = 10

#: How far the clock of whoever dated a click may be ahead of ours before its time counts as
#: invented. A minute is soon gone between two machines, and a click that is not believed is lost.
#: Who forges our cookie gains little: a time that has passed they can write in any case, at every
#: visit; one that is to come lets a click earn, or a first one stand, a day longer than the window.
CLOCK_SKEW = timedelta(days=1)

_TO_STANDARD_ALPHABET = str.maketrans(" -_", "++/")


@dataclass(frozen=True)
class Referral:
    """This visitor came by a partner's link, or, when empty and false, did not.

    :param xid: PartnerStack's ID of the click. Only a referral that has one can be converted.
    :param partner_key: who referred the visitor, decoded.
    :param clicked_at: when, aware; ``None`` when only PartnerStack knows.
    :param sub_ids: what the partner appended to the link, in the link's order.
    :param source: where we read it: ``"url"``, ``"cookie"`` (ours), ``"partnerstackjs"``,
        ``"redirector"``, or ``"stored"`` after :meth:`loads`.
    """

    xid: str | None = None
    partner_key: str | None = None
    clicked_at: datetime | None = None
    sub_ids: tuple[str, ...] = ()
    source: str | None = None

    def __bool__(self) -> bool:
        return self.xid is not None or self.partner_key is not None

    def expired(self, now: datetime, window: timedelta) -> bool:
        """Say whether the click is too old to earn at ``now``. An unknown time is never too old.

        :raises InvalidConversion: ``clicked_at`` is not aware.
        """
        clicked_at = check_clicked_at(self.clicked_at)
        return clicked_at is not None and now - clicked_at >= window

    def dumps(self) -> str:
        """Return a text of 2048 ASCII characters at most to store on a user or lead row.

        :meth:`loads` reads it back. What does not fit, because a visitor may write anything into
        a link, is left out: sub IDs first, then the partner key, never the xid.

        :raises InvalidConversion: ``clicked_at`` is not aware.
        """
        without_sub_ids = replace(self, sub_ids=())
        for referral in (self, without_sub_ids):
            text = referral._dump()
            if len(text) <= LONGEST_STORED:
                return text
        return replace(without_sub_ids, partner_key=None)._dump()

    def _dump(self) -> str:
        clicked_at = check_clicked_at(self.clicked_at)
        content = {
            "v": 1,
            "xid": self.xid,
            "partner_key": self.partner_key,
            "clicked_at": clicked_at and int(clicked_at.timestamp()),
            "sub_ids": list(self.sub_ids),
        }
        known = {name: value for name, value in content.items() if value not in (None, "", [])}
        return json.dumps(known, separators=(",", ":"))

    @classmethod
    def loads(cls, stored: str | Mapping[str, Any] | None) -> Referral:
        """Read what :meth:`dumps` wrote. Garbage gives the empty referral, and never raises.

        A WARNING says so of anything but ``None`` and an empty text: a column that is too short,
        for example, has cut it.

        :param stored: the text, or what a driver makes of it in a column of JSON.
        """
        if not stored:
            return EMPTY
        content = stored if isinstance(stored, Mapping) else _parsed(stored)
        referral = _from_content(content)
        if referral.xid is None and (content.get("v") != 1 or "xid" in content):
            _say_unreadable(stored)
        return referral


#: The one empty referral.
EMPTY = Referral()


def _parsed(stored: Any) -> Mapping[str, Any]:
    try:
        content = json.loads(stored)
    except (ValueError, TypeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _say_unreadable(stored: object) -> None:
    # Without its content, which may be of a customer.
    length = f" of {len(stored)} characters" if isinstance(stored, str) else ""
    log.warning(
        "A stored referral cannot be read, so that it has no click: expected what Referral.dumps() "
        "wrote, up to %s characters, got %s%s. A column that is too short cuts it.",
        LONGEST_STORED,
        type(stored).__name__,
        length,
    )


def _from_content(content: Mapping[str, Any]) -> Referral:
    xid = valid_xid(content.get("xid"))
    partner_key = valid_partner_key(content.get("partner_key"))
    if content.get("v") != 1 or (xid is None and partner_key is None):
        return EMPTY
    sub_ids = content.get("sub_ids")
    return Referral(
        xid=xid,
        partner_key=partner_key,
        clicked_at=moment(content.get("clicked_at")),
        sub_ids=valid_sub_ids(sub_ids if isinstance(sub_ids, list) else []),
        source="stored",
    )


def check_referral(value: object) -> Referral:
    """Return what was given as a stored referral.

    :raises InvalidConversion: it is something else: the text that was stored, as a rule.
    """
    if not isinstance(value, Referral):
        raise InvalidConversion(
            "referral",
            f"expected a Referral, got {type(value).__name__}. Of a text that its dumps() wrote, "
            "Referral.loads(text) makes one.",
        )
    return value


def check_clicked_at(value: object) -> datetime | None:
    """Return a click's moment as it came.

    Not asked where a referral is made: a function that ``customer=`` asks would raise there, and
    its customer be lost for the moment of a click.

    :raises InvalidConversion: without a time zone nobody can say when that was.
    """
    if value is None or (isinstance(value, datetime) and value.utcoffset() is not None):
        return value
    got = "a naive one" if isinstance(value, datetime) else type(value).__name__
    raise InvalidConversion(
        "referral",
        f"clicked_at: expected an aware datetime or None, got {got}. SQLite and MySQL give a "
        "column back without its zone: where it was stored in UTC, clicked_at.replace(tzinfo="
        "timezone.utc). Or store the text of dumps(), and Referral.loads(text) reads it whole.",
    )


def moment(seconds: Any) -> datetime | None:
    """Return the aware moment so many whole seconds after 1970, or ``None`` for what is none."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def valid_xid(value: object) -> str | None:
    """Return ``value`` when it can be an xid, else ``None``."""
    return value if isinstance(value, str) and _XID.fullmatch(value) else None


def valid_partner_key(value: object) -> str | None:
    """Return a plain partner key when it is printable and not too long, else ``None``."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_PARTNER_KEY:
        return None
    return value if value.isprintable() and value.strip() == value else None


def valid_sub_ids(values: list[Any]) -> tuple[str, ...]:
    """Return the sub IDs that can be reported; the rest is left out, never an error."""
    return tuple(filter(_is_sub_id, values))[:MOST_SUB_IDS]


def _is_sub_id(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_SUB_ID
        and value.isprintable()
        and not value.isspace()
    )


def decode_partner_key(value: str) -> str | None:
    """Return the partner key that a link carries as ``value``.

    Base64 with or without its padding, in the standard or the URL-safe alphabet, a ``+`` that
    became a space on its way. One real key in three is refused by ``base64.b64decode`` because
    links strip the padding. What cannot be decoded is kept as it came: a bad partner key must
    never cost the click. ``None`` when it is not even printable, or too long.
    """
    text = value.strip()
    if len(text) > LONGEST_PARTNER_KEY:
        return None
    # A "+" at the very end became a space, too: without it, the last character has bits over.
    decoded = _decode(text) or (_decode(text + "+") if value.endswith(" ") else None)
    return valid_partner_key(decoded) or valid_partner_key(text)


def encode_partner_key(partner_key: str) -> str:
    """Return ``partner_key`` as links carry it: base64, without its padding."""
    return base64.b64encode(partner_key.encode()).decode().rstrip("=")


def _decode(text: str) -> str | None:
    unpadded = text.translate(_TO_STANDARD_ALPHABET).rstrip("=")
    if not unpadded or len(unpadded) % 4 == 1:
        return None
    padded = unpadded + "=" * (-len(unpadded) % 4)
    try:
        decoded = base64.b64decode(padded, validate=True)
        return decoded.decode() if base64.b64encode(decoded) == padded.encode() else None
    except (binascii.Error, ValueError):
        return None
