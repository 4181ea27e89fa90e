"""Is a customer's conversion verified? For programmes that pay on a later action or transaction.

PartnerStack credits an action or a transaction to a partner by the customer, so that one which is
reported before the customer is there is credited to nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Iterable
from typing import Final

from flask import Flask

from ._state import get_state
from .conversion import CustomerKey
from .conversion import check_customer_key
from .errors import EntryNotFound
from .ledger import Entry
from .ledger import Status

log: Final = logging.getLogger("flask_partnerstack")

WhenVerified = Callable[[Entry], object]


def is_verified(customer_key: CustomerKey) -> bool:
    """Say whether PartnerStack has been seen to have this customer, and not as a test.

    ``False`` for a customer of whom nothing was recorded, who was not looked up yet, or who was
    erased. It reads the ledger, and asks nobody else.

    :raises InvalidConversion: a key that no customer can have.
    :raises LedgerUnavailable: the ledger cannot be read.
    """
    state, key = get_state(), check_customer_key(customer_key)
    if not state.settings.verifies and state.once.first("is_verified without a key pair"):
        log.warning(
            "is_verified() was asked, but nobody is looked up: set PARTNERSTACK_PUBLIC_KEY and "
            "PARTNERSTACK_SECRET_KEY."
        )
    try:
        entry = state.ledger.get(key)
    except EntryNotFound:
        return False
    return entry.status is Status.VERIFIED and not entry.test


def tell_verified(hooks: Iterable[WhenVerified], _app: Flask, *, entry: Entry) -> None:
    """Tell each hook of a customer that pays, whatever the others do."""
    if entry.test:
        return
    for hook in hooks:
        try:
            hook(entry)
        except Exception:  # the next one is somebody else's
            log.exception(
                "A hook of when_verified raised for entry %s.", entry.id, extra=entry.log_extra
            )
