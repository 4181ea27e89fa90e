"""The token, and the key pair."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask

from .._state import State
from ..settings import Settings
from ..settings import is_loopback
from .finding import Finding

#: What the sandbox, and its documentation, take for a token.
SANDBOX_TOKEN = "sandbox-token"  # noqa: S105 - printed on the sandbox's page


def look_at_credentials(_app: Flask, state: State) -> Iterator[Finding]:
    """Say whether there is a token, and pairs that verify, and where they lead."""
    settings = state.settings
    yield _token(settings)
    if is_loopback(settings.conversion_url):
        yield Finding(
            "warning",
            "PARTNERSTACK_CONVERSION_URL is on this machine.",
            "That is right for the sandbox; in production nothing reaches PartnerStack.",
            "Remove the key in production.",
        )
    yield _pair(settings)


def _token(settings: Settings) -> Finding:
    if settings.token is None:
        return Finding(
            "error",
            "PARTNERSTACK_TOKEN is not set.",
            "Conversions are recorded and parked, and no partner is credited.",
            f"{_WHERE[:-1]} (not the pk_/sk_ pair); what is parked is delivered then.",
        )
    if settings.token == SANDBOX_TOKEN and not is_loopback(settings.conversion_url):
        why = "PartnerStack will turn every conversion away, and delivery will pause."
        return Finding("error", "PARTNERSTACK_TOKEN is the sandbox's.", why, _WHERE)
    if settings.token in (settings.public_key, settings.secret_key):
        why = "That is the other credential: PartnerStack answers it with 401."
        return Finding("error", "PARTNERSTACK_TOKEN is a half of the key pair.", why, _WHERE)
    return Finding("ok", f"Token set; conversions go to {settings.conversion_url}.")


_WHERE = "Copy the token from PartnerStack's Settings → Integrations."


def _pair(settings: Settings) -> Finding:
    if settings.verifies:
        return Finding("ok", f"Key pair set; conversions are looked up at {settings.api_url}.")
    return Finding(
        "ok",
        "No key pair is set, so conversions are not looked up after delivery.",
        way_out="With PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY an answer that was lost "
        "is looked up before anything is sent again.",
    )
