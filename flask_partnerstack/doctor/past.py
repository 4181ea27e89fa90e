"""What the ledger remembers: what was denied, what waits too long, what pays nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from collections.abc import Sequence
from datetime import timedelta

from flask import Flask

from .._state import State
from ..ledger import Cause
from ..ledger import Entry
from ..ledger import Pause
from ..ledger import Status
from ..settings import is_loopback
from .finding import Finding
from .requests import PROXY_FIX

#: How long what is due may wait for somebody to deal with it. A sweep takes half a minute.
LATE = timedelta(minutes=10)
#: How many of the newest entries are looked at.
RECENT = 50
#: Conversions that must all have come from private addresses before it is a proxy's doing.
SUSPICIOUS = 3


def look_at_past(_app: Flask, state: State) -> Iterator[Finding]:
    """Say what went wrong until now, as far as the set-up may be why."""
    pause = state.ledger.outlook().pause
    if pause is not None and pause.cause is not Cause.NO_TOKEN:
        yield _pause(pause)
    yield from _overdue(state, pause)
    yield from _dead(state)
    yield from _environments(state)
    yield from _addresses(state)


def _pause(pause: Pause) -> Finding:
    return Finding(
        "error",
        f"All delivery is paused since {pause.since:%Y-%m-%d %H:%M} UTC: {pause.reason}.",
        _OF_A_MOVE if pause.cause is Cause.MOVED else _OF_A_PAUSE,
        _WAYS_OUT.get(pause.cause, "It is probed, and goes on by itself when the service is back."),
    )


_OF_A_PAUSE = "Nothing is lost and nothing grows older, but no partner is credited meanwhile."
_OF_A_MOVE = "What is recorded here from now on is delivered by nobody, until it is moved as well."
_WAYS_OUT = {
    Cause.DENIED: "Set PARTNERSTACK_TOKEN to the token of PartnerStack's Settings → Integrations. "
    "Delivery goes on by itself.",
    Cause.REJECTING: "Look at PARTNERSTACK_CONVERSION_URL, and at the answers: "
    "flask partnerstack list --status pending, and show.",
    Cause.MOVING: "It goes on by itself when the move is done, or half a minute after it was cut "
    "off. Then run it again.",
    Cause.MOVED: "Give this process the new ledger, and run flask partnerstack move there once "
    "more.",
}


def _overdue(state: State, pause: Pause | None) -> Iterator[Finding]:
    waited = state.ledger.overdue()
    # One for want of a token is over as soon as somebody with a token delivers.
    is_on = pause is None or pause.cause is Cause.NO_TOKEN
    if is_on and waited > LATE and state.settings.token is not None:
        yield Finding(
            "error",
            f"What is due has waited for {int(waited.total_seconds() // 60)} minutes.",
            "Nobody delivers from this ledger.",
            "Does the site run, or the worker, or cron? Do they have the same "
            "PARTNERSTACK_LEDGER_URL? Now, by hand: flask partnerstack deliver",
        )


def _dead(state: State) -> Iterator[Finding]:
    count = state.ledger.counts()[Status.DEAD]
    if count:
        yield Finding(
            "warning",
            f"{count} {'entry is' if count == 1 else 'entries are'} dead, and need a person.",
            "Their partners are not credited.",
            "flask partnerstack list --status dead; show says why; requeue sends them again.",
        )


# --- test and production ------------------------------------------------------------------------


def _environments(state: State) -> Iterator[Finding]:
    found = state.ledger.looked_up(limit=RECENT)
    tests = [entry for entry in found if entry.test]
    if tests and not is_loopback(state.settings.conversion_url):
        yield _tests(tests, [entry for entry in found if not entry.test])


def _tests(tests: Sequence[Entry], real: Sequence[Entry]) -> Finding:
    if real and tests[0].id < real[-1].id:  # a rehearsal, and then production
        return Finding("ok", f"Customers are real ones at PartnerStack since entry {real[-1].id}.")
    way_out = (
        "Look at PARTNERSTACK_TOKEN, PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY: all of "
        "the production environment, in production."
    )
    if not real:
        what = f"The newest {len(tests)} customers that were looked up are all test customers."
        return Finding("warning", what, "No partner is paid for a test customer.", way_out)
    return Finding(
        "error",
        f"Test and production are mixed: entry {tests[0].id} is a test customer at PartnerStack, "
        f"entry {real[0].id} is a real one.",
        "No partner is paid for a test customer.",
        f"{way_out} Some process may still run with others.",
    )


# --- addresses ----------------------------------------------------------------------------------


def _addresses(state: State) -> Iterator[Finding]:
    if is_loopback(state.settings.conversion_url):
        return
    reported = state.ledger.reported(limit=RECENT)
    known = [c.ip_address for c in reported if c.ip_address is not None]
    if len(known) >= SUSPICIOUS and all(ipaddress.ip_address(ip).is_private for ip in known):
        yield Finding(
            "warning",
            f"The last {len(known)} conversions all came from private addresses, as {known[0]}.",
            "That is a proxy's address in the place of the customer's, and PartnerStack's checks "
            "for fraud go by it.",
            f"Behind a proxy: {PROXY_FIX}",
        )
