"""Is a customer's conversion verified? For programmes that pay on a later action or transaction.

PartnerStack credits an action or a transaction to a partner by the customer, so that one which is
reported before the customer is there is credited to nobody.
"""

from __future__ import annotations

import logging
from typing import Final

from flask import Flask

from ._state import get_state
from .conversion import CustomerKey
from .conversion import check_customer_key
from .errors import EntryNotFound
from .hooks import Hooks
from .ledger import ERASED
from .ledger import Entry
from .ledger import Status

log: Final = logging.getLogger("flask_partnerstack")


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
    is_known = entry.status is Status.VERIFIED and entry.reason != ERASED
    return is_known and not entry.test


def tell_verified(hooks: Hooks, _app: Flask, *, entry: Entry) -> None:
    """Tell the hooks of a customer that pays."""
    if not entry.test:
        hooks.tell_verified(entry)
