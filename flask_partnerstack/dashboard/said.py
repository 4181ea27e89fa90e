"""How the page says times and states."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta

from ..errors import Judgement
from ..ledger import Entry
from ..ledger import Status
from ..ledger import is_erased
from ..ledger import is_parked as is_parked
from ..ledger import is_stuck

#: What a state means, for whoever hovers over it or reads it aloud.
MEANINGS = {
    Status.PENDING: "recorded, waits for its delivery",
    Status.DELIVERED: "PartnerStack said that it took it",
    Status.VERIFIED: "looked up, and found at PartnerStack",
    Status.DEAD: "given up: for you to look at",
    Status.SKIPPED: "never to be sent",
}
#: How good news an attempt was: the colour of its judgement.
TONES = {
    Judgement.ACCEPTED: "good",
    Judgement.FOUND: "good",
    Judgement.REJECTED: "bad",
    Judgement.DENIED: "bad",
}
#: How long a conversion waits on a good day at most.
LATE = timedelta(minutes=15)
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def moment(at: datetime) -> str:
    """Return a moment to the second, in UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def span(length: timedelta) -> str:
    """Return how long something is, in the largest unit that fits."""
    seconds = length.total_seconds()
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def distance(at: datetime, now: datetime) -> str:
    """Return how far from now a moment is: ``"3 h ago"``, ``"in 2 min"``."""
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def is_late(recorded_at: datetime, now: datetime) -> bool:
    """Say whether an undelivered entry waits longer than it does on a good day."""
    return now - recorded_at > LATE


def name(entry: Entry) -> str:
    """Return who an entry is about."""
    return "erased customer" if is_erased(entry) else entry.customer_key


def may_be_requeued(entry: Entry) -> bool:
    """Say whether a person may make an entry due again."""
    return is_stuck(entry) and not is_erased(entry)
