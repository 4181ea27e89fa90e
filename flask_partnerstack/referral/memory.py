"""``Memory``: what our own cookie remembers of a visitor's clicks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from urllib.parse import parse_qsl
from urllib.parse import quote

from .value import CLOCK_SKEW
from .value import Referral
from .value import moment
from .value import valid_partner_key
from .value import valid_sub_ids
from .value import valid_xid

#: Bytes of a cookie's value that we allow ourselves. Browsers promise 4096 for a whole cookie.
LONGEST_COOKIE = 2048
#: How many superseded clicks are remembered, so that the Back button is no new click.
MOST_SUPERSEDED = 5
#: The most fields that a value of ours can have; more is not ours.
_MOST_FIELDS = 32
_SHAPE = re.compile(r"v=1&x=(?P<xid>[\w-]{4,128})&t=(?P<at>\d{1,11})(?P<rest>&[!-~]*)?", re.ASCII)


@dataclass(frozen=True)
class Memory:
    """The click that counts, and what is needed to tell a new one from an old one.

    :param referral: the click, with its time.
    :param script_xid: what PartnerStackJS's cookie said when we last looked.
    :param superseded: the xids of earlier clicks, newest first.
    """

    referral: Referral
    script_xid: str | None = None
    superseded: tuple[str, ...] = ()

    def knows(self, xid: str | None) -> bool:
        """Say whether ``xid`` is no news: it counts already, or did before."""
        return xid in (self.referral.xid, self.script_xid) or xid in self.superseded

    def dumps(self) -> str:
        """Return the cookie's value: readable, versioned, 2 KiB at most.

        What does not fit is left out: sub IDs first, then the partner key, never the xid.
        """
        without_sub_ids = replace(self, referral=replace(self.referral, sub_ids=()))
        for memory in (self, without_sub_ids):
            value = memory._dump()
            if len(value) <= LONGEST_COOKIE:
                return value
        bare = replace(without_sub_ids.referral, partner_key=None)
        return replace(self, referral=bare)._dump()

    def _dump(self) -> str:
        clicked_at = self.referral.clicked_at
        fields = [
            ("v", "1"),
            ("x", self.referral.xid),
            ("t", str(int(clicked_at.timestamp())) if clicked_at else "0"),
            ("k", self.referral.partner_key),
            *(("s", sub_id) for sub_id in self.referral.sub_ids),
            ("j", self.script_xid),
            *(("o", xid) for xid in self.superseded),
        ]
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields if value)

    @classmethod
    def loads(cls, value: str, now: datetime) -> Memory | None:
        """Read what :meth:`dumps` wrote; ``None`` for anything else, and for a time to come.

        The cookie is not signed, so that apps without a secret key have one too: whatever a
        visitor writes into it is held against the same rules as a link's parameters.
        """
        memory = _read(value)
        return None if memory is None or _is_to_come(memory, now) else memory

    @classmethod
    def is_refused_for_its_time(cls, value: str, now: datetime) -> bool:
        """Say whether :meth:`loads` would read the value at a later time."""
        memory = _read(value)
        return memory is not None and _is_to_come(memory, now)


def _is_to_come(memory: Memory, now: datetime) -> bool:
    clicked_at = memory.referral.clicked_at
    # The cookie has whole seconds, cut off: a day ahead there was a little more.
    return clicked_at is not None and clicked_at - now >= CLOCK_SKEW


def _read(value: str) -> Memory | None:
    return _parse(value) if len(value) <= LONGEST_COOKIE else None


# A browser sends the same cookie with every request of a visit.
@lru_cache(maxsize=1024)
def _parse(value: str) -> Memory | None:
    shape = _SHAPE.fullmatch(value)
    clicked_at = moment(int(shape["at"])) if shape else None
    if shape is None or clicked_at is None:
        return None
    referral = Referral(shape["xid"], clicked_at=clicked_at, source="cookie")
    rest = shape["rest"]
    return _with_rest(Memory(referral), rest) if rest else Memory(referral)


def _with_rest(memory: Memory, rest: str) -> Memory | None:
    if rest.count("&") > _MOST_FIELDS:
        return None
    found: dict[str, list[str]] = {"k": [], "s": [], "j": [], "o": []}
    for name, value in parse_qsl(rest, errors="replace"):
        found.get(name, []).append(value)
    referral = replace(
        memory.referral,
        partner_key=valid_partner_key(next(iter(found["k"]), None)),
        sub_ids=valid_sub_ids(found["s"]),
    )
    superseded = tuple(xid for xid in found["o"] if valid_xid(xid))[:MOST_SUPERSEDED]
    return Memory(referral, valid_xid(next(iter(found["j"]), None)), superseded)
