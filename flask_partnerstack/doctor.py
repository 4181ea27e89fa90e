"""The findings of ``flask partnerstack check``: what is wrong, why it matters, the way out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ._state import State
from .errors import ConfigurationError
from .errors import LedgerUnavailable
from .settings import is_loopback


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param level: ``"ok"``, ``"warning"`` (it works, but), or ``"error"`` (it does not).
    :param what: what was found, in one sentence.
    :param way_out: why it matters and what to do; empty when all is well.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    way_out: str = ""


def examine(state: State) -> list[Finding]:
    """Look at everything that can be judged from here, without asking PartnerStack."""
    return [*_credentials(state), *_ledger(state), *_engine(state)]


def _credentials(state: State) -> Iterator[Finding]:
    settings = state.settings
    if not settings.enabled:
        yield Finding(
            "warning",
            "PARTNERSTACK_ENABLED is False.",
            "Nothing is captured and nothing is recorded. Remove the key to change that.",
        )
    if settings.token is None:
        yield Finding(
            "error",
            "PARTNERSTACK_TOKEN is not set.",
            "Conversions are recorded and parked. Copy the token from PartnerStack's Settings → "
            "Integrations (not the pk_/sk_ pair); what is parked is delivered then.",
        )
    else:
        yield Finding("ok", f"Token set; conversions go to {settings.conversion_url}.")
    if is_loopback(settings.conversion_url):
        yield Finding(
            "warning",
            "PARTNERSTACK_CONVERSION_URL is on this machine.",
            "That is right for the sandbox; in production nothing reaches PartnerStack.",
        )


def _ledger(state: State) -> Iterator[Finding]:
    try:
        state.place.make_writable()
        state.ledger.counts()
    except (ConfigurationError, LedgerUnavailable) as e:
        yield Finding("error", "The ledger cannot be used.", str(e))
        return
    yield Finding("ok", f"The ledger at {state.ledger.location} can be read and written.")
    if not state.place.lasts():
        yield Finding(
            "warning",
            "The ledger will not outlive this machine or process.",
            "Undelivered conversions are lost with it. Mount a volume there, or set "
            "PARTNERSTACK_LEDGER_URL to a database.",
        )


def _engine(state: State) -> Iterator[Finding]:
    engine = state.settings.engine
    if engine == "none":
        yield Finding(
            "warning",
            'PARTNERSTACK_ENGINE is "none": this app delivers nothing by itself.',
            "Keep flask partnerstack worker running, or run flask partnerstack deliver from cron.",
        )
    else:
        yield Finding("ok", f'Deliveries are made by the engine "{engine}".')
