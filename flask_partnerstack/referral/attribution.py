"""Which of a visitor's clicks counts, and whether it is new to us. A rule, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from typing import Literal
from typing import NamedTuple

from .memory import MOST_SUPERSEDED
from .memory import Memory
from .value import EMPTY
from .value import Referral


class Clicks(NamedTuple):
    """Every click that one request carries, by where it stands."""

    url: Referral = EMPTY
    memory: Memory | None = None
    script: Referral = EMPTY
    redirector: Referral = EMPTY


@dataclass(frozen=True)
class Attribution:
    """The rules of one app: the last or the first click, and how long it may earn."""

    policy: Literal["last", "first"]
    window: timedelta

    def decide(self, clicks: Clicks, now: datetime) -> tuple[Referral, Memory | None]:
        """Return the referral that counts, and the memory to write when its click is new to us.

        The order: a click in the URL, a PartnerStackJS cookie that changed since we last looked
        (its script saw a click on a cached page that we did not), the one that we remember, the
        redirector's. With ``"first"`` an unexpired click of ours wins over all. A click that we
        have seen is never new: the Back button reloads old landing URLs, and PartnerStackJS
        renews its cookie for as long as it is fed.
        """
        kept = self._kept(clicks.memory, now)
        if kept and self.policy == "first":
            return kept, None
        fresh = self._fresh(clicks, kept)
        if fresh is None:
            return kept or _unconvertible(clicks), None
        referral = Referral(fresh.xid, fresh.partner_key, now, fresh.sub_ids, fresh.source)
        return referral, _remember(referral, clicks)

    def _kept(self, memory: Memory | None, now: datetime) -> Referral:
        if memory is None or memory.referral.expired(now, self.window):
            return EMPTY
        return memory.referral

    def _fresh(self, clicks: Clicks, kept: Referral) -> Referral | None:
        last_resort = EMPTY if kept else clicks.redirector
        for candidate in (clicks.url, clicks.script, last_resort):
            if candidate.xid is not None and not _known(candidate, clicks.memory):
                return candidate
        return None


def _known(candidate: Referral, memory: Memory | None) -> bool:
    return memory is not None and memory.knows(candidate.xid)


def _unconvertible(clicks: Clicks) -> Referral:
    # Somebody's name without a click: enough for a greeting, nothing to report or to keep.
    for candidate in (clicks.url, clicks.script):
        if candidate.partner_key is not None and candidate.xid is None:
            return candidate
    return EMPTY


def _remember(referral: Referral, clicks: Clicks) -> Memory:
    return Memory(referral, clicks.script.xid, _superseded(referral, clicks.memory))


def _superseded(referral: Referral, memory: Memory | None) -> tuple[str, ...]:
    if memory is None:
        return ()
    earlier = dict.fromkeys((memory.referral.xid, memory.script_xid, *memory.superseded))
    return tuple(xid for xid in earlier if xid is not None and xid != referral.xid)[
        :MOST_SUPERSEDED
    ]
