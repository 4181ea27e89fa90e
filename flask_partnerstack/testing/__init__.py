"""The developer's kit: try your own signup against a PartnerStack that is not there.

Its fixtures come with a pytest plugin, and need no more than your fixture ``app``::

    def test_a_referred_signup_is_reported(partnerstack_client, partnerstack_rehearsal):
        partnerstack_client.arrive("ann")
        partnerstack_client.post("/signup", data={"email": "jo@acme.com"})
        partnerstack_rehearsal.assert_converted(email="jo@acme.com", partner_key="ann")

Without pytest, :func:`rehearse` is the same as a context manager. Nothing is patched: a rehearsal
hands the app another transport, clock and ledger through the seams that the extension has.
"""

from __future__ import annotations

from .captured import Captured as Captured
from .captured import CapturedSignals as CapturedSignals
from .captured import capture_signals as capture_signals
from .client import ReferredClient as ReferredClient
from .client import arrive as arrive
from .clock import FrozenClock as FrozenClock
from .fake import FakePartnerStack as FakePartnerStack
from .rehearsal import Rehearsal as Rehearsal
from .rehearsal import StandIn as StandIn
from .rehearsal import rehearse as rehearse

__all__ = [
    "Captured",
    "CapturedSignals",
    "FakePartnerStack",
    "FrozenClock",
    "ReferredClient",
    "Rehearsal",
    "StandIn",
    "arrive",
    "capture_signals",
    "rehearse",
]
