"""Whatever happens to a ledger, in whatever order: nothing lost, doubled, stuck or miscounted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import rule
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import EntryClaimed
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import TRANSITIONS
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Entry
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from tests.kit import Clock

LEASE = timedelta(minutes=2)
UNCLEAR_WAIT = timedelta(minutes=30)

TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)
FOUND = Attempt(judged=Judgement.FOUND, reason="found by look-up", status=200)
UNCLEAR = Attempt(judged=Judgement.UNCLEAR, reason="stopped while sending")
REFUSED = Attempt(judged=Judgement.REFUSED, reason="HTTP 503", status=503)
REJECTED = Attempt(judged=Judgement.REJECTED, reason="HTTP 400", status=400)

KEYS = st.sampled_from(["ann", "bob"])
LEAPS = st.sampled_from([timedelta(seconds=s) for s in (0, 90, 90, 3600)])
EVENTS = st.sampled_from(
    ["claim"] * 6
    + ["go_on"] * 6
    + ["record", "requeue", "requeue_all", "pause", "set_back", "erase", "prune"]
)
FATES = st.sampled_from(
    ["linger", "send", "settle", "send", "linger", "postpone", "die", "bury", "park"]
)


@dataclass
class Held:
    """A claim in somebody's hands, and whether its conversion is on the way."""

    claim: Claim
    sending: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """The real ledger, beside what a bystander knows: what was recorded, and what was sent when."""

    def __init__(self) -> None:
        super().__init__()
        self.set_ups = 0
        self.clock = Clock()
        self.database = Database(make_url("sqlite://"), embedded=True)
        self.ledger = Ledger(self.database, lease=LEASE, clock=self.clock)
        self.held: list[Held] = []
        self.parked: set[str] = set()
        self.erased: set[str] = set()
        self.statuses: dict[str, Status] = {}
        self.sending_until: dict[str, datetime] = {}
        self.sender: dict[str, Held] = {}

    def teardown(self) -> None:
        self.database.close()

    @initialize()
    def begin(self) -> None:
        self.record("ann")

    # One rule for all: a rule of its own for each would be switched off in half of the runs.
    @rule(leap=LEAPS, event=EVENTS, key=KEYS, fate=FATES)
    def something_happens(self, leap: timedelta, event: str, key: str, fate: str) -> None:
        """After a while an engine delivers, the app goes on, or a person steps in."""
        self.clock.now += leap
        if event in ("claim", "go_on"):
            getattr(self, event)(fate)
        else:
            getattr(self, event)(key)

    # --- the app --------------------------------------------------------------------------------

    def record(self, key: str) -> None:
        """A signup: the first of its customer is new, any other returns the first.

        But for one that was skipped, or given up and forgotten.
        """
        said = Conversion.of(customer_key=key, xid="h8pb9E7TZK6YMO", email="jo@acme.com")
        recorded = self.ledger.record(said)
        status = self.statuses.get(key)
        anew = status is Status.SKIPPED or (status is Status.DEAD and key in self.erased)
        assert recorded.new is (anew or key not in self.statuses)
        self.statuses.setdefault(key, Status.PENDING)
        if anew:
            self.erased.discard(key)

    # --- those who deliver ----------------------------------------------------------------------

    def claim(self, fate: str) -> None:
        """Somebody takes what is due, as a dispatcher does: it looks first."""
        paused = self.ledger.outlook().pause is not None
        self.set_ups += 1
        mark = f"set-up {self.set_ups}"
        for claim in self.ledger.claim_probe(mark=mark) if paused else self.ledger.claim(2):
            assert claim.entry.status in (Status.PENDING, Status.DELIVERED)
            assert claim.entry.customer_key not in self.parked
            self._go_on(Held(claim), fate)

    def go_on(self, fate: str) -> None:
        """The one who has lingered for the longest time goes on, late perhaps."""
        if self.held:
            self._go_on(self.held.pop(0), fate)

    def _go_on(self, held: Held, fate: str) -> None:
        if fate == "linger":
            self.held.append(held)
        elif fate == "send":
            self._send(held)
        elif fate == "park" or held.sending or self._send(held, and_linger=False):
            self._leave(held, fate)

    def _send(self, held: Held, *, and_linger: bool = True) -> bool:
        """Send: when the ledger lets it, nobody else is sending that one. Say if one may leave."""
        key, before = held.claim.entry.customer_key, self.ledger.get(held.claim.entry.customer_key)
        looks_up = held.claim.interrupted or held.claim.entry.status is not Status.PENDING
        if not looks_up and not held.sending:
            if not self.ledger.count_attempt(held.claim):
                return False
            assert before.status is Status.PENDING
            assert self.sending_until.get(key, self.clock()) <= self.clock()
            self.sending_until[key] = self.clock() + LEASE
            self.sender[key] = held
            held.sending = True
        if and_linger:
            self.held.append(held)
        return True

    def _leave(self, held: Held, fate: str) -> None:
        """Write what came of it; or die, and write nothing."""
        if fate != "die":
            getattr(self, f"_{fate}")(held)
        if held.sending and self.ledger.get(held.claim.entry.customer_key).due_at is None:
            self.sending_until.pop(held.claim.entry.customer_key, None)

    def _settle(self, held: Held) -> None:
        if held.sending:
            wait = timedelta(minutes=15)
            self.ledger.settle(held.claim, Status.DELIVERED, TAKEN, look_up_in=wait)
            assert self.ledger.get(held.claim.entry.customer_key).status is not Status.PENDING
            self.parked.discard(held.claim.entry.customer_key)
            if self.sender.get(held.claim.entry.customer_key) is held:
                self.sending_until.pop(held.claim.entry.customer_key, None)
        elif held.claim.entry.status is Status.DELIVERED or held.claim.unclear:
            self.ledger.settle(held.claim, Status.VERIFIED, FOUND)

    def _postpone(self, held: Held) -> None:
        if held.claim.interrupted:
            reason, wait = UNCLEAR.reason, UNCLEAR_WAIT
            self.ledger.postpone(held.claim, wait, reason=reason, attempt=UNCLEAR, unclear=1)
        elif self.ledger.postpone(held.claim, LEASE, reason=REFUSED.reason, attempt=REFUSED):
            self.sending_until.pop(held.claim.entry.customer_key, None)

    def _bury(self, held: Held) -> None:
        entry = self.ledger.bury(held.claim, reason="rejected", attempt=REJECTED)
        assert entry is None or entry.due_at is None

    def _park(self, held: Held) -> None:
        fit = held.claim.entry.status is Status.PENDING and not held.sending
        if fit and self.ledger.park(held.claim, reason="testing") is not None:
            self.parked.add(held.claim.entry.customer_key)

    # --- everybody else -------------------------------------------------------------------------

    def requeue(self, key: str) -> None:
        """A person makes one due that is dead or parked; never one that was taken, or waits."""
        if key not in self.statuses or self._is_in_hand(key):
            return
        status = self.statuses[key]
        try:
            self.ledger.requeue(key)
        except IllegalTransition:
            waits = status is Status.PENDING and key not in self.parked
            assert status in (Status.DELIVERED, Status.VERIFIED) or waits or key in self.erased
        else:
            assert status is Status.DEAD or key in self.parked
            assert key not in self.erased
            self.parked.discard(key)

    def _is_in_hand(self, key: str) -> bool:
        lease_may_last = self.sending_until.get(key, self.clock()) > self.clock()
        return lease_may_last or any(held.claim.entry.customer_key == key for held in self.held)

    def requeue_all(self, _key: str) -> None:
        """A person makes all due that are dead or parked."""
        for status in (Status.DEAD, Status.PENDING):
            self.ledger.requeue_all(status=status)
        self.parked.clear()

    def erase(self, key: str) -> None:
        """A customer is to be forgotten; whoever has it under a lease is left to finish first."""
        if key not in self.statuses:
            return
        try:
            entry = self.ledger.erase(key)
        except EntryClaimed:
            return
        # Nobody whose lease lasts is sending it just now.
        assert self.sending_until.pop(key, self.clock()) <= self.clock()
        was = self.statuses[key]
        assert entry.status is (Status.SKIPPED if was is Status.PENDING else was)
        assert (entry.customer_key, entry.due_at) == ("", None)
        self.erased.add(key)
        self.parked.discard(key)

    def prune(self, _key: str) -> None:
        """What was settled an hour ago loses its personal data; nothing that waits does."""
        older_than = timedelta(hours=1)
        held = [e for e in self.ledger.entries() if e.due_at is not None or e.settled_at is None]
        before = [self.ledger.conversion_of(entry) for entry in held]
        assert self.ledger.prunable(older_than) == self.ledger.prune(older_than)
        assert self.ledger.prunable(older_than) == 0
        assert [self.ledger.conversion_of(entry) for entry in held] == before

    def pause(self, _key: str) -> None:
        """A pause that is on is ended, once; one that is not is begun."""
        was_on = self.ledger.outlook().pause is not None
        assert (self.ledger.end_pause() is not None) is was_on
        assert was_on or self.ledger.begin_pause(Cause.UNAVAILABLE, "for a while")

    def set_back(self, _key: str) -> None:
        """Leases and delays begin anew; a dispatcher that looks now and then sees it."""
        self.ledger.outlook()
        on_the_way = [key for key, until in self.sending_until.items() if until > self.clock()]
        self.clock.now -= timedelta(days=2)
        self.ledger.outlook()
        self.sending_until = dict.fromkeys(on_the_way, self.clock() + LEASE)

    # --- what is always so ----------------------------------------------------------------------

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every key that was ever recorded has its one entry, and the counts add up to them."""
        assert len(self._entries()) == len(self.ledger.entries())
        assert sum(self.ledger.counts().values()) == len(self.statuses)

    @invariant()
    def only_legal_steps_are_taken(self) -> None:
        """What was taken is never to be sent again, and verified is the end."""
        for entry in self._entries():
            before = self.statuses[entry.customer_key]
            assert entry.status is before or entry.status in TRANSITIONS[before]
            self.statuses[entry.customer_key] = entry.status

    @invariant()
    def nothing_is_stuck(self) -> None:
        """Whatever is pending and not parked is due within the longest delay there is."""
        for entry in self._entries():
            if entry.status is Status.PENDING and entry.customer_key not in self.parked:
                assert entry.due_at is not None
                assert entry.due_at - self.clock() <= UNCLEAR_WAIT + timedelta(minutes=1)

    @invariant()
    def what_was_erased_is_gone(self) -> None:
        """Nothing brings it back, and nobody is to be sent without a key."""
        for entry in self.ledger.entries():
            assert entry.status is not Status.PENDING or entry.customer_key
            assert "bob" not in self.ledger.conversion_of(entry).dumps() or entry.customer_key

    def _entries(self) -> list[Entry]:
        """Every entry, each under the key that it was recorded with."""
        found = [self.ledger.get(key) for key in self.statuses]
        assert {entry.id for entry in found} == {entry.id for entry in self.ledger.entries()}
        return [
            replace(entry, customer_key=key)
            for key, entry in zip(self.statuses, found, strict=True)
        ]


@pytest.mark.timeout(900)  # minutes on a slow machine
def test_no_sequence_of_events_breaks_the_ledger(size: Callable[[int, int], int]) -> None:
    """Record, claim, send, settle, postpone, bury, park, crash, requeue, pause, and mad clocks."""
    few = settings(max_examples=size(70, 400), stateful_step_count=30, deadline=None, database=None)
    run_state_machine_as_test(LedgerMachine, settings=few)
