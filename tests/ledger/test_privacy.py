"""Erasing a customer: the same on every storage."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import EntryClaimed
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import NO_PAIR
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger import is_erased
from tests.kit import Clock
from tests.ledger.conftest import LEASE

Make = Callable[..., Conversion]

JO = {"email": "jo@acme.com", "name": "Jo Doe", "ip_address": "192.0.2.7", "user_agent": "Lynx"}
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200, answer="hello Jo Doe")
UNCLEAR = Attempt(judged=Judgement.UNCLEAR, reason="HTTP 500", status=500, answer="Jo Doe?")


def claimed(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim(1)
    return claim


def delivered(ledger: Ledger, conversion: Conversion) -> None:
    ledger.record(conversion)
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    ledger.settle(claim, Status.DELIVERED, TAKEN, look_up_in=timedelta(0))


def test_all_that_names_the_customer_is_gone(any_ledger: Ledger, conversion: Make) -> None:
    """Key, e-mail, name, address, agent and stored answers; the conversion itself stays."""
    delivered(any_ledger, conversion("acme", partner_key="ann", sub_ids=["jo"], **JO))
    erased = any_ledger.erase("acme")
    assert (erased.customer_key, erased.status, erased.reason) == ("", Status.DELIVERED, "erased")
    assert (erased.xid, erased.partner_key, erased.attempts) == ("h8pb9E7TZK6YMO", "ann", 1)
    assert is_erased(erased)
    assert any_ledger.conversion_of(erased) == Conversion(customer_key="", xid=erased.xid)
    assert [line.answer for line in any_ledger.trail(erased)] == [""]
    for word in ("acme", "jo", "doe", "192"):
        assert any_ledger.page(search=word).entries == []


def test_erasing_leaves_the_others_alone(any_ledger: Ledger, conversion: Make) -> None:
    """Nobody else loses a letter."""
    others = conversion("globex", **JO)
    any_ledger.record(others)
    any_ledger.record(conversion("acme", **JO))
    any_ledger.erase("acme")
    entry = any_ledger.get("globex")
    assert any_ledger.conversion_of(entry) == others
    assert any_ledger.page(search="jo@acme.com").entries == [entry]


def test_what_is_pending_is_skipped_first(any_ledger: Ledger, conversion: Make) -> None:
    """Who is erased before the delivery is never sent."""
    any_ledger.record(conversion("acme"))
    erased = any_ledger.erase("acme")
    assert (erased.status, erased.reason, erased.due_at) == (Status.SKIPPED, "erased", None)
    assert erased.settled_at is not None
    assert any_ledger.claim(10) == []


def test_what_waits_to_be_looked_up_is_not_any_more(any_ledger: Ledger, conversion: Make) -> None:
    """A customer whose key nobody knows cannot be asked for."""
    delivered(any_ledger, conversion("acme"))
    assert any_ledger.outlook().due_in == 0.0
    any_ledger.erase("acme")
    assert any_ledger.outlook().due_in is None


def test_who_is_erased_is_not_looked_up_by_hand(any_ledger: Ledger, conversion: Make) -> None:
    """Of two that were delivered, a person's look-up finds the one whose key is known."""
    delivered(any_ledger, conversion("acme"))
    any_ledger.erase("acme")
    delivered(any_ledger, conversion("globex"))
    (claim,) = any_ledger.claim_next(Status.DELIVERED)
    assert claim.entry.customer_key == "globex"
    assert any_ledger.claim_next(Status.DELIVERED) == []


def test_what_is_in_somebodys_hands_is_left_there(any_ledger: Ledger, conversion: Make) -> None:
    """A conversion that may be on its way is not erased under whoever sends it."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    with pytest.raises(EntryClaimed, match="Try again then") as refused:
        any_ledger.erase("acme")
    assert refused.value.entry_id == claim.entry.id
    assert any_ledger.get("acme").customer_key == "acme"
    any_ledger.settle(claim, Status.DELIVERED, TAKEN)
    assert any_ledger.erase("acme").status is Status.DELIVERED


def test_a_lease_that_ran_out_holds_nobody(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """What a killed process left is erased; should it be alive after all, it sends nothing."""
    ledger.record(conversion("acme"))
    claim = claimed(ledger)
    clock.now += 2 * LEASE
    ledger.erase("acme")
    assert not ledger.count_attempt(claim)


def test_an_answer_that_comes_too_late_is_not_kept(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """Whoever was sending for longer than their lease brings no name back."""
    ledger.record(conversion("acme"))
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    clock.now += 2 * LEASE
    erased = ledger.erase("acme")
    assert ledger.postpone(claim, LEASE, reason="HTTP 500", attempt=UNCLEAR) is None
    (line,) = ledger.trail(erased)
    assert (line.reason, line.answer) == ("HTTP 500", "")


def test_nor_is_it_by_a_sender_that_goes_on(
    any_ledger: Ledger, conversion: Make, pass_lease: Callable[[], None]
) -> None:
    """Leaving it for the next brings no name back either, and changes nothing."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    pass_lease()
    erased = any_ledger.erase("acme")
    taken = Verdict(after=Status.DELIVERED, attempt=TAKEN)
    assert any_ledger.leave_for_next(claim, taken)[0] is None
    assert [line.answer for line in any_ledger.trail(erased)] == [""]


def test_the_dead_stay_dead(any_ledger: Ledger, conversion: Make) -> None:
    """Their reason stays, and neither one nor all of them can be requeued."""
    any_ledger.record(conversion("acme"))
    any_ledger.bury(claimed(any_ledger), reason="rejected: HTTP 400")
    erased = any_ledger.erase("acme")
    assert (erased.status, erased.reason) == (Status.DEAD, "rejected: HTTP 400")
    with pytest.raises(IllegalTransition, match="erased cannot become pending"):
        any_ledger.requeue("acme")
    assert any_ledger.requeue_all() == 0


def test_the_skipped_are_not_requeued_either(any_ledger: Ledger, conversion: Make) -> None:
    """There is nobody left to be sent."""
    any_ledger.record(conversion("acme"))
    any_ledger.erase("acme")
    assert any_ledger.requeue_all(status=Status.SKIPPED) == 0


def test_nobody_is_credited_twice(any_ledger: Ledger, conversion: Make) -> None:
    """Who was taken, erased, and signs up again is the customer that was taken."""
    delivered(any_ledger, conversion("acme"))
    erased = any_ledger.erase("acme")
    again = any_ledger.record(conversion("acme", **JO))
    assert (again.new, again.entry) == (False, erased)


def test_who_was_never_sent_may_come_back(any_ledger: Ledger, conversion: Make) -> None:
    """Erased before the delivery, and signed up again: that is a conversion."""
    any_ledger.record(conversion("acme"))
    any_ledger.erase("acme")
    again = any_ledger.record(conversion("acme", xid="AnotherClick12", **JO))
    assert again.new
    assert (again.entry.customer_key, again.entry.status) == ("acme", Status.PENDING)
    assert claimed(any_ledger).unclear == 0


def test_who_was_given_up_may_come_back(any_ledger: Ledger, conversion: Make) -> None:
    """Turned away, erased, and signed up again by another click: nobody else could requeue it."""
    any_ledger.record(conversion("acme"))
    any_ledger.bury(claimed(any_ledger), reason="rejected: HTTP 404")
    any_ledger.erase("acme")
    again = any_ledger.record(conversion("acme", xid="AnotherClick12", **JO))
    assert again.new
    assert (again.entry.xid, again.entry.status) == ("AnotherClick12", Status.PENDING)
    assert claimed(any_ledger).unclear == 0


def test_who_was_given_up_unclear_is_looked_up_when_they_come_back(
    any_ledger: Ledger, conversion: Make
) -> None:
    """What may have been taken still may, and grows older from now on."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    any_ledger.count_attempt(claim)
    any_ledger.bury(claim, reason="unclear", unclear=1)
    any_ledger.erase("acme")
    assert any_ledger.record(conversion("acme")).new
    back = claimed(any_ledger)
    assert back.unclear == 1
    assert back.first_attempt_at is not None


def test_who_may_have_been_taken_still_may(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """Erased when nobody knew whether it was taken, it is looked up first when it comes back."""
    ledger.record(conversion("acme"))
    ledger.count_attempt(claimed(ledger))
    clock.now += 2 * LEASE
    ledger.erase("acme")
    entry = ledger.record(conversion("acme")).entry
    assert (claimed(ledger).unclear, entry.attempts) == (1, 1)


def test_erasing_twice_is_erasing(any_ledger: Ledger, conversion: Make) -> None:
    """A second request finds nothing left to do; a stranger is not there."""
    delivered(any_ledger, conversion("acme", **JO))
    assert any_ledger.erase("acme") == any_ledger.erase("acme")
    with pytest.raises(EntryNotFound, match="'nobody'"):
        any_ledger.erase("nobody")


def test_counts_add_up_after_erasing(any_ledger: Ledger, conversion: Make) -> None:
    """An erased conversion is one still."""
    for _ in range(3):
        any_ledger.record(conversion("acme"))
    any_ledger.record(conversion("globex"))
    any_ledger.erase("acme")
    assert sum(any_ledger.counts().values()) == 2


def test_no_byte_of_the_customer_is_left_in_the_file(
    ledger: Ledger, conversion: Make, tmp_path: Path
) -> None:
    """Neither the file nor its log keeps what was erased, as SQLite would by itself."""
    for number in range(200):
        ledger.record(conversion(f"other-{number}"))
    ledger.record(conversion("zaphod", email="zaphod@example.com", meta={"x": "y" * 9000}))
    assert any(b"zaphod" in file.read_bytes() for file in tmp_path.glob("partnerstack.db*"))
    ledger.erase("zaphod")
    for file in tmp_path.glob("partnerstack.db*"):
        assert b"zaphod" not in file.read_bytes(), file
        assert b"y" * 100 not in file.read_bytes(), file


def test_what_a_reader_kept_is_gone_when_it_is_tried_again(
    ledger: Ledger, conversion: Make, tmp_path: Path
) -> None:
    """A backup that reads just then keeps the log; no signup behind it would empty that."""
    path, log = tmp_path / "partnerstack.db", tmp_path / "partnerstack.db-wal"
    ledger.record(conversion("zaphod", email="zaphod@example.com"))
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM partnerstack_entry").fetchall()
        ledger.erase("zaphod")
        assert not ledger.forget_what_stayed()
    assert b"zaphod" in log.read_bytes()
    assert ledger.forget_what_stayed()
    assert b"zaphod" not in path.read_bytes() + log.read_bytes()


def test_erasing_is_done_although_the_log_cannot_be_emptied(
    ledger: Ledger,
    conversion: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody writes just then: what is erased is erased, and the rest is seen to later."""
    path, log = tmp_path / "partnerstack.db", tmp_path / "partnerstack.db-wal"
    ledger.record(conversion("zaphod", email="zaphod@example.com"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        forget = ledger.storage.forget_old_pages

        def busy() -> bool:
            forgotten = forget()
            writer.execute("BEGIN IMMEDIATE")
            return forgotten

        monkeypatch.setattr(ledger.storage, "forget_old_pages", busy)
        assert ledger.erase("zaphod").customer_key == ""
    assert "may be in SQLite's log for an hour more" in caplog.text
    monkeypatch.undo()
    assert ledger.forget_what_stayed()
    assert b"zaphod" not in path.read_bytes() + log.read_bytes()


def test_what_is_erased_while_another_process_forgets_is_seen_to_as_well(
    ledger: Ledger, conversion: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came after the log was emptied, and its note stays."""
    path, log = tmp_path / "partnerstack.db", tmp_path / "partnerstack.db-wal"
    for name in ("zaphod", "trillian"):
        ledger.record(conversion(name))
    forget = ledger.storage.forget_old_pages

    def forget_and_go_on() -> bool:
        forgotten = forget()
        monkeypatch.setattr(ledger.storage, "forget_old_pages", lambda: False)  # a reader
        ledger.erase("trillian")
        return forgotten

    monkeypatch.setattr(ledger.storage, "forget_old_pages", forget_and_go_on)
    ledger.erase("zaphod")
    monkeypatch.undo()
    assert b"trillian" in path.read_bytes() + log.read_bytes()
    assert ledger.forget_what_stayed()
    assert b"trillian" not in path.read_bytes() + log.read_bytes()


# --- pruning ------------------------------------------------------------------------------------

AT_ONCE = timedelta(0)


def settled(ledger: Ledger, conversion: Conversion) -> None:
    """Deliver without a look-up to come."""
    ledger.record(conversion)
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    ledger.settle(claim, Status.DELIVERED, TAKEN)


def test_pruning_leaves_the_fact(any_ledger: Ledger, conversion: Make) -> None:
    """E-mail, name, address, agent and answers are gone; whose, when and by whom it was is not."""
    settled(any_ledger, conversion("acme", partner_key="ann", sub_ids=["jo"], **JO))
    before = any_ledger.get("acme")
    assert any_ledger.prunable(AT_ONCE) == 1
    assert any_ledger.prune(AT_ONCE) == 1
    assert any_ledger.get("acme") == before
    left = Conversion(customer_key="acme", xid=before.xid, partner_key="ann")
    assert any_ledger.conversion_of(before) == left
    assert [line.answer for line in any_ledger.trail(before)] == [""]
    assert any_ledger.page(search="acme ann").entries == [before]
    assert any_ledger.page(search="jo").entries == []
    assert (any_ledger.prunable(AT_ONCE), any_ledger.prune(AT_ONCE)) == (0, 0)


def test_a_key_that_is_an_address_is_pruned(any_ledger: Ledger, conversion: Make) -> None:
    """The digest stays, so the customer is found by the key and not credited twice."""
    settled(any_ledger, conversion("jo@acme.com", **JO))
    any_ledger.prune(AT_ONCE)
    assert any_ledger.get("jo@acme.com").customer_key == ""
    assert not any_ledger.record(conversion("jo@acme.com")).new
    assert any_ledger.page(search="acme").entries == []


def test_what_is_not_over_is_not_pruned(any_ledger: Ledger, conversion: Make) -> None:
    """Neither the pending nor the delivered that wait to be looked up lose anything."""
    delivered(any_ledger, conversion("looked-up", **JO))
    any_ledger.leave(claimed(any_ledger), Verdict(after=Status.DELIVERED, due_in=LEASE))
    any_ledger.record(conversion("pending", **JO))
    any_ledger.record(conversion("parked", **JO))
    for claim in any_ledger.claim(10):
        if claim.entry.customer_key == "parked":
            any_ledger.park(claim, reason="testing")
    assert any_ledger.prune(AT_ONCE) == 0
    assert len(any_ledger.page(search="jo@acme.com").entries) == 3


@pytest.mark.parametrize(("key", "waits"), [("acme", True), ("jo@acme.com", False)])
def test_who_waits_for_keys_is_pruned(
    any_ledger: Ledger, conversion: Make, key: str, waits: bool
) -> None:
    """It goes on waiting for its look-up only if there is a key left to ask for."""
    delivered(any_ledger, conversion(key, **JO))
    any_ledger.postpone(claimed(any_ledger), timedelta(0), reason=NO_PAIR)
    (in_work,) = any_ledger.claim(1)
    assert any_ledger.prune(AT_ONCE) == 0
    any_ledger.postpone(in_work, timedelta(0), reason=NO_PAIR)
    assert any_ledger.prune(AT_ONCE) == 1
    entry = any_ledger.get(key)
    assert any_ledger.conversion_of(entry).email is None
    assert (entry.status, entry.reason) == (Status.DELIVERED, NO_PAIR)
    assert (len(any_ledger.claim(1)) == 1) is waits


def test_who_is_looked_for_in_vain_is_pruned(
    ledger: Ledger, clock: Clock, conversion: Make
) -> None:
    """Look-ups that can never tell keep personal data for a week, and not for ever."""
    delivered(ledger, conversion("acme", **JO))
    clock.now += timedelta(days=7) - timedelta(seconds=1)
    assert ledger.prune(AT_ONCE) == 0
    clock.now += timedelta(seconds=1)
    assert ledger.prune(AT_ONCE) == 1
    assert ledger.conversion_of(ledger.get("acme")).email is None
    assert len(ledger.claim(1)) == 1


def test_pruning_waits_for_the_time(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """An entry keeps its data for as long as it may, from when it was settled."""
    settled(ledger, conversion("acme", **JO))
    clock.now += timedelta(days=30) - timedelta(seconds=1)
    assert ledger.prune(timedelta(days=30)) == 0
    clock.now += timedelta(seconds=1)
    assert ledger.prune(timedelta(days=30)) == 1


def test_pruning_takes_a_few_at_once(any_ledger: Ledger, conversion: Make) -> None:
    """The oldest first, as many as it is told."""
    for number in range(5):
        any_ledger.record(conversion(f"c{number}", **JO), skipped=True, reason="staff")
    assert [any_ledger.prune(AT_ONCE, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_what_was_pruned_can_be_sent(any_ledger: Ledger, conversion: Make) -> None:
    """Requeued by a person, it is reported without e-mail and name; asked again, with the new."""
    for key in ("dead", "skipped"):
        any_ledger.record(conversion(key, partner_key="ann", **JO))
        any_ledger.bury(claimed(any_ledger), reason="rejected")
    any_ledger.prune(AT_ONCE)
    any_ledger.requeue("dead")
    said = claimed(any_ledger).conversion
    assert (said.customer_key, said.partner_key, said.email) == ("dead", "ann", None)


def test_who_was_pruned_can_be_erased(any_ledger: Ledger, conversion: Make) -> None:
    """The key goes then, too, and nothing is pruned of who was erased."""
    settled(any_ledger, conversion("acme", **JO))
    any_ledger.prune(AT_ONCE)
    assert any_ledger.erase("acme").customer_key == ""
    assert any_ledger.prunable(AT_ONCE) == 0


def test_no_byte_of_the_pruned_is_left_in_the_file(
    ledger: Ledger, conversion: Make, tmp_path: Path
) -> None:
    """As with erasing: neither SQLite's file nor its log."""
    for number in range(200):
        settled(ledger, conversion(f"c{number}", email="zaphod@example.com", meta={"x": "y" * 900}))
    assert ledger.prune(AT_ONCE) == 200
    for file in tmp_path.glob("partnerstack.db*"):
        assert b"zaphod" not in file.read_bytes(), file
        assert b"y" * 100 not in file.read_bytes(), file


def test_one_process_prunes_at_a_time(any_ledger: Ledger) -> None:
    """Whoever comes first does it, and nobody else for an hour."""
    hour = timedelta(hours=1)
    assert [any_ledger.begin_pruning(hour) for _ in range(3)] == [True, False, False]
    assert any_ledger.begin_pruning(timedelta(0))


def test_pruning_does_not_wait_for_a_clock_set_back(ledger: Ledger, clock: Clock) -> None:
    """Whoever pruned in a future that is no more does not count."""
    ledger.begin_pruning(timedelta(hours=1))
    clock.now -= timedelta(days=9)
    assert ledger.begin_pruning(timedelta(hours=1))
