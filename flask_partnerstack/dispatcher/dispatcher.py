"""``Dispatcher``: takes what is due from the ledger, and sees to it.

It never sleeps and knows no clock: when to come again is a column of the ledger, and who runs
it, and how many at once, is an engine's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from functools import partial
from typing import Final
from typing import Protocol

from ..backoff import CEILING
from ..backoff import UNCLEAR_FIRST
from ..conversion import Conversion
from ..errors import ConfigurationError
from ..errors import DeliveryError
from ..errors import Judgement
from ..errors import NotSent
from ..ledger import INTERRUPTED
from ..ledger import Attempt
from ..ledger import Cause
from ..ledger import Claim
from ..ledger import Entry
from ..ledger import Ledger
from ..ledger import Outlook
from ..ledger import Pause
from ..ledger import Status
from ..settings import DEADLINE
from ..settings import Settings
from ..wire import Client
from ..wire import Receipt
from .judging import Judge
from .mark import mark_of
from .outcome import Outcome
from .outcome import Tell
from .pruning import Pruner
from .verifying import Verifier

log: Final = logging.getLogger("flask_partnerstack")

#: Entries that a job deals with at most before the whole of the ledger is looked at again: for a
#: clock that was set back, and for what is to be pruned.
LONGEST_RUN = 100
#: Why an entry waits that is due.
MAY_BE_TAKEN = "sent a moment ago, and it may have been taken"
#: Seconds that telling of one entry may take before the lease of the next is renewed.
LONGEST_TELLING = 5.0
#: What a process that has a token and sees no move ends.
_ENDED_BY_ITSELF = (Cause.NO_TOKEN, Cause.MOVING)
#: Another process has a token for as long after it sent: twice the longest wait of our own.
HAS_TOKEN_FOR = 2 * CEILING

GoOn = Callable[[], bool]
"""Says whether to go on with another entry."""


def never() -> bool:
    """Do not go on: one entry, and no more."""
    return False


class Job(Protocol):
    """Deals with one entry that is claimed and, while ``go_on()`` says so, with those after it."""

    def __call__(self, go_on: GoOn = ..., /) -> object:
        """Deal with it. Does not raise for anything that PartnerStack does."""


def _tell_nobody(_outcome: Outcome) -> None:
    pass


class Dispatcher:
    """Takes what is due, sends it, looks it up, and writes what came of it.

    :param deadline: the time for each exchange.
    :param blocked: says why nothing may be sent just now, or ``None``; asked before each send.
    :param on_outcome: told of each fate, after it is committed. It must not raise.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        client: Client,
        *,
        deadline: timedelta = DEADLINE,
        blocked: Callable[[], str | None] = lambda: None,
        on_outcome: Tell = _tell_nobody,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._client = client
        self._deadline = deadline
        self._blocked = blocked
        self._judge = Judge(settings, ledger, on_outcome)
        self._verifier = Verifier(settings, ledger, client, self._judge)
        self._pruner = Pruner(settings.retention, ledger)
        # Until it sends, its deploy may be the cure of a pause, which is then probed at once.
        self._is_fresh = True
        self._said_moved = False

    @property
    def in_the_foreground(self) -> bool:
        """Whether nothing may be done beside a request, because they share one connection."""
        return self._ledger.is_shared_connection

    @property
    def blocked_by(self) -> str | None:
        """Why nothing may be sent just now, as in an app with ``TESTING``."""
        return self._blocked()

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be sent just now."""
        return self._blocked() is not None

    def take(self, limit: int) -> list[Job]:
        """Claim up to ``limit`` entries; return a job for each, to be run by anybody.

        While delivery is paused that is one entry now and then, to see whether it works again.

        Look-ups go on meanwhile: they are asked of another host, with other credentials.

        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        return self._take(partial(self._ledger.claim, limit))

    def deliver(self, entry_id: int) -> bool:
        """Deal with this entry, when it is due and in nobody's hands; say whether it was.

        While delivery is paused that may be another one: the next to see whether it works again.

        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        jobs = self._take(partial(self._ledger.claim_one, entry_id))
        for job in jobs:
            job()
        return bool(jobs)

    def next_due(self) -> float | None:
        """Return the seconds until there is something to do: 0 for now, ``None`` for never.

        :raises LedgerUnavailable: the ledger cannot be read.
        """
        outlook = self._ledger.outlook()
        is_off = outlook.pause is not None or self._settings.token is None
        if outlook.due_in is None or not is_off:
            return outlook.due_in
        waits = (self._next_probe(outlook), self._next_look_up(outlook))
        return min((wait for wait in waits if wait is not None), default=None)

    def run_pass(self) -> int:
        """Deal with what is due, one by one, until nothing is; return how many.

        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        done = 0
        while jobs := self.take(1):
            jobs[0]()
            done += 1
        return done

    def _take(self, claim: Callable[[], list[Claim]]) -> list[Job]:
        outlook = self._ledger.outlook()
        self._pruner.look(outlook.now)
        if self._settings.token is None:
            self._note_no_token(outlook)
        if outlook.pause is not None or self._settings.token is None:
            return self._take_in_pause(outlook.pause, outlook.now)
        claimed = claim() if outlook.due_in == 0.0 else []
        return [partial(self._deal_with, claim) for claim in claimed]

    # --- by a person ----------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """What it speaks to PartnerStack with."""
        return self._client

    def verify_next(
        self, *, after_id: int = 0, customer_key: str | None = None
    ) -> tuple[Entry, Judgement] | None:
        """Look up the next delivered entry after that one, due or not; ``None``: there is none.

        :param customer_key: only this customer's.
        :raises ConfigurationError: there is no key pair to look up with.
        :raises NotSent: nothing may be sent just now.
        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        self._demand_pair()
        claimed = self._ledger.claim_delivered(after_id=after_id, customer_key=customer_key)
        for claim in claimed:
            judged = self._verifier.verify_by_hand(claim, within=self._deadline)
            return self._ledger.find(claim.entry.id), judged
        return None

    def _demand_pair(self) -> None:
        if not self._settings.verifies:
            raise ConfigurationError(
                "PARTNERSTACK_PUBLIC_KEY",
                "expected the key pair, PUBLIC_KEY and SECRET_KEY; nobody is looked up without.",
            )
        blocked = self._blocked()
        if blocked is not None:
            raise NotSent(f"Nobody is looked up: {blocked}.")

    # --- pauses ---------------------------------------------------------------------------------

    def _note_no_token(self, outlook: Outlook) -> None:
        # Nobody grows older while nothing can be sent, so it counts as a pause.
        if outlook.pause is not None or outlook.due_in is None:
            return
        if not self._ledger.was_sent_within(HAS_TOKEN_FOR):
            self._ledger.begin_pause(Cause.NO_TOKEN, "PARTNERSTACK_TOKEN is not set")

    def _take_in_pause(self, pause: Pause | None, now: datetime) -> list[Job]:
        if pause is not None and pause.is_held(now):
            self._say_moved(pause)
            return []
        has_token = self._settings.token is not None
        if pause is not None and pause.cause in _ENDED_BY_ITSELF and has_token:
            self._judge.resumed(self._ledger.end_pause())
            return self.take(1)
        # What may have been taken first, which is little: whether the next is sent hangs on it.
        found = self._take_look_up(Status.PENDING) or (self._take_probe() if has_token else [])
        return found or self._take_look_up(Status.DELIVERED)

    def _take_look_up(self, status: Status) -> list[Job]:
        # Looked for before it is claimed: to write, SQLite would keep signups waiting meanwhile.
        if not self._settings.verifies or self._ledger.next_look_up() != 0.0:
            return []
        return [partial(self._look_up, claim) for claim in self._ledger.claim_look_up(status)]

    def _take_probe(self) -> list[Job]:
        mark = mark_of(self._settings) if self._is_fresh else None
        # With keys nothing is spared: whatever may have been taken is looked up.
        sparing = not self._settings.verifies
        claimed = self._ledger.claim_probe(mark=mark, sparing=sparing)
        return [partial(self._probe, claim) for claim in claimed]

    def _next_probe(self, outlook: Outlook) -> float | None:
        pause = outlook.pause
        if pause is None or pause.cause is Cause.MOVED or self._settings.token is None:
            return None
        return max((pause.probe_at - outlook.now).total_seconds(), 0.0)

    def _next_look_up(self, outlook: Outlook) -> float | None:
        is_held = outlook.pause is not None and outlook.pause.is_held(outlook.now)
        return None if is_held or not self._settings.verifies else self._ledger.next_look_up()

    def _say_moved(self, pause: Pause) -> None:
        if pause.cause is Cause.MOVED and not self._said_moved:
            self._said_moved = True
            log.error(
                "This process delivers nothing from %s: %s.", self._ledger.location, pause.reason
            )

    def _look_up(self, claim: Claim, _go_on: GoOn = never) -> None:
        self._begin(claim)  # nothing is sent after one look that finds nobody

    def _probe(self, claim: Claim, _go_on: GoOn = never) -> None:
        receipt = self._send(claim) if self._begin(claim) else None
        if receipt is not None:
            self._judge.proved(claim, receipt)

    # --- one entry ------------------------------------------------------------------------------

    def _deal_with(self, claim: Claim, go_on: GoOn = never) -> None:
        """See to a claimed entry, and while ``go_on()`` says so, to what is to be sent after it.

        The end of one and the beginning of the next are one transaction: half of what they cost.
        """
        steps = iter(range(LONGEST_RUN))
        following = claim if self._begin(claim) else None
        while following is not None:
            following = self._attempt(following, lambda: next(steps, None) is not None and go_on())

    def _begin(self, claim: Claim) -> bool:
        """See to a claimed entry; say whether its attempt is counted, and it is to be sent now."""
        blocked = self._blocked()
        if blocked is not None:
            self._park(claim, blocked)
        elif claim.entry.status is Status.DELIVERED:
            self._verifier.verify(claim, within=self._deadline)
        elif claim.interrupted:
            attempt = Attempt(judged=Judgement.UNCLEAR, reason=INTERRUPTED)
            self._judge.unclear(claim, attempt)
        elif self._may_be_sent(claim):
            return self._ledger.count_attempt(claim)
        return False

    def _park(self, claim: Claim, reason: str) -> None:
        self._ledger.park(claim, reason=reason)
        entry = claim.entry
        log.warning("Entry %s is parked, not sent: %s.", entry.id, reason, extra=entry.log_extra)

    def _may_be_sent(self, claim: Claim) -> bool:
        if claim.unclear == 0:
            return True
        if self._settings.verifies:
            return self._verifier.may_send_again(claim, within=self._deadline)
        return self._has_waited(claim)

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
        following = self._judge.accepted(claim, receipt, go_on=go_on() and not self.is_blocked)
        is_late = time.monotonic() - settled > LONGEST_TELLING
        is_ours = following is not None and (not is_late or self._ledger.renew(following))
        return following if is_ours else None

    def _send(self, claim: Claim) -> Receipt | None:
        """Send what is counted as sent; ``None``: it was not taken, and that is written down."""
        self._is_fresh = False
        conversion = self._conversion_of(claim)
        if conversion is None:
            return None
        try:
            return self._client.deliver(conversion, within=self._deadline)
        except DeliveryError as e:
            self._judge.failed(claim, e)
            return None

    def _conversion_of(self, claim: Claim) -> Conversion | None:
        try:
            return claim.conversion
        except ValueError as e:
            attempt = Attempt(judged=Judgement.REJECTED, reason=f"unreadable: {e}")
            self._judge.bury(claim, attempt, note="damaged")
            return None
