"""``Dispatcher``: takes what is due from the ledger, and sees to it.

It never sleeps and knows no clock: when to come again is a column of the ledger, and who runs
it, and how many at once, is an engine's business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from ..errors import ConfigurationError
from ..errors import Judgement
from ..errors import NotSent
from ..ledger import Claim
from ..ledger import Entry
from ..ledger import Ledger
from ..ledger import Status
from ..settings import DEADLINE
from ..settings import Settings
from ..wire import Client
from .job import Job
from .judging import Judge
from .outcome import Outcome
from .outcome import Tell
from .paused import Paused
from .pruning import Pruner
from .sending import Sender
from .verifying import Verifier

#: Why an app that is switched off sends nothing.
OFF = "PARTNERSTACK_ENABLED is False"


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
        judge = self._judge = Judge(settings, ledger, on_outcome)
        self._verifier = Verifier(settings, ledger, client, judge)
        self._sender = Sender(
            settings, ledger, client, judge, self._verifier, deadline=deadline, blocked=blocked
        )
        self._paused = Paused(settings, ledger, judge, self._sender)
        self._pruner = Pruner(settings.retention, ledger)

    @property
    def in_the_foreground(self) -> bool:
        """Whether nothing may be done beside a request, because they share one connection."""
        return self._ledger.is_shared_connection

    @property
    def blocked_by(self) -> str | None:
        """Why nothing may be sent just now, as in an app with ``TESTING``, or ``ENABLED`` off."""
        return self._blocked() if self._settings.enabled else OFF

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be sent just now."""
        return self.blocked_by is not None

    def take(self, limit: int) -> list[Job]:
        """Claim up to ``limit`` entries; return a job for each, to be run by anybody.

        None with ``ENABLED`` off: what waits is left as it is until that is on again.

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
        if not self._settings.enabled:
            return None
        outlook = self._ledger.outlook()
        if outlook.due_in is None or not self._paused.is_on(outlook):
            return outlook.due_in
        return self._paused.next_due(outlook)

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
        self._judge.make_up()
        self._pruner.look(outlook.now)
        if not self._settings.enabled:
            return []
        if self._paused.end_needless(outlook):
            return self.take(1)
        if self._paused.is_on(outlook):
            return self._paused.take(outlook)
        claimed = claim() if outlook.due_in == 0.0 else []
        return [partial(self._sender.deal_with, claim) for claim in claimed]

    # --- by a person ----------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """What it speaks to PartnerStack with."""
        return self._client

    def verify_next(
        self,
        *,
        status: Status = Status.DELIVERED,
        after_id: int = 0,
        customer_key: str | None = None,
    ) -> tuple[Entry, Judgement] | None:
        """Look up the next delivered entry after that one, due or not; ``None``: there is none.

        :param status: ``PENDING`` instead, so that nothing is sent of whom PartnerStack has.
        :param customer_key: only this customer's.
        :raises ConfigurationError: there is no key pair to look up with.
        :raises NotSent: nothing may be sent just now, or PartnerStack asked us to wait.
        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        self._demand_pair()
        self._demand_leave()
        claimed = self._ledger.claim_next(status, after_id=after_id, customer_key=customer_key)
        for claim in claimed:
            judged = self._verifier.verify_by_hand(claim, within=self._deadline)
            return self._ledger.find(claim.entry.id), judged
        return None

    def _demand_pair(self) -> None:
        if not self._settings.verifies:
            raise ConfigurationError(
                "PARTNERSTACK_PUBLIC_KEY",
                "expected the key pair, with PARTNERSTACK_SECRET_KEY: a look-up needs both.",
            )
        if self.blocked_by is not None:
            raise NotSent(f"Nobody is looked up: {self.blocked_by}.")

    def _demand_leave(self) -> None:
        rest = self._ledger.look_ups_rest()
        if rest:
            raise NotSent(
                "Nobody is looked up just now: PartnerStack asked us to wait, for another "
                f"{rest.total_seconds():.0f} s."
            )
