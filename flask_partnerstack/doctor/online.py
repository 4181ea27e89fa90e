"""What PartnerStack itself says of the credentials. Nothing is created there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta

from flask import Flask

from .._state import State
from ..errors import DeliveryError
from ..errors import Denied
from ..errors import LedgerUnavailable
from ..settings import is_loopback
from .clock import compare_with_theirs
from .finding import Finding

#: Time for the one question.
WITHIN = timedelta(seconds=15)


def ask_partnerstack(app: Flask, state: State) -> Iterator[Finding]:
    """Ask for a customer that cannot exist, and say what is known of the token."""
    if app.testing and not is_loopback(state.settings.api_url):
        yield Finding("warning", "PartnerStack is not asked, because app.testing is set.")
        return
    if state.settings.verifies:
        yield from _pair(state)
    else:
        yield Finding("warning", "There is no key pair, so nothing can be asked.", "", "See above.")
    if state.settings.token is None:  # which is said, and there is nothing to be tried
        return
    try:
        yield _token(state)
    except LedgerUnavailable:  # which is said where the ledger is looked at
        yield Finding("warning", "Whether the token was ever accepted stands in the ledger.")


def _pair(state: State) -> Iterator[Finding]:
    nobody = f"flask-partnerstack-check-{secrets.token_hex(16)}"
    try:
        answer = state.dispatcher.client.ask(nobody, within=WITHIN)
    except Denied as e:
        yield Finding(
            "error",
            f"PartnerStack does not accept the key pair: {e.reason}.",
            "Nothing is verified, and what is unclear waits and is given up in the end.",
            "Copy both halves anew from PartnerStack's Settings → Integrations, of the same "
            "environment as the token.",
        )
    except DeliveryError as e:
        yield Finding(
            "warning",
            f"It cannot be told whether PartnerStack accepts the key pair: {e.reason}.",
            "Look-ups will fail in the same way.",
            "See that this machine reaches PARTNERSTACK_API_URL, and try again.",
        )
    else:
        yield Finding("ok", "PartnerStack accepts the key pair.")
        if answer.date is not None:
            yield compare_with_theirs(answer.date, state.clock())


def _token(state: State) -> Finding:
    # No request is documented that tries the token and creates nothing.
    last = state.ledger.streak().last_success
    way_out = "A 401 at the next conversion pauses all delivery, and status says so."
    if last is None:
        return Finding(
            "warning",
            "The token was not tried: PartnerStack has no request for it that creates nothing.",
            "Whether it is right shows at the first conversion.",
            f"Follow a test partner's link and sign up. {way_out}",
        )
    return Finding(
        "ok",
        f"The token was accepted at {last:%Y-%m-%d %H:%M} UTC, with a conversion. It was not tried "
        "now: PartnerStack has no request for it that creates nothing.",
        way_out=way_out,
    )
