"""Whether this machine and others agree on the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta

from flask import Flask

from .._state import State
from ..ledger import Filter
from .finding import Finding

#: How far clocks may be apart.
SKEW = timedelta(minutes=1)
_WHY = (
    "Clicks are held against PARTNERSTACK_ATTRIBUTION_WINDOW by this machine's clock, and a click "
    "of the future is refused."
)
_WAY_OUT = "Let all machines keep their time by NTP."


def look_at_clock(_app: Flask, state: State) -> Iterator[Finding]:
    """Say whether our clock is that of the ledger's database, and of what it holds."""
    lead = state.ledger.clock_lead()
    if abs(lead) > SKEW:
        yield compared("The database's clock", lead)
        return
    newest = state.ledger.newest(Filter(), limit=1)
    now = state.ledger.now()
    if newest and newest[0].recorded_at > now + SKEW:
        yield compared("The newest entry", newest[0].recorded_at - now)
        return
    yield Finding("ok", f"The clock says {now:%Y-%m-%d %H:%M:%S} UTC, as the ledger does.")


def compared(whose: str, lead: timedelta) -> Finding:
    """Return the finding that somebody's clock is elsewhere than ours."""
    seconds = abs(int(lead.total_seconds()))
    where = "ahead of" if lead > timedelta(0) else "behind"
    return Finding("warning", f"{whose} is {seconds} s {where} this machine's.", _WHY, _WAY_OUT)


def compare_with_theirs(date: datetime, ours: datetime) -> Finding:
    """Compare PartnerStack's clock with ours."""
    lead = date - ours
    if abs(lead) > SKEW:
        return compared("PartnerStack's clock", lead)
    return Finding("ok", "PartnerStack's clock and this machine's agree.")
