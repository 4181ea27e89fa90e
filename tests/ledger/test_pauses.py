"""Pauses, streaks, look-ups and schedules, on every storage that a ledger may lie in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import INTERRUPTED
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Pause
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger.facts import erase_fact
from flask_partnerstack.ledger.facts import read_fact
from flask_partnerstack.ledger.facts import write_fact
from flask_partnerstack.ledger.pause import MOST_TRIED
from flask_partnerstack.ledger.tables import entries
from tests.kit import Clock

Make = Callable[..., Conversion]
Result = TypeVar("Result")

HOUR = timedelta(hours=1)
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)
REFUSED = Attempt(judged=Judgement.REFUSED, reason="HTTP 503", status=503)
UNCLEAR = Attempt(judged=Judgement.UNCLEAR, reason="HTTP 502", status=502)
REJECTED = Attempt(judged=Judgement.REJECTED, reason="HTTP 400", status=400)


def claimed(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim(1)
    return claim


def fail(ledger: Ledger, attempt: Attempt, *, unclear: int = 0) -> Claim:
    """Send what is due, in vain, and try again in an hour."""
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    ledger.postpone(claim, HOUR, reason=attempt.reason, attempt=attempt, unclear=unclear)
    return claim


def pause_of(ledger: Ledger) -> Pause:
    pause = ledger.outlook().pause
    assert pause is not None
    return pause


def move_pause(ledger: Ledger, by: timedelta) -> None:
    """Let the pause have begun at another time, as only another clock can."""
    pause = pause_of(ledger)
    ledger.end_pause()
    moments = {"since": pause.since + by, "probe_at": pause.probe_at + by}
    if pause.not_before is not None:
        moments["not_before"] = pause.not_before + by
    with ledger._database.write() as conn:  # behind the ledger's back, whose clock is the server's
        write_fact(conn, "pause", Pause(**{**vars(pause), **moments}).dumps())


def move_entries(ledger: Ledger, by: timedelta, *columns: str) -> None:
    """Move moments of every entry, as only another clock can."""
    with ledger._database.write() as conn:  # behind the ledger's back
        for row in conn.execute(entries.select()).all():
            mine = entries.update().where(entries.c.id == row.id)
            conn.execute(mine, {name: row._mapping[name] + by for name in columns})


def all_at_once(call: Callable[[], Result], times: int = 6) -> list[Result]:
    """Call from as many threads, at the same moment."""
    start = threading.Barrier(times)
    results: list[Result] = []

    def run() -> None:
        start.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- beginning and ending -------------------------------------------------------------------------


def test_a_pause_is_kept_with_its_reason(any_ledger: Ledger) -> None:
    """Whoever looks sees that delivery is paused, why, since when, and when it is probed."""
    assert any_ledger.outlook().pause is None
    assert any_ledger.begin_pause(Cause.DENIED, "HTTP 401: “nein”")
    pause = pause_of(any_ledger)
    assert (pause.cause, pause.reason, pause.probes) == (Cause.DENIED, "HTTP 401: “nein”", 0)
    assert pause.probe_at - pause.since == timedelta(seconds=2)


def test_a_pause_that_is_on_is_not_begun_again(any_ledger: Ledger) -> None:
    """A second cause is noted, the beginning stays, and the probe comes no sooner."""
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503", wish=HOUR)
    before = pause_of(any_ledger)
    assert not any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    after = pause_of(any_ledger)
    assert (after.cause, after.reason) == (Cause.DENIED, "HTTP 401")
    assert (after.since, after.probe_at) == (before.since, before.probe_at)


def test_a_wish_moves_the_probe(any_ledger: Ledger) -> None:
    """``Retry-After`` holds for the probe, also when delivery is paused already."""
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 429", wish=HOUR)
    pause = pause_of(any_ledger)
    assert pause.probe_at - pause.since >= HOUR


def test_many_begin_one_pause(any_ledger: Ledger) -> None:
    """Six senders that fail at once begin one pause between them, and none fails over it."""
    begun = all_at_once(lambda: any_ledger.begin_pause(Cause.DENIED, "HTTP 401"))
    assert sorted(begun) == [False] * 5 + [True]


def test_a_pause_ends_once(any_ledger: Ledger) -> None:
    """Ending returns the pause to one caller; whoever comes later ends nothing."""
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    ended = [pause for pause in all_at_once(any_ledger.end_pause) if pause is not None]
    assert [pause.reason for pause in ended] == ["HTTP 401"]
    assert any_ledger.outlook().pause is None


def test_what_waited_is_due_when_a_pause_ends(any_ledger: Ledger, conversion: Make) -> None:
    """A refused entry does not sit out its delay when the service is back."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    assert (any_ledger.outlook().due_in or 0.0) > 3000.0
    any_ledger.end_pause()
    assert any_ledger.outlook().due_in == 0.0


def test_a_token_that_was_missing_hurries_nobody(any_ledger: Ledger, conversion: Make) -> None:
    """It says nothing of PartnerStack: a delay goes on, and so does what was counted."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    any_ledger.begin_pause(Cause.NO_TOKEN, "PARTNERSTACK_TOKEN is not set")
    move_pause(any_ledger, -HOUR)
    assert any_ledger.end_pause() is not None
    assert (any_ledger.outlook().due_in or 0.0) > 3000.0
    assert any_ledger.resumed_at() is None


def test_what_may_have_been_taken_keeps_its_time(any_ledger: Ledger, conversion: Make) -> None:
    """The end of a pause hurries no entry whose last answer was unclear."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED, unclear=1)
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    any_ledger.end_pause()
    assert (any_ledger.outlook().due_in or 0.0) > 3000.0


def test_what_was_parked_or_delivered_stays_so(any_ledger: Ledger, conversion: Make) -> None:
    """The end of a pause makes nothing due that was not to be sent anyhow."""
    for _ in range(2):
        any_ledger.record(conversion())
    any_ledger.park(claimed(any_ledger), reason="testing")
    any_ledger.settle(claimed(any_ledger), Status.DELIVERED, TAKEN, look_up_in=HOUR)
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    any_ledger.end_pause()
    assert (any_ledger.outlook().due_in or 0.0) > 3000.0


def test_what_somebody_is_sending_is_left_alone(any_ledger: Ledger, conversion: Make) -> None:
    """The end of a pause takes no entry out of anybody's hands."""
    any_ledger.record(conversion())
    claim = claimed(any_ledger)
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    any_ledger.end_pause()
    assert any_ledger.claim(1) == []
    assert any_ledger.count_attempt(claim)


def test_nobody_grows_older_in_a_pause(any_ledger: Ledger, conversion: Make) -> None:
    """An entry first tried a day before a pause of ten is a day old after it."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    move_entries(any_ledger, timedelta(days=-11), "first_attempt_at", "attempted_at")
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    move_pause(any_ledger, timedelta(days=-10))
    any_ledger.end_pause()
    age = any_ledger.age(claimed(any_ledger))
    assert timedelta(hours=23) < age < timedelta(hours=25)


def test_what_was_first_tried_in_a_pause_is_new_after_it(
    any_ledger: Ledger, conversion: Make
) -> None:
    """A probe of the ninth day of ten is no older than nothing, and no younger."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    move_entries(any_ledger, timedelta(days=-1), "first_attempt_at", "attempted_at")
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    move_pause(any_ledger, timedelta(days=-10))
    any_ledger.end_pause()
    age = any_ledger.age(claimed(any_ledger))
    assert timedelta(0) <= age < timedelta(minutes=1)


# --- probes ---------------------------------------------------------------------------------------


def test_there_is_no_probe_without_a_pause(any_ledger: Ledger, conversion: Make) -> None:
    """A probe is taken while delivery is paused, and never else."""
    any_ledger.record(conversion())
    assert any_ledger.claim_probe(mark="new") == []


def test_a_probe_waits_for_its_time(any_ledger: Ledger, conversion: Make) -> None:
    """Two seconds after the beginning is soon enough, but for a set-up that is new."""
    any_ledger.record(conversion())
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401", wish=HOUR)
    assert any_ledger.claim_probe() == []
    assert len(any_ledger.claim_probe(mark="new")) == 1


def test_a_set_up_is_tried_at_once_one_time(any_ledger: Ledger, conversion: Make) -> None:
    """Nor is the one that the pause began with, nor more of them than are remembered."""
    for _ in range(30):
        any_ledger.record(conversion())
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401", mark="old")
    marks = ["old", *[f"set-up {number}" for number in range(30)] * 2]
    assert sum(len(any_ledger.claim_probe(mark=mark)) for mark in marks) == MOST_TRIED - 1


def test_no_set_up_is_tried_before_the_time_that_was_asked_for(
    any_ledger: Ledger, conversion: Make
) -> None:
    """A wish that binds holds for a new set-up too, and is not undone by one that does not."""
    any_ledger.record(conversion())
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 429", wish=HOUR, binding=True)
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    assert any_ledger.claim_probe(mark="new") == []
    move_pause(any_ledger, -HOUR)
    assert len(any_ledger.claim_probe(mark="new")) == 1


def test_each_probe_waits_longer(any_ledger: Ledger) -> None:
    """The next probe is 3 seconds away, then 4.5, and never more than five minutes."""
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    waits = []
    for number in range(15):
        any_ledger.claim_probe(mark=f"set-up {number}")
        outlook = any_ledger.outlook()
        waits.append((pause_of(any_ledger).probe_at - outlook.now).total_seconds())
    wanted = [min(2 * 1.5**probe, 300) for probe in range(1, 16)]
    assert waits == pytest.approx(wanted, abs=1.5)
    assert waits[-1] == pytest.approx(300, abs=1.5)


def test_each_probe_is_another_entry(any_ledger: Ledger, conversion: Make) -> None:
    """Those that were never tried come first, then the longest untried; none is starved."""
    for number in range(3):
        any_ledger.record(conversion(f"customer {number}"))
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    probed = []
    for number in range(6):
        (claim,) = any_ledger.claim_probe(mark=f"set-up {number}")
        any_ledger.count_attempt(claim)
        any_ledger.postpone(claim, HOUR, reason="HTTP 401", attempt=REFUSED)
        probed.append(claim.entry.customer_key)
    assert probed == ["customer 0", "customer 1", "customer 2"] * 2


def test_one_that_may_have_been_taken_is_probed_rather(
    any_ledger: Ledger, conversion: Make
) -> None:
    """After an unclear answer the next probe is one of those, once it is due, and no fresh one."""
    for number in range(3):
        any_ledger.record(conversion(f"customer {number}"))
    fail(any_ledger, REFUSED)
    fail(any_ledger, UNCLEAR, unclear=1)
    any_ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 502")
    (claim,) = any_ledger.claim_probe(mark="new", sparing=True)
    assert claim.entry.customer_key == "customer 2"  # the other one's time has not come
    any_ledger.postpone(claim, timedelta(0), reason="HTTP 502", attempt=UNCLEAR)
    move_entries(any_ledger, -HOUR, "due_at")
    (claim,) = any_ledger.claim_probe(mark="newer", sparing=True)
    assert claim.entry.customer_key == "customer 1"


def test_who_was_stopped_while_sending_says_nothing_of_the_service(
    any_ledger: Ledger, conversion: Make
) -> None:
    """A worker that is killed leaves a line in the trail, and none in the streak."""
    any_ledger.record(conversion())
    fail(any_ledger, Attempt(judged=Judgement.UNCLEAR, reason=INTERRUPTED))
    assert any_ledger.streak().failures == ()


def test_look_ups_are_taken_in_a_pause(any_ledger: Ledger, conversion: Make) -> None:
    """What was delivered, and what may have been taken and was not missed yet; when it is due."""
    for number in range(4):
        any_ledger.record(conversion(f"customer {number}"))
    fail(any_ledger, UNCLEAR, unclear=1)
    any_ledger.settle(claimed(any_ledger), Status.DELIVERED, TAKEN, look_up_in=HOUR)
    missed = fail(any_ledger, UNCLEAR, unclear=1)
    assert any_ledger.claim_look_up(Status.DELIVERED) == []
    assert 3500.0 < (any_ledger.next_look_up() or 0.0) <= 3600.0
    with any_ledger._database.write() as conn:  # as a look-up that found nobody leaves it
        mine = entries.update().where(entries.c.id == missed.entry.id)
        conn.execute(mine.values(missing=1))
    move_entries(any_ledger, -HOUR, "due_at")
    found = [*any_ledger.claim_look_up(Status.PENDING), *any_ledger.claim_look_up(Status.DELIVERED)]
    assert [claim.entry.customer_key for claim in found] == ["customer 0", "customer 1"]
    assert any_ledger.claim_look_up(Status.PENDING) == []
    assert (any_ledger.next_look_up() or 0.0) > 60.0  # their leases


SILENT = Attempt(judged=Judgement.CANNOT_TELL, reason="no answer in time")
ANSWERED = Attempt(judged=Judgement.CANNOT_TELL, reason="HTTP 500", status=500)


def test_what_is_to_be_sent_comes_before_what_is_looked_up(
    any_ledger: Ledger, conversion: Make
) -> None:
    """A new conversion is taken first, however long look-ups have been due, and they fill up."""
    ids = [any_ledger.record(conversion()).entry.id for _ in range(5)]
    for claim in any_ledger.claim(5):
        any_ledger.settle(claim, Status.DELIVERED, TAKEN, look_up_in=-HOUR)
    new = any_ledger.record(conversion()).entry.id
    taken = [claim.entry.id for claim in any_ledger.claim(3)]
    assert (taken[0], set(taken[1:]) <= set(ids), len(taken)) == (new, True, 3)


@pytest.mark.parametrize(("last", "taken"), [(SILENT, 0), (ANSWERED, 4)])
def test_look_ups_that_nobody_answers_are_held(
    any_ledger: Ledger, conversion: Make, last: Attempt, taken: int
) -> None:
    """After three in a row they keep nobody from sending; an answer, whatever it says, ends it."""
    for _ in range(7):
        any_ledger.record(conversion())
    for claim in any_ledger.claim(7):
        any_ledger.settle(claim, Status.DELIVERED, TAKEN, look_up_in=-HOUR)
    for claim, attempt in zip(any_ledger.claim(3), (SILENT, SILENT, last), strict=True):
        any_ledger.postpone(claim, HOUR, reason=attempt.reason, attempt=attempt)
    assert len(any_ledger.claim(4)) == taken


def test_the_next_look_up_after_silence_is_one(ledger: Ledger, conversion: Make) -> None:
    """Half a minute later one is asked for, and when it has no answer the next a minute later."""
    clock = ledger._clock
    assert isinstance(clock, Clock)
    for _ in range(9):
        ledger.record(conversion())
    for claim in ledger.claim(9):
        ledger.settle(claim, Status.DELIVERED, TAKEN, look_up_in=-HOUR)
    taken = ledger.claim(3)
    for wait in (30, 60):
        for claim in taken:
            ledger.postpone(claim, HOUR, reason=SILENT.reason, attempt=SILENT)
        clock.tick(seconds=wait - 1)
        assert ledger.claim_look_up(Status.DELIVERED) == ledger.claim(4) == []
        assert ledger.next_look_up() == 1.0
        clock.tick(seconds=1)
        taken = ledger.claim(4)
        assert len(taken) == 1


def test_many_who_probe_take_one(any_ledger: Ledger, conversion: Make) -> None:
    """When a probe is due, one of six processes takes it, and the others wait for the next."""
    for _ in range(6):
        any_ledger.record(conversion())
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    move_pause(any_ledger, timedelta(minutes=-1))
    taken = all_at_once(lambda: any_ledger.claim_probe())
    assert sorted(map(len, taken)) == [0, 0, 0, 0, 0, 1]


def test_no_probe_is_unclear_or_parked_or_held(any_ledger: Ledger, conversion: Make) -> None:
    """What may have been taken, what waits for a person and what is in hand are no probes."""
    for _ in range(3):
        any_ledger.record(conversion())
    fail(any_ledger, REFUSED, unclear=1)
    any_ledger.park(claimed(any_ledger), reason="testing")
    claimed(any_ledger)
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    assert any_ledger.claim_probe(mark="new") == []


# --- what happened since the last success ---------------------------------------------------------


def test_the_end_of_a_pause_is_known(any_ledger: Ledger) -> None:
    """What happened before all was well again can be told from what happened after."""
    assert any_ledger.resumed_at() is None
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    pause = any_ledger.end_pause()
    resumed_at = any_ledger.resumed_at()
    assert pause is not None
    assert resumed_at is not None
    assert resumed_at >= pause.since


def test_a_streak_begins_with_the_last_success(any_ledger: Ledger, conversion: Make) -> None:
    """Failures are counted by entry and kind, back to the last delivery and no further."""
    first, _, second, third = (any_ledger.record(conversion()).entry for _ in range(4))
    fail(any_ledger, REJECTED)
    any_ledger.settle(claimed(any_ledger), Status.DELIVERED, TAKEN)
    fail(any_ledger, REFUSED)
    fail(any_ledger, REJECTED)
    streak = any_ledger.streak()
    assert streak.last_success is not None
    assert streak.entries(Judgement.REFUSED, Judgement.REJECTED) == {second.id, third.id}
    assert streak.count(third.id, Judgement.REJECTED) == 1
    assert streak.count(first.id, Judgement.REJECTED) == 0


def test_look_ups_break_no_streak(any_ledger: Ledger, conversion: Make) -> None:
    """That a customer was found says nothing of whether conversions are taken."""
    for _ in range(2):
        any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    found = Attempt(judged=Judgement.FOUND, reason="found by look-up", status=200)
    any_ledger.settle(claimed(any_ledger), Status.VERIFIED, found)
    assert any_ledger.streak().last_success is None
    assert len(any_ledger.streak().failures) == 1


# --- facts and look-ups ---------------------------------------------------------------------------


def test_facts_are_written_over_and_erased(any_ledger: Ledger) -> None:
    """A fact has the value it was given last, until it is erased, which succeeds once."""
    with any_ledger._database.write() as conn:  # facts have no caller but the ledger's own files
        write_fact(conn, "weather", "rain")
        write_fact(conn, "weather", "rain")
        write_fact(conn, "weather", "sun")
        assert read_fact(conn, "weather") == "sun"
        assert (erase_fact(conn, "weather"), erase_fact(conn, "weather")) == (True, False)
        assert read_fact(conn, "weather") is None


def test_a_key_pair_is_known_by_what_it_found(any_ledger: Ledger) -> None:
    """Each public key earns its own trust."""
    any_ledger.note_found("pk_live")
    any_ledger.note_found("pk_live")
    assert any_ledger.knows_pair("pk_live")
    assert not any_ledger.knows_pair("pk_test")


def test_a_key_pair_is_known_by_the_kinds_of_keys_it_found(any_ledger: Ledger) -> None:
    """Whoever found a key with a slash is trusted with slashes, and with nothing else."""
    any_ledger.note_found("pk_live", kinds=["slash", "dots"])
    assert any_ledger.knows_pair("pk_live", ["slash"])
    assert any_ledger.knows_pair("pk_live", ["slash", "dots"])
    assert not any_ledger.knows_pair("pk_live", ["slash", "percent"])
    assert not any_ledger.knows_pair("pk_test", ["slash"])


def test_many_note_at_once(any_ledger: Ledger) -> None:
    """Six processes that look up at the same time lose no miss, and none fails over a find."""
    all_at_once(lambda: any_ledger.note_miss(HOUR))
    assert any_ledger.misses() == 6
    all_at_once(lambda: any_ledger.note_found("pk_live"))
    assert any_ledger.misses() == 0


def test_the_slowest_read_back_is_remembered(any_ledger: Ledger) -> None:
    """Customers appear as late as was seen lately; one found at the first look shortens that."""
    assert any_ledger.read_back() == timedelta(0)
    any_ledger.note_miss(3 * HOUR)
    any_ledger.note_miss(HOUR)
    assert any_ledger.read_back() == 3 * HOUR
    any_ledger.note_found("pk_live", took=2 * HOUR, late=True)
    assert any_ledger.read_back() == 3 * HOUR
    any_ledger.note_found("pk_live", took=2 * HOUR)
    assert any_ledger.read_back() == 2 * HOUR


def test_real_customers_are_known(any_ledger: Ledger, conversion: Make) -> None:
    """A found test customer is no real one."""
    found = Attempt(judged=Judgement.FOUND, reason="found by look-up", status=200)
    for test in (True, False):
        any_ledger.record(conversion())
        any_ledger.settle(claimed(any_ledger), Status.VERIFIED, found, test=test)
        assert any_ledger.has_real_customers() is not test


# --- a clock that was ahead -----------------------------------------------------------------------


def test_a_schedule_of_the_future_is_mended(any_ledger: Ledger, conversion: Make) -> None:
    """Postponed for an hour by a clock five days ahead: due in an hour, and not in five days."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    moments = ("due_at", "scheduled_at", "first_attempt_at", "attempted_at")
    move_entries(any_ledger, timedelta(days=5), *moments)
    assert 3500.0 < (any_ledger.outlook().due_in or 0.0) <= 3600.0


def test_what_was_sent_in_the_future_was_sent_now(any_ledger: Ledger, conversion: Make) -> None:
    """After a clock was set back the silence since the attempt and its age begin anew."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    move_entries(any_ledger, timedelta(days=5), "first_attempt_at", "attempted_at")
    any_ledger.outlook()
    move_entries(any_ledger, -HOUR, "due_at")
    claim = claimed(any_ledger)
    assert timedelta(0) <= any_ledger.silence(claim) < timedelta(minutes=1)
    assert timedelta(0) <= any_ledger.age(claim) < timedelta(minutes=1)


def test_a_pause_of_the_future_is_mended(ledger: Ledger, clock: Clock) -> None:
    """Paused by a clock five days ahead: probed as soon as it would have been, once that shows."""
    clock.tick(days=5)
    ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503", wish=HOUR)
    ledger.outlook()
    clock.tick(days=-5)
    pause = pause_of(ledger)
    assert pause.since == clock()
    assert pause.probe_at == clock() + HOUR


def test_a_schedule_of_the_future_is_mended_once_it_can_be(
    database: Database,
    ledger: Ledger,
    clock: Clock,
    conversion: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else wrote when the clock was first seen to be set back: the next look mends it."""
    monkeypatch.setattr("flask_partnerstack.ledger.connecting.BUSY_WAIT", 0.05)
    clock.tick(days=365)
    ledger.outlook()
    ledger.record(conversion())
    clock.tick(days=-365)
    another = Database(database.url, embedded=True)
    with another.write(), pytest.raises(LedgerUnavailable, match="locked"):
        ledger.outlook()
    another.close()
    assert ledger.outlook().due_in == 0.0


# --- requeueing many ------------------------------------------------------------------------------


@pytest.fixture
def buried(any_ledger: Ledger, conversion: Make) -> Ledger:
    """A ledger with two dead entries of two partners, and one that is parked."""
    for partner_key, reason in (("ann", "rejected: 100% bad"), ("bob", "given up")):
        any_ledger.record(conversion(partner_key=partner_key))
        any_ledger.bury(claimed(any_ledger), reason=reason, attempt=REJECTED)
    any_ledger.record(conversion())
    any_ledger.park(claimed(any_ledger), reason="testing")
    return any_ledger


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 2),
        ({"partner_key": "ann"}, 1),
        ({"reason": "100%"}, 1),
        ({"status": Status.PENDING}, 1),
    ],
)
def test_many_are_requeued_by_what_they_are(
    buried: Ledger, wanted: dict[str, Status | str], count: int
) -> None:
    """By partner, by a part of the reason taken to the letter, by state: due now, and no other."""
    assert buried.requeue_all(**wanted) == count  # type: ignore[arg-type]  # one of each kind
    assert len(buried.claim(10)) == count
    assert sum(buried.counts().values()) == 3


def test_what_does_not_fit_is_not_requeued(buried: Ledger) -> None:
    """A reason is no pattern, filters hold together, and one state says nothing of another."""
    assert buried.requeue_all(reason="1%d") == 0
    assert buried.requeue_all(partner_key="ann", reason="given up") == 0
    assert buried.requeue_all(status=Status.SKIPPED) == 0
    assert buried.claim(10) == []


def test_what_waits_its_turn_is_not_requeued(any_ledger: Ledger, conversion: Make) -> None:
    """A pending entry that is only postponed keeps its time when the parked ones are requeued."""
    any_ledger.record(conversion())
    fail(any_ledger, REFUSED)
    assert any_ledger.requeue_all(status=Status.PENDING) == 0
    assert (any_ledger.outlook().due_in or 0.0) > 3000.0


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.VERIFIED])
def test_what_was_taken_is_never_requeued(any_ledger: Ledger, status: Status) -> None:
    """All at once or one by one: nobody sends again what PartnerStack took."""
    with pytest.raises(IllegalTransition, match=f"{status} cannot become pending"):
        any_ledger.requeue_all(status=status)
