"""Leases: who may settle, and what becomes of an entry whose claimer was stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import TRANSITIONS
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger.entry import check_transition
from tests.kit import Clock

Make = Callable[..., Conversion]
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)


def test_a_lease_that_ran_out_frees_the_entry(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """An entry whose claimer was killed before it sent is claimed by the next one, as it was."""
    ledger.record(conversion())
    ledger.claim(1)
    clock.tick(minutes=2)
    (again,) = ledger.claim(1)
    assert not again.interrupted


def test_a_claimer_killed_while_sending_is_known(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """When an attempt was counted and never settled, the next claimer knows of it."""
    ledger.record(conversion())
    (claim,) = ledger.claim(1)
    ledger.count_attempt(claim)
    clock.tick(minutes=2)
    (again,) = ledger.claim(1)
    assert again.interrupted


def test_counting_renews_the_lease(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """A claim that waited nearly as long as its lease is ours for a whole lease more."""
    ledger.record(conversion())
    (claim,) = ledger.claim(1)
    clock.tick(seconds=119)
    assert ledger.count_attempt(claim)
    clock.tick(seconds=119)
    assert ledger.claim(1) == []


def test_nothing_is_sent_under_a_lost_lease(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """Whoever comes back after its lease may not even count an attempt."""
    ledger.record(conversion("acme"))
    (late,) = ledger.claim(1)
    clock.tick(minutes=2)
    ledger.claim(1)
    assert not ledger.count_attempt(late)
    assert ledger.get("acme").attempts == 0


def test_a_lost_lease_postpones_and_buries_nothing(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """Whoever comes back after its lease changes nothing of an entry that is somebody else's."""
    ledger.record(conversion("acme"))
    (late,) = ledger.claim(1)
    clock.tick(minutes=2)
    (owner,) = ledger.claim(1)
    assert ledger.postpone(late, timedelta(days=1), reason="late") is None
    assert ledger.bury(late, reason="late") is None
    assert ledger.count_attempt(owner)


def test_what_was_taken_is_written_even_under_a_lost_lease(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """A late answer that PartnerStack took it keeps everybody else from sending it again."""
    ledger.record(conversion("acme"))
    (late,) = ledger.claim(1)
    ledger.count_attempt(late)
    clock.tick(minutes=2)
    (owner,) = ledger.claim(1)
    assert ledger.settle(late, Status.DELIVERED, TAKEN) is not None
    assert not ledger.count_attempt(owner)
    assert ledger.get("acme").status is Status.DELIVERED


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_only_steps_of_the_table_are_taken(before: Status, after: Status) -> None:
    """An entry goes where the table says, or stays; any other step is refused by name."""
    if after is before or after in TRANSITIONS[before]:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"{before} cannot become {after}"):
            check_transition(before, after)


def test_nothing_follows_verified_and_only_people_revive() -> None:
    """Verified is the end, and only dead and skipped entries can become pending."""
    assert TRANSITIONS[Status.VERIFIED] == frozenset()
    revived = {status for status, after in TRANSITIONS.items() if Status.PENDING in after}
    assert revived == {Status.DEAD, Status.SKIPPED}
