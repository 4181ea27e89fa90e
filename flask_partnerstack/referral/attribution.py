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

#: Browsers keep no cookie longer (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.5).
LONGEST_AGE = timedelta(days=400)


class Clicks(NamedTuple):
    """Every click that one request carries, by where it stands.

    :param memories: what our cookie remembers; two where a host's copy and its domain's arrive
        together.
    :param scripts: the distinct clicks of PartnerStackJS's cookies, likewise.
    """

    url: Referral = EMPTY
    memories: tuple[Memory, ...] = ()
    scripts: tuple[Referral, ...] = ()
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
        redirector's. With ``"first"`` an unexpired click of ours wins over all, and those that
        lose to it are remembered as old. A click that we have seen is never new: the Back button
        reloads old landing URLs, and PartnerStackJS renews its cookie for as long as it is fed.
        """
        kept = self._kept(clicks.memories, now)
        fresh = _fresh(clicks, kept)
        if kept and self.policy == "first":
            return kept, None if fresh is None else _remember(kept, clicks, loser=fresh)
        if fresh is None:
            return kept or _unconvertible(clicks), self._to_renew(clicks, now)
        referral = Referral(fresh.xid, fresh.partner_key, now, fresh.sub_ids, fresh.source)
        return referral, _remember(referral, clicks)

    @property
    def lifetime(self) -> timedelta:
        """How long our cookie lives. Longer than the window, where browsers let it.

        An expired click is then known as expired when PartnerStackJS's copy of it, which renews
        itself, shows up again.
        """
        return min(2 * self.window, LONGEST_AGE)

    def _kept(self, memories: tuple[Memory, ...], now: datetime) -> Referral:
        alive = [m.referral for m in memories if not m.referral.expired(now, self.window)]
        if len(alive) < 2:
            return alive[0] if alive else EMPTY
        return (max if self.policy == "last" else min)(alive, key=_time_of)

    def _to_renew(self, clicks: Clicks, now: datetime) -> Memory | None:
        """Return the expired click that we would soon forget, and PartnerStackJS would not."""
        soon = max(self.window, self.lifetime * 0.75)
        for memory in clicks.memories:
            if memory.referral.expired(now, soon) and any(
                memory.knows(script.xid) for script in clicks.scripts
            ):
                return memory
        return None


def _time_of(referral: Referral) -> float:
    return referral.clicked_at.timestamp() if referral.clicked_at is not None else 0.0


def _fresh(clicks: Clicks, kept: Referral) -> Referral | None:
    last_resort = EMPTY if kept else clicks.redirector
    for candidate in (clicks.url, *clicks.scripts, last_resort):
        if candidate.xid is not None and not _known(candidate, clicks.memories):
            return candidate
    return None


def _known(candidate: Referral, memories: tuple[Memory, ...]) -> bool:
    return any(memory.knows(candidate.xid) for memory in memories)


def _unconvertible(clicks: Clicks) -> Referral:
    # Somebody's name without a click: enough for a greeting, nothing to report or to keep.
    for candidate in (clicks.url, *clicks.scripts):
        if candidate.partner_key is not None and candidate.xid is None:
            return candidate
    return EMPTY


def _remember(referral: Referral, clicks: Clicks, loser: Referral = EMPTY) -> Memory:
    xids = [script.xid for script in clicks.scripts]
    script_xid = xids[0] if xids else None
    # What the script's other copies say was seen, too: none of them is a change next time.
    others = [xid for xid in (loser.xid, *xids[1:]) if xid != script_xid]
    return Memory(referral, script_xid, _superseded(referral, others, clicks.memories))


def _superseded(
    referral: Referral, others: list[str | None], memories: tuple[Memory, ...]
) -> tuple[str, ...]:
    earlier = dict.fromkeys(others)
    for memory in sorted(memories, key=lambda memory: _time_of(memory.referral), reverse=True):
        earlier.update(dict.fromkeys((memory.referral.xid, memory.script_xid, *memory.superseded)))
    return tuple(xid for xid in earlier if xid is not None and xid != referral.xid)[
        :MOST_SUPERSEDED
    ]
