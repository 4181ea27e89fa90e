"""``Sender``: one claimed entry, from the last look before it is sent to what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from ..backoff import UNCLEAR_FIRST
from ..conversion import Conversion
from ..errors import DeliveryError
from ..errors import Judgement
from ..ledger import INTERRUPTED
from ..ledger import UNREADABLE
from ..ledger import Attempt
from ..ledger import Claim
from ..ledger import Ledger
from ..ledger import Status
from ..settings import Settings
from ..wire import Client
from ..wire import Receipt
from .job import GoOn
from .job import never
from .judging import Judge
from .verifying import Verifier

log: Final = logging.getLogger("flask_partnerstack")

#: Entries that a job deals with after its first, at most, before the whole of the ledger is looked
#: at again: for a clock that was set back, and for what is to be pruned.
LONGEST_RUN = 100
#: Why an entry waits that is due.
MAY_BE_TAKEN = "sent a moment ago, and it may have been taken"
#: Seconds that telling of one entry may take before the lease of the next is renewed.
LONGEST_TELLING = 5.0


class Sender:
    """Sees to claimed entries: parks, looks up, or sends each, and has what came of it judged.

    :param deadline: the time for one entry's exchanges: a send, and the look-up before it.
    :param blocked: says why nothing may be sent just now, or ``None``; asked before each send.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        client: Client,
        judge: Judge,
        verifier: Verifier,
        *,
        deadline: timedelta,
        blocked: Callable[[], str | None],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._client = client
        self._judge = judge
        self._verifier = verifier
        self._deadline = deadline
        self._blocked = blocked
        #: Whether this process has sent nothing yet: its deploy may be the cure of a pause, which
        #: is then probed at once.
        self.is_fresh: bool = True

    def deal_with(self, claim: Claim, go_on: GoOn = never) -> None:
        """See to a claimed entry, and while ``go_on()`` says so, to what is to be sent after it.

        The end of one and the beginning of the next are one transaction: half of what they cost.
        """
        steps = iter(range(LONGEST_RUN))
        following = claim if self._begin(claim) else None
        while following is not None:
            following = self._attempt(following, lambda: next(steps, None) is not None and go_on())

    def look_up(self, claim: Claim, _go_on: GoOn = never) -> None:
        """See to a claimed entry that is to be looked up; if nobody is found, it waits."""
        self._begin(claim)  # nothing is sent after one look that finds nobody

    def probe(self, claim: Claim, _go_on: GoOn = never) -> None:
        """Send a claimed entry to see whether delivery works again; if so, the pause ends."""
        receipt = self._send(claim) if self._begin(claim) else None
        if receipt is not None:
            self._judge.proved(claim, receipt)

    def _begin(self, claim: Claim) -> bool:
        """See to a claimed entry; say whether its attempt is counted, and it is to be sent now."""
        blocked = self._blocked()
        if blocked is not None:
            self._set_aside(claim, blocked)
        elif claim.entry.status is Status.DELIVERED:
            self._verifier.verify(claim, within=self._deadline)
        elif claim.interrupted:
            attempt = Attempt(judged=Judgement.UNCLEAR, reason=INTERRUPTED)
            self._judge.unclear(claim, attempt)
        elif self._may_be_sent(claim):
            return self._ledger.count_attempt(claim)
        return False

    def _set_aside(self, claim: Claim, reason: str) -> None:
        entry = claim.entry
        if entry.status is Status.DELIVERED:  # another process may look it up
            self._ledger.postpone(claim, self._settings.verify_after, reason=reason)
            return
        self._ledger.park(claim, reason=reason)
        log.warning("Entry %s is parked, not sent: %s.", entry.id, reason, extra=entry.log_extra)

    def _may_be_sent(self, claim: Claim) -> bool:
        if claim.unclear == 0:
            return True
        if self._settings.verifies:
            return self._verifier.may_send_again(claim, within=self._time_for(claim))
        return self._has_waited(claim)

    def _time_for(self, claim: Claim) -> timedelta:
        """Return the time for one exchange: where a look-up goes before the send, each has half.

        Who delivers in a request has no more than the deadline for both.
        """
        is_looked_up = claim.unclear > 0 and self._settings.verifies
        return self._deadline / 2 if is_looked_up else self._deadline

    def _has_waited(self, claim: Claim) -> bool:
        """Say whether one that may have been taken has waited long enough; if not, let it wait.

        It may be due too early when a person requeued it, or it was erased and came again.
        """
        rest = UNCLEAR_FIRST - self._ledger.silence(claim)
        if claim.attempted_at is None or rest <= timedelta(0):
            return True
        self._ledger.postpone(claim, min(rest, UNCLEAR_FIRST), reason=MAY_BE_TAKEN)
        return False

    def _attempt(self, claim: Claim, go_on: GoOn) -> Claim | None:
        """Send what is counted as sent; return the next, counted as well."""
        receipt = self._send(claim)
        if receipt is None:
            return None
        settled = time.monotonic()
        following = self._judge.accepted(claim, receipt, go_on=go_on() and self._blocked() is None)
        is_late = time.monotonic() - settled > LONGEST_TELLING
        is_ours = following is not None and (not is_late or self._ledger.renew(following))
        return following if is_ours else None

    def _send(self, claim: Claim) -> Receipt | None:
        """Send what is counted as sent; ``None``: it was not taken, and that is written down."""
        self.is_fresh = False
        conversion = self._conversion_of(claim)
        if conversion is None:
            return None
        try:
            return self._client.deliver(conversion, within=self._time_for(claim))
        except DeliveryError as e:
            self._judge.failed(claim, e)
            return None

    def _conversion_of(self, claim: Claim) -> Conversion | None:
        try:
            return claim.conversion
        except ValueError as e:
            attempt = Attempt(judged=Judgement.REJECTED, reason=f"{UNREADABLE}{e}")
            self._judge.bury(claim, attempt, note="damaged")
            return None
