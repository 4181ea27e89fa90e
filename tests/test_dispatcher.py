"""The life of an entry, told with a clock that stands still and a scripted PartnerStack."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import make_url
from sqlalchemy import text

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.dispatcher import Outcome
from flask_partnerstack.dispatcher.judging import MOST_UNCLEAR
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.errors import NotSent
from flask_partnerstack.errors import Unclear
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Entry
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger import claims
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import Response
from tests.kit import Clock
from tests.kit import ScriptedTransport

LEASE = timedelta(minutes=2)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    yield Ledger(database, lease=LEASE, clock=clock)
    database.close()


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


@pytest.fixture
def make(
    ledger: Ledger, transport: ScriptedTransport, outcomes: list[Outcome]
) -> Callable[..., Dispatcher]:
    def make(blocked: str | None = None, **settings: object) -> Dispatcher:
        read = Settings(**{"token": "t0ken", **settings})  # type: ignore[arg-type]  # a test's
        return Dispatcher(
            read,
            ledger,
            Client(read, transport),
            blocked=lambda: blocked,
            on_outcome=outcomes.append,
        )

    return make


@pytest.fixture
def dispatcher(make: Callable[..., Dispatcher]) -> Dispatcher:
    return make()


@pytest.fixture
def acme(ledger: Ledger) -> Entry:
    return ledger.record(Conversion.of(customer_key="acme", xid="h8pb9E7TZK6YMO")).entry


def judged(ledger: Ledger) -> list[Judgement]:
    return [attempt.judged for attempt in ledger.trail(ledger.get("acme"))]


def test_what_is_due_is_delivered_once(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """A pass sends what is due; the next pass has nothing to do."""
    assert dispatcher.run_pass() == 1
    assert dispatcher.run_pass() == 0
    assert transport.conversions == [{"xid": "h8pb9E7TZK6YMO", "customer_key": "acme"}]
    assert ledger.get("acme").status is Status.DELIVERED
    assert judged(ledger) == [Judgement.ACCEPTED]


def test_nothing_due_costs_no_claim(dispatcher: Dispatcher, acme: Entry, clock: Clock) -> None:
    """An entry that is due tomorrow is left alone, and said to be due then."""
    dispatcher.run_pass()
    assert dispatcher.next_due() is None
    assert list(dispatcher.take(4)) == []


def test_a_refusal_is_tried_again_later(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """Turned away for now: postponed, and delivered when the time has come."""
    transport.answers = [Response(429, {"Retry-After": "60"})]
    dispatcher.run_pass()
    assert ledger.get("acme").status is Status.PENDING
    assert 60.0 <= (dispatcher.next_due() or 0) <= 62.0
    clock.tick(seconds=62)
    dispatcher.run_pass()
    assert ledger.get("acme").attempts == 2
    assert judged(ledger) == [Judgement.REFUSED, Judgement.ACCEPTED]


def test_no_connection_is_tried_again(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """When nothing left this machine, it is simply tried again, within two seconds at first."""
    transport.answers = [NotSent("could not connect")]
    dispatcher.take(1)[0]()
    assert judged(ledger) == [Judgement.NOT_SENT]
    assert ledger.get("acme").reason == "could not connect"
    assert (dispatcher.next_due() or 0) <= 2.0


# --- taken, and the ledger cannot be written ------------------------------------------------------


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Return what keeps the ends of claims from being written, as a lock in other hands does."""

    @contextmanager
    def locked() -> Iterator[None]:
        def fail(*_given: object) -> None:
            raise LedgerUnavailable("sqlite:///", "database is locked")

        with monkeypatch.context() as lock:
            lock.setattr(claims, "leave", fail)
            yield

    return locked


Lock = Callable[[], AbstractContextManager[None]]


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_taken_is_written_down_when_it_can_be(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    outcomes: list[Outcome],
    locked: Lock,
    goes_on: bool,
) -> None:
    """PartnerStack's 200 outlives a ledger that is locked, and is not asked for once more."""
    (job,) = dispatcher.take(1)
    with locked(), pytest.raises(LedgerUnavailable):
        job(lambda: goes_on)
    with locked():
        assert dispatcher.take(1) == []  # not yet
    assert dispatcher.take(1) == []
    assert ledger.get("acme").status is Status.DELIVERED
    assert judged(ledger) == [Judgement.ACCEPTED]
    assert [outcome.fate for outcome in outcomes] == ["delivered"]
    assert len(transport.requests) == 1


def test_another_process_that_finds_it_in_doubt_sends_it_not(
    make: Callable[..., Dispatcher],
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
    locked: Lock,
) -> None:
    """Its lease ran out meanwhile; whoever knows better says so within the half hour."""
    ours, theirs = make(), make()
    with locked(), pytest.raises(LedgerUnavailable):
        ours.run_pass()
    clock.tick(minutes=3)
    theirs.run_pass()
    assert judged(ledger) == [Judgement.UNCLEAR]
    ours.run_pass()
    clock.tick(hours=1)
    theirs.run_pass()
    assert ledger.get("acme").status is Status.DELIVERED
    assert len(transport.requests) == 1


def test_a_ledger_that_cannot_be_written_is_waited_for_once(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is to be made up for: whoever looks may be a request."""
    ledger.record(Conversion.of(customer_key="globex", xid="h8pb9E7TZK6YMO"))
    jobs = dispatcher.take(2)
    with monkeypatch.context() as lock:
        leave = Mock(side_effect=LedgerUnavailable("sqlite:///", "database is locked"))
        lock.setattr(claims, "leave", leave)
        for job in jobs:
            with pytest.raises(LedgerUnavailable):
                job()
        leave.reset_mock()
        dispatcher.take(1)
        assert leave.call_count == 1
    dispatcher.take(1)
    assert ledger.counts()[Status.DELIVERED] == 2


def test_what_was_taken_is_told_by_the_process_that_sent_it(
    dispatcher: Dispatcher, acme: Entry, outcomes: list[Outcome], locked: Lock
) -> None:
    """A child that is forked meanwhile knows of it as well, and leaves it to its parent."""
    with locked(), pytest.raises(LedgerUnavailable):
        dispatcher.run_pass()
    child = os.fork()
    if child == 0:
        try:
            dispatcher.run_pass()
        finally:
            os._exit(len(outcomes))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    dispatcher.run_pass()
    assert [outcome.fate for outcome in outcomes] == ["delivered"]


def test_what_was_taken_is_written_of_no_other_customer(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport, locked: Lock
) -> None:
    """A ledger that had to be begun anew has another one by that number, who is sent."""
    with locked(), pytest.raises(LedgerUnavailable):
        dispatcher.run_pass()
    begun_anew(ledger)
    ledger.record(Conversion.of(customer_key="globex", xid="h8pb9E7TZK6YMO"))
    dispatcher.run_pass()
    assert [sent["customer_key"] for sent in transport.conversions] == ["acme", "globex"]
    assert ledger.get("globex").attempts == 1
    assert len(ledger.trail(ledger.get("globex"))) == 1


def test_what_was_taken_and_is_nowhere_is_said_once(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    locked: Lock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A ledger without the entry is not asked to have it delivered for ever."""
    with locked(), pytest.raises(LedgerUnavailable):
        dispatcher.run_pass()
    begun_anew(ledger)
    dispatcher.run_pass()
    dispatcher.run_pass()
    (said,) = caplog.messages
    assert said.startswith(f"Entry {acme.id} was taken")
    assert said.endswith("it is settled by now, or not there.")


def begun_anew(ledger: Ledger) -> None:
    with ledger.storage.write() as conn:
        conn.execute(text("DELETE FROM partnerstack_attempt"))
        conn.execute(text("DELETE FROM partnerstack_entry"))


def test_what_was_written_is_not_written_twice(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    outcomes: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that breaks behind the commit loses the word of it, and no more."""
    leave = ledger.leave

    def leave_unheard(claim: Claim, verdict: Verdict) -> None:
        leave(claim, verdict)
        raise LedgerUnavailable("postgresql://", "server closed the connection")

    monkeypatch.setattr(ledger, "leave", leave_unheard)
    assert dispatcher.run_pass() == 1
    assert judged(ledger) == [Judgement.ACCEPTED]
    assert [outcome.fate for outcome in outcomes] == ["delivered"]


def test_a_connection_that_breaks_leaves_nothing_in_doubt(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken is written over the next one, also by a process that ends then."""
    leave = claims.leave

    def leave_the_second_time(*given: Any) -> Any:
        monkeypatch.setattr(claims, "leave", leave)
        raise LedgerUnavailable("postgresql://", "server closed the connection")

    monkeypatch.setattr(claims, "leave", leave_the_second_time)
    assert dispatcher.run_pass() == 1
    assert ledger.get("acme").status is Status.DELIVERED


def test_an_unclear_answer_waits_half_an_hour(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """It may have been taken: nothing is sent again before 30 minutes."""
    transport.answers = [Response(500)]
    dispatcher.run_pass()
    assert judged(ledger) == [Judgement.UNCLEAR]
    assert dispatcher.next_due() == 30 * 60.0


def test_what_was_erased_and_came_again_is_not_sent_again_at_once(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """It may have been taken before it was erased, and keeps its half hour."""
    transport.answers = [Unclear("no answer in time")]
    dispatcher.run_pass()
    clock.tick(minutes=1)
    ledger.erase("acme")
    ledger.record(Conversion.of(customer_key="acme", xid="h8pb9E7TZK6YMO"))
    assert dispatcher.run_pass() == 1
    assert (len(transport.requests), dispatcher.next_due()) == (1, 29 * 60.0)
    clock.tick(minutes=29)
    dispatcher.run_pass()
    assert len(transport.requests) == 2


def test_a_requeue_sends_nothing_that_may_just_have_been_taken(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """Given up at its fifth unclear answer and requeued at once: it waits for half an hour."""
    transport.answers = [Unclear("no answer in time")] * 5
    for hours in (0, 1, 2, 4, 8):
        clock.tick(hours=hours)
        dispatcher.run_pass()
    assert ledger.get("acme").status is Status.DEAD
    ledger.requeue("acme")
    dispatcher.run_pass()
    assert (len(transport.requests), dispatcher.next_due()) == (5, 30 * 60.0)


def test_unclear_answers_end_after_five(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """Without a look-up, five unclear answers bury an entry; the waits between them double."""
    transport.answers = [Unclear("hung up") for _ in range(10)]
    waits = []
    while dispatcher.run_pass():
        waits.append(dispatcher.next_due())
        clock.tick(days=1)
    assert waits == [1800.0, 3600.0, 7200.0, 14400.0, None]
    assert len(waits) == MOST_UNCLEAR
    assert ledger.get("acme").status is Status.DEAD


def test_a_rejected_conversion_is_buried_with_its_answer(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 400 that stays one is for a person: dead, the answer kept, an ERROR line that says who."""
    transport.answers = [Response(400, body=b'{"message": "xid is unknown"}')] * 3
    for _ in range(3):
        dispatcher.run_pass()
        clock.tick(seconds=10)
    entry = ledger.get("acme")
    assert entry.status is Status.DEAD
    assert "xid is unknown" in ledger.trail(entry)[0].answer
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "acme" in record.getMessage()
    assert "h8pb9E7TZK6YMO" in record.getMessage()


def test_a_rejection_among_successes_is_buried_at_once(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """When another was taken just before, address and token are right: it is the entry's fault."""
    ledger.record(Conversion.of(customer_key="bad", xid="h8pb9E7TZK6YMO"))
    transport.answers = [Response(200), Response(400)]
    dispatcher.run_pass()
    assert ledger.get("bad").status is Status.DEAD


def test_a_denied_credential_buries_nothing(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 401 says nothing of the conversion: it stays, and the log has the hint."""
    transport.answers = [Response(401)]
    dispatcher.take(1)[0]()
    assert ledger.get("acme").status is Status.PENDING
    assert "not the pk_/sk_ pair" in caplog.text


def test_an_entry_is_given_up_after_its_time(
    make: Callable[..., Dispatcher],
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """What is refused for longer than GIVE_UP_AFTER, counted from the first attempt, is dead."""
    dispatcher = make(give_up_after=timedelta(days=2))
    transport.answers = [Response(429) for _ in range(3)]
    for _ in range(3):
        clock.tick(days=1, hours=1)
        dispatcher.take(1)[0]()
    entry = ledger.get("acme")
    assert entry.status is Status.DEAD
    assert (entry.reason or "").startswith("given up: HTTP 429")


def test_an_interrupted_send_is_unclear(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """A lease that ran out after its attempt was counted is judged unclear, and sends nothing."""
    (claim,) = ledger.claim(1)
    ledger.count_attempt(claim)
    clock.tick(minutes=3)
    dispatcher.run_pass()
    assert transport.requests == []
    assert judged(ledger) == [Judgement.UNCLEAR]
    assert dispatcher.next_due() == 30 * 60.0


def test_nothing_is_sent_under_a_lost_lease(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
) -> None:
    """A job that is run after its lease sends nothing when somebody else has the entry."""
    (late,) = dispatcher.take(1)
    clock.tick(minutes=3)
    (owner,) = dispatcher.take(1)
    owner()
    late()
    assert len(transport.requests) == 1


def test_without_a_token_nothing_is_taken(
    make: Callable[..., Dispatcher], ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """No token: entries stay pending and untouched, and flow when the token is there."""
    mute = make(token=None)
    assert (mute.run_pass(), mute.next_due()) == (0, None)
    assert make().run_pass() == 1
    assert ledger.get("acme").attempts == 1


def test_what_may_not_be_sent_is_parked(
    make: Callable[..., Dispatcher], ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """An app under test sends nothing: its entries are parked with the reason."""
    dispatcher = make(blocked="testing")
    dispatcher.run_pass()
    entry = ledger.get("acme")
    assert (entry.status, entry.reason, entry.due_at) == (Status.PENDING, "testing", None)
    assert transport.requests == []


def test_an_unreadable_entry_does_not_stop_the_others(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """An entry that somebody tampered with is buried; the next one is delivered."""
    with ledger._database.write() as conn:  # tampering is done behind the ledger's back
        conn.execute(text("UPDATE partnerstack_entry SET payload = 'scribble'"))
    ledger.record(Conversion.of(customer_key="good", xid="h8pb9E7TZK6YMO"))
    assert dispatcher.run_pass() == 2
    assert ledger.get("acme").status is Status.DEAD
    assert ledger.get("good").status is Status.DELIVERED


def test_unreadable_entries_pause_nothing(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry, transport: ScriptedTransport
) -> None:
    """They were never sent, and are no word of the service: one rejection beside them is one."""
    ledger.record(Conversion.of(customer_key="zen", xid="h8pb9E7TZK6YMO"))
    with ledger._database.write() as conn:  # tampering is done behind the ledger's back
        conn.execute(text("UPDATE partnerstack_entry SET payload = 'scribble'"))
    ledger.record(Conversion.of(customer_key="bad", xid="h8pb9E7TZK6YMO"))
    transport.answers = [Response(400)]
    dispatcher.run_pass()
    assert ledger.counts()[Status.DEAD] == 2
    assert ledger.outlook().pause is None
    assert ledger.streak().entries(Judgement.REJECTED) == {ledger.get("bad").id}


def test_an_unreadable_entry_is_no_sign_of_a_token(
    dispatcher: Dispatcher, ledger: Ledger, acme: Entry
) -> None:
    """Nobody takes it for a send of a process that has one."""
    with ledger._database.write() as conn:  # tampering is done behind the ledger's back
        conn.execute(text("UPDATE partnerstack_entry SET payload = 'scribble'"))
    dispatcher.run_pass()
    assert not ledger.was_sent_within(timedelta(days=1))


def test_every_fate_is_told_once(
    dispatcher: Dispatcher,
    ledger: Ledger,
    acme: Entry,
    transport: ScriptedTransport,
    clock: Clock,
    outcomes: list[Outcome],
) -> None:
    """Whoever listens hears of each fate after it was committed, with the entry as it is then."""
    transport.answers = [Response(429, {"Retry-After": "5"}), Response(200)]
    dispatcher.run_pass()
    clock.tick(seconds=10)
    dispatcher.run_pass()
    assert [outcome.fate for outcome in outcomes] == ["postponed", "delivered"]
    assert outcomes[-1].entry == ledger.get("acme")
