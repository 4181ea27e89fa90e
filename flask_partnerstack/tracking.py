"""Conversion → ledger entry, signal, nudge."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import Final

from flask import Flask

from . import signals
from ._known import FROM_REQUEST
from ._known import FromRequest
from ._known import known_of
from ._state import State
from ._state import get_state
from ._state import this_app
from .conversion import Conversion
from .conversion import CustomerKey
from .conversion import check_customer_key
from .conversion import check_optional
from .ledger import Entry
from .ledger import Recorded
from .ledger import Status
from .masking import looks_like_email
from .masking import masked
from .referral import Referral
from .settings import HASH
from .settings import Settings

if TYPE_CHECKING:
    from .ledger.joined import Joinable

log: Final = logging.getLogger("flask_partnerstack")


PARKED = "no token"
_FOR_NOW = "until there is a token: PARTNERSTACK_TOKEN"
#: The host of a hashed address. No mail can reach it: https://www.rfc-editor.org/rfc/rfc2606
HASHED_HOST = "hashed.invalid"


def track_conversion(
    customer_key: CustomerKey,
    *,
    email: str | None = None,
    name: str | None = None,
    provider_key: str | None = None,
    origin: str | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    external_type: str | None = None,
    sub_ids: Iterable[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    xid: str | FromRequest | None = FROM_REQUEST,
    referral: Referral | FromRequest | None = FROM_REQUEST,
    session: Joinable | None = None,
) -> Entry | None:
    """Record durably that a referred visitor became a customer; it is delivered soon after.

    Returns the ledger's entry; ``None`` when there is no click to report, and with ``ENABLED`` off.
    A customer key has one entry for ever: a second call returns the first one unchanged, but for a
    skipped one, which is asked again. What a hook vetoes comes back as a skipped entry. Never
    waits for PartnerStack and never raises for anything that PartnerStack does.

    :param customer_key: your own stable ID of the customer, the same everywhere and for ever: a
        ``str``, ``int`` or ``UUID``.
    :param provider_key: the payment provider's ID of the customer, so that PartnerStack knows whose
        payments are theirs.
    :param origin: where they signed up; default: the request's host.
    :param ip_address: the customer's; default: the request's ``remote_addr``.
    :param user_agent: the customer's; default: the request's.
    :param sub_ids: default: the referral's.
    :param meta: custom fields, by their ``api_name`` at PartnerStack.
    :param xid: the click, when you have stored it; ``None``, of a column that is empty, for none.
        Nothing is taken from this request then, because an admin's or a webhook's request is
        somebody else's.
    :param referral: the referral, when you have stored it, likewise; ``None`` for none.
    :param session: a SQLAlchemy ``Session``, ``scoped_session`` or ``Connection`` of the ledger's
        database: the conversion is written in its transaction, so that your signup and it are
        committed together or not at all. It is delivered after your commit.
    :raises InvalidConversion: naming the argument that cannot be reported.
    :raises LedgerUnavailable: it could not be written down.
    :raises sqlalchemy.exc.DBAPIError: with ``session``: whatever your database says, unchanged.
    """
    given = {
        "email": email,
        "name": name,
        "provider_key": provider_key,
        "origin": origin,
        "ip_address": ip_address,
        "user_agent": user_agent,
        "external_type": external_type,
        "sub_ids": sub_ids,
        "meta": meta,
    }
    state = get_state()
    known = known_of(state, xid, referral)
    if known is None or not state.settings.enabled:
        _check_all_the_same(state, customer_key, given, session)
        return None
    told = {name: value for name, value in given.items() if value is not None}
    checked = {"customer_key": check_customer_key(customer_key), "xid": known.xid}
    conversion = Conversion.of_checked({**known.facts, **check_optional(told), **checked})
    return _record(state, conversion, known.referral, session)


def _check_all_the_same(
    state: State, customer_key: CustomerKey, given: Mapping[str, Any], session: Joinable | None
) -> None:
    """Let a mistake show at the first signup, and not at the first that pays."""
    check_customer_key(customer_key)
    check_optional(given)
    if session is not None and state.settings.enabled:
        state.ledger.join(session)


def discreet(conversion: Conversion, settings: Settings) -> Conversion:
    """Return ``conversion`` without what SEND_EMAIL and SEND_NAME leave out, or with a digest."""
    email, name = conversion.email, conversion.name
    if email is not None and settings.send_email is not True:
        hashed = f"{_digest(email)}@{HASHED_HOST}"
        email = hashed if settings.send_email == HASH else None
    if name is not None and settings.send_name is not True:
        name = _digest(name) if settings.send_name == HASH else None
    if email is conversion.email and name is conversion.name:
        return conversion  # as nearly always: a copy costs several microseconds
    return replace(conversion, email=email, name=name)


def _digest(text: str) -> str:
    """Return the SHA-256 of ``text``, however its letters were written, in hexadecimal digits."""
    return hashlib.sha256(text.casefold().encode()).hexdigest()


# --- writing it down ----------------------------------------------------------------------------


def _record(
    state: State, conversion: Conversion, referral: Referral, session: Joinable | None
) -> Entry:
    _warn_of_email(state, conversion.customer_key)
    veto = state.hooks.veto(conversion, referral)  # of all that there is to judge by
    conversion = discreet(conversion, state.settings)
    blocked = state.dispatcher.blocked_by
    how: dict[str, Any] = {
        "reason": veto or blocked or (PARKED if state.settings.token is None else None),
        "skipped": veto is not None,
        "parked": blocked is not None,  # at once, so that no other process takes it to be sent
    }
    announce = partial(_announce, state, this_app())
    if session is not None:
        return state.ledger.record_in(session, conversion, **how, then=announce).entry
    recorded = state.ledger.record(conversion, **how)
    if recorded.new:
        announce(recorded)
    return recorded.entry


def _announce(state: State, app: Flask, recorded: Recorded) -> None:
    if recorded.entry.status is Status.SKIPPED:
        _announce_skipped(app, recorded.entry)
    else:
        _announce_pending(state, app, recorded.entry)


def _announce_skipped(app: Flask, entry: Entry) -> None:
    log.info(
        "Skipped entry %s: customer %s, xid %s: %s.",
        entry.id,
        masked(entry.customer_key),
        entry.xid,
        entry.reason,
        extra=entry.log_extra,
    )
    signals.send(signals.conversion_skipped, app, entry=entry, reason=entry.reason)


def _announce_pending(state: State, app: Flask, entry: Entry) -> None:
    if log.isEnabledFor(logging.INFO):  # a signup waits for what goes into it
        log.info(
            "Recorded entry %s: customer %s, xid %s.",
            entry.id,
            masked(entry.customer_key),
            entry.xid,
            extra=entry.log_extra,
        )
    if entry.reason is not None:
        _say_parked(entry)
    signals.send(signals.conversion_recorded, app, entry=entry)
    if entry.due_at is not None:
        state.engine.nudge(entry.id)


def _say_parked(entry: Entry) -> None:
    until = f"not sent: {entry.reason}" if entry.due_at is None else _FOR_NOW
    log.warning("Entry %s is parked, %s.", entry.id, until, extra=entry.log_extra)


def _warn_of_email(state: State, customer_key: str) -> None:
    if looks_like_email(customer_key) and state.once.first("email as customer key"):
        log.warning(
            "A customer key is an e-mail address. People change theirs, and PartnerStack knows "
            "one conversion per key for ever: use your own stable ID instead."
        )
