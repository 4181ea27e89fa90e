"""Past-tense facts, each sent after it was committed. The sender is the app.

A receiver runs inside an app context, the request's own where there is one, in the process that
saw the fact, at most once. Whatever it raises, or the end of that context, is logged and goes no
further.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from blinker import NamedSignal
from blinker import Namespace
from flask import Flask

from ._state import context_of
from .hooks import is_unawaited

log: Final = logging.getLogger("flask_partnerstack")

_signals = Namespace()

#: A new click was noticed and is kept. ``referral=``
referral_captured: Final = _signals.signal("partnerstack-referral-captured")
#: A conversion is in the ledger. ``entry=``
conversion_recorded: Final = _signals.signal("partnerstack-conversion-recorded")
#: A conversion will not be sent. ``entry=`` and ``reason=``; the entry is ``None`` when not even
#: the ledger could take it.
conversion_skipped: Final = _signals.signal("partnerstack-conversion-skipped")
#: PartnerStack took a conversion. ``entry=``
conversion_delivered: Final = _signals.signal("partnerstack-conversion-delivered")
#: A conversion was looked up and found. ``entry=``
conversion_verified: Final = _signals.signal("partnerstack-conversion-verified")
#: A conversion will be tried again. ``entry=`` and ``due=``, an aware moment
conversion_postponed: Final = _signals.signal("partnerstack-conversion-postponed")
#: A conversion was given up. ``entry=`` and ``reason=``
conversion_buried: Final = _signals.signal("partnerstack-conversion-buried")
#: Nothing is delivered until a probe succeeds. ``reason=``
delivery_paused: Final = _signals.signal("partnerstack-delivery-paused")


def send(signal: NamedSignal, app: Flask, **facts: Any) -> None:
    """Tell every receiver; one that raises is logged, and the others are still told."""
    if not signal.receivers:
        return
    try:
        with context_of(app):
            _tell(signal, app, **facts)
    except Exception:  # one of the app's teardown functions, which may count on a request
        log.exception("The context in which %s was told of could not be left.", signal.name)


def _tell(signal: NamedSignal, app: Flask, **facts: Any) -> None:
    for receiver in signal.receivers_for(app):
        try:
            _told(signal, receiver(app, **facts))
        except Exception:  # somebody else's code, after our fact: nothing may depend on it
            log.exception("A receiver of %s raised.", signal.name)


def _told(signal: NamedSignal, answer: object) -> None:
    if is_unawaited(answer):
        log.error(
            "A receiver of %s is async, and was told nothing. Expected a plain function.",
            signal.name,
        )
