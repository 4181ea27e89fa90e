"""Past-tense facts, each sent after it was committed. The sender is the app.

A receiver runs inside an app context, the request's own where there is one, in the process that
saw the fact, at most once. Whatever it raises is logged and goes no further.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from contextlib import nullcontext
from typing import Any
from typing import Final

from blinker import NamedSignal
from blinker import Namespace
from flask import Flask
from flask import current_app
from flask import has_app_context

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
    with _context_of(app):
        for receiver in signal.receivers_for(app):
            try:
                receiver(app, **facts)
            except Exception:  # somebody else's code, after our fact: nothing may depend on it
                log.exception("A receiver of %s raised.", signal.name)


def _context_of(app: Flask) -> AbstractContextManager[object]:
    """Return a context of ``app``, where its own is not the current one.

    The end of a second one would run the app's teardown functions in the middle of a request, and
    roll back what the view has not committed yet.
    """
    return nullcontext() if _is_current(app) else app.app_context()


def _is_current(app: Flask) -> bool:
    return has_app_context() and current_app._get_current_object() is app  # type: ignore[attr-defined]  # a proxy's
