"""What is said of a conversion that is not recorded, or not whole, because a signup must go on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from typing import Final
from uuid import UUID

from . import signals
from ._state import get_state
from ._state import this_app
from ._visit import current_visit
from .conversion import text_of_key
from .ledger import comes_again
from .masking import log_extra
from .masking import masked
from .referral import Referral
from .referral import valid_xid

log: Final = logging.getLogger("flask_partnerstack")

Customer = Mapping[str, Any]
"""``track_conversion``'s arguments, by name."""

_REPAIR = (
    "flask partnerstack track CUSTOMER_KEY --xid XID, or track_conversion(customer_key, xid=…)"
)


def say_not_recorded(customer: Customer, reason: str) -> None:
    """Say what became of a customer whom a partner referred, and whose signup failed."""
    key, xid = key_of(customer), click_of(customer)
    if xid is None or (customer and is_recorded(key)):
        return
    log.warning(
        "Nothing is recorded of customer %s, xid %s: %s. If they did sign up, record it with: %s. "
        "Where a handler or decorator answers for such a view, call track_conversion() in it.",
        masked(key),
        xid,
        reason,
        _REPAIR,
        extra=log_extra(key, xid),
    )


def is_recorded(key: str) -> bool:
    """Say whether the customer has an entry all the same, by ``track_conversion()`` for example.

    Not one that was skipped: to be recorded now would have had it reported, perhaps.
    """
    try:
        return not comes_again(get_state().ledger.get(key))
    except Exception:  # noqa: BLE001 - none, no ledger, what can be no key: the line is due
        return False


def regret(customer: Customer, error: Exception) -> None:
    """Log what is needed to record by hand what could not be recorded, and tell the app."""
    key, xid = key_of(customer), click_of(customer)
    log.error(
        "A conversion was NOT recorded: customer %s, xid %s: %s. Record it with: %s.",
        masked(key),
        xid,
        str(error).rstrip("."),
        _REPAIR,
        exc_info=error,
        extra=log_extra(key, xid),
    )
    signals.send(signals.conversion_skipped, this_app(), entry=None, reason=str(error))


def key_of(customer: Customer) -> str:
    """Return a customer's key as text, whatever was named as one. Never raises."""
    return key_text(customer.get("customer_key"))


def say_left_out(customer: Customer, complaint: str) -> None:
    """Say that a conversion is recorded without a field of it; of nobody's conversion, nothing."""
    key, xid = key_of(customer), click_of(customer)
    if xid is None:
        return
    log.error(
        "A field of a conversion is left out: customer %s, xid %s: %s",
        masked(key),
        xid,
        complaint,
        extra=log_extra(key, xid),
    )


def click_of(customer: Customer) -> str | None:
    """Return the click that a decorated view's customer came by: the one given, or the request's.

    For a log line; what cannot be a click is not shown.
    """
    if customer.get("xid") is not None:
        return valid_xid(customer["xid"])
    # An xid that is None says that the click is not this request's.
    not_said = None if "xid" in customer else current_visit().referral
    referral = customer.get("referral", not_said)
    return referral.xid if isinstance(referral, Referral) else None


def key_text(customer_key: object) -> str:
    """Return what a view named as customer key, for a log line, whatever it is. Never raises.

    Of what can be no key only the type's name: a model's own text may be of a person, and a dict
    may have a password in it.
    """
    kind = type(customer_key).__name__
    if customer_key is not None and not isinstance(customer_key, (str, int, UUID)):
        return f"<{kind}>"
    try:
        return text_of_key(customer_key)
    except Exception:  # somebody else's object
        log.exception("A customer key of the type %s has no text.", kind)
        return f"<{kind}>"
