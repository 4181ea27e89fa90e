"""``erase_customer``: a customer is forgotten, and the app is told what will not be sent."""

from __future__ import annotations

from . import signals
from ._state import get_state
from ._state import this_app
from .errors import EntryNotFound
from .errors import LedgerMoved
from .ledger import Entry
from .ledger import Ledger
from .ledger import Status


def erase_customer(customer_key: str) -> Entry:
    """Empty what the current app's ledger knows of a customer; return what is left of the entry.

    Where that keeps a conversion from being sent, ``conversion_skipped`` is sent.

    :raises EntryNotFound: there is none with that key.
    :raises EntryClaimed: somebody is dealing with it just now, and may be sending it.
    :raises LedgerMoved: it is to be erased in another ledger as well; here it is, all the same.
    """
    ledger = get_state().ledger
    before = _find(ledger, customer_key)
    try:
        after = ledger.erase(customer_key)
    except LedgerMoved:
        if before is not None:
            _tell(before, ledger.find(before.id))
        raise
    if before is not None:
        _tell(before, after)
    return after


def _find(ledger: Ledger, customer_key: str) -> Entry | None:
    try:
        return ledger.get(customer_key)
    except EntryNotFound:  # of which the erasing has more to say
        return None


def _tell(before: Entry, after: Entry) -> None:
    if before.status is Status.PENDING and after.status is Status.SKIPPED:
        signals.send(signals.conversion_skipped, this_app(), entry=after, reason=after.reason)
