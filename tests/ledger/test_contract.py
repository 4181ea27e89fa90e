"""What every storage promises: the same tests over SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy import text

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger import utcnow
from tests.ledger.conftest import PAST
from tests.servers import SERVERS
from tests.servers import Servers

Make = Callable[..., Conversion]

HOUR = timedelta(hours=1)
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)
REFUSED = Attempt(judged=Judgement.REFUSED, reason="HTTP 503", status=503, answer="later")


def claimed(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim(1)
    return claim


def test_a_recorded_conversion_is_pending_and_due(any_ledger: Ledger, conversion: Make) -> None:
    """What was recorded is there, whole, and waits to be delivered."""
    wanted = conversion("acme", email="jo@acme.com", meta={"plan": ["pro", 1]})
    recorded = any_ledger.record(wanted)
    entry = any_ledger.get("acme")
    assert recorded.new
    assert recorded.entry == entry
    assert (entry.status, entry.attempts, entry.settled_at) == (Status.PENDING, 0, None)
    assert any_ledger.conversion_of(entry) == wanted
    assert any_ledger.outlook().due_in == 0.0


def test_a_customer_key_has_one_entry(any_ledger: Ledger, conversion: Make) -> None:
    """A second conversion of the same customer returns the first entry, unchanged."""
    first = any_ledger.record(conversion("acme"))
    second = any_ledger.record(conversion("acme", xid="AnotherClick12"))
    assert not second.new
    assert second.entry == first.entry
    assert sum(any_ledger.counts().values()) == 1


def test_many_at_once_revive_a_skipped_one(any_ledger: Ledger, conversion: Make) -> None:
    """Asked again by six at once it becomes pending for one of them, and nobody fails over it."""
    results: list[object] = []

    def record(key: str) -> None:
        try:
            results.append(any_ledger.record(conversion(key)).new)
        except LedgerUnavailable as e:
            results.append(e)

    for key in ("acme", "bolt", "corp"):
        any_ledger.record(conversion(key), skipped=True, reason="vetoed")
        threads = [threading.Thread(target=record, args=(key,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert any_ledger.get(key).status is Status.PENDING
    assert sorted(map(str, results)) == ["False"] * 15 + ["True"] * 3


@pytest.fixture(params=sorted(SERVERS))
def shared(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Database]:
    """A database that many hosts share."""
    database = Database(servers.empty(request.param), embedded=False)
    database.migrate()
    yield database
    database.close()


@pytest.mark.parametrize("minutes", [-10, 10])
def test_no_hosts_clock_says_when_it_is_due(
    shared: Database, conversion: Make, minutes: int
) -> None:
    """Recorded, and asked again, on a host whose clock is wrong: due at once by the database's."""

    def clock() -> datetime:
        return utcnow() + timedelta(minutes=minutes)

    wrong, right = (Ledger(shared, lease=HOUR, clock=clock) for clock in (clock, utcnow))
    recorded = [wrong.record(conversion("acme")).entry]
    wrong.record(conversion("bolt"), skipped=True, reason="vetoed")
    recorded += [wrong.record(conversion("bolt")).entry]
    with create_engine(shared.url).connect() as conn, conn.begin():
        recorded += [wrong.record_in(conn, conversion("corp")).entry]
    conn.engine.dispose()
    assert recorded == [right.get(key) for key in ("acme", "bolt", "corp")]
    assert all(abs(right.now() - (entry.due_at or PAST)) < HOUR / 10 for entry in recorded)
    assert len(right.claim(5)) == 3


#: Constraints of an app's own that only the first customer meets.
CONSTRAINTS = (
    "ALTER TABLE partnerstack_entry ADD COLUMN own INTEGER CHECK (customer_key = 'acme')",
    "CREATE UNIQUE INDEX own ON partnerstack_entry (xid)",
)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_a_constraint_of_the_apps_own_is_told_in_its_words(
    any_ledger: Ledger, conversion: Make, constraint: str
) -> None:
    """That it is broken says nothing of the customer key; who has an entry keeps theirs."""
    first = any_ledger.record(conversion("acme")).entry
    with any_ledger.storage.write() as conn:
        conn.execute(text(constraint))
    with pytest.raises(LedgerUnavailable) as raised:
        any_ledger.record(conversion("globex"))
    assert re.search("constraint|duplicate", raised.value.reason, re.IGNORECASE)
    assert any_ledger.record(conversion("acme")).entry == first
    assert any_ledger.entries() == [first]


@pytest.mark.parametrize("words", ["x" * 1001, "\x00 in it", "\ud800 in it"])
def test_words_that_no_column_takes_cost_no_attempt(
    any_ledger: Ledger, conversion: Make, words: str
) -> None:
    """They may be a stranger's: written as far as they can be, or the entry would be unclear."""
    any_ledger.record(conversion(), reason=words)
    (claim,) = any_ledger.claim(1)
    any_ledger.count_attempt(claim)
    attempt = Attempt(judged=Judgement.NOT_SENT, reason=words, answer=words)
    entry = any_ledger.bury(claim, reason=f"given up: {words}", attempt=attempt)
    assert entry is not None
    assert (entry.reason or "").startswith("given up: ")
    (line,) = any_ledger.trail(entry)
    assert line.reason == line.answer
    assert line.reason[1:] == words[1:1000]


def triggers(dialect: str, *, postgresql: str) -> list[str]:
    """Return what makes the table refuse each row, on PostgreSQL by doing as told."""
    on_insert = "CREATE TRIGGER no BEFORE INSERT ON partnerstack_entry"
    says_no = "SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1048, MESSAGE_TEXT = 'not today'"
    function = f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS '{postgresql}'"
    return {
        "sqlite": [f"{on_insert} BEGIN SELECT RAISE(ABORT, 'not today'); END"],
        "mysql": [f"{on_insert} FOR EACH ROW {says_no}"],
        "postgresql": [function, f"{on_insert} FOR EACH ROW EXECUTE FUNCTION no()"],
    }[dialect]


def test_a_trigger_of_the_apps_own_is_told_in_its_words(
    any_ledger: Ledger, conversion: Make
) -> None:
    """What it says is in the error, and nobody is recorded."""
    says_no = "BEGIN RAISE check_violation USING MESSAGE = $$not today$$; END"
    assert any_ledger.entries() == []
    with any_ledger.storage.write() as conn:
        for statement in triggers(conn.dialect.name, postgresql=says_no):
            conn.execute(text(statement))
    with pytest.raises(LedgerUnavailable, match="not today"):
        any_ledger.record(conversion("acme"))
    assert any_ledger.entries() == []


def test_a_trigger_that_says_nothing_is_asked_for(servers: Servers, conversion: Make) -> None:
    """On PostgreSQL it may keep a row out without an error; ours has the question to ask then."""
    database = Database(servers.empty("postgresql"), embedded=False)
    database.migrate()
    with database.write() as conn:
        for statement in triggers("postgresql", postgresql="BEGIN RETURN NULL; END"):
            conn.execute(text(statement))
    with pytest.raises(LedgerUnavailable, match="does a trigger keep it out"):
        Ledger(database, lease=HOUR).record(conversion("acme"))
    database.close()


@pytest.mark.parametrize("other", ["acme", "Acme ", "ACME", "Ácme"])
def test_customer_keys_are_exact(any_ledger: Ledger, conversion: Make, other: str) -> None:
    """Keys that differ in a letter's case, an accent or a space are different customers."""
    any_ledger.record(conversion("Acme"))
    assert any_ledger.record(conversion(other)).new
    assert any_ledger.get(other).customer_key == other


def test_a_long_key_with_any_letters_comes_back(any_ledger: Ledger, conversion: Make) -> None:
    """512 characters of any alphabet are a customer key."""
    key = "客户🚀" * 170
    any_ledger.record(conversion(key))
    assert any_ledger.get(key).customer_key == key


def test_a_claim_belongs_to_one(any_ledger: Ledger, conversion: Make) -> None:
    """What is claimed is not claimed again while the lease lasts."""
    any_ledger.record(conversion())
    assert len(any_ledger.claim(10)) == 1
    assert any_ledger.claim(10) == []


def test_claims_are_bounded_and_oldest_first(any_ledger: Ledger, conversion: Make) -> None:
    """A claimer gets as many as it asked for, the longest due first."""
    for number in range(5):
        any_ledger.record(conversion(f"customer {number}"))
    keys = [claim.entry.customer_key for claim in any_ledger.claim(3)]
    assert keys == ["customer 0", "customer 1", "customer 2"]


def test_claimers_at_the_same_time_share_nothing(any_ledger: Ledger, conversion: Make) -> None:
    """Eight claimers at once get forty entries between them, each once."""
    for _ in range(40):
        any_ledger.record(conversion())
    got: list[int] = []

    def take() -> None:
        while claims := any_ledger.claim(3):
            got.extend(claim.entry.id for claim in claims)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted({entry.id for entry in any_ledger.entries()})


def test_recording_one_key_from_many_threads(any_ledger: Ledger, conversion: Make) -> None:
    """Eight threads that record one customer at once leave one entry, and none fails."""
    start = threading.Barrier(8)
    new: list[bool] = []

    def record() -> None:
        start.wait()
        new.append(any_ledger.record(conversion("acme")).new)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 7 + [True]


def test_an_attempt_is_counted_before_the_send(any_ledger: Ledger, conversion: Make) -> None:
    """Counting an attempt shows at once, and marks the claim as under way."""
    any_ledger.record(conversion("acme"))
    assert any_ledger.count_attempt(claimed(any_ledger))
    assert any_ledger.get("acme").attempts == 1


def test_a_settled_entry_is_not_due_again(any_ledger: Ledger, conversion: Make) -> None:
    """Delivered: with its time, its line in the trail, and nothing more to do."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    any_ledger.count_attempt(claim)
    entry = any_ledger.settle(claim, Status.DELIVERED, TAKEN)
    assert entry is not None
    assert (entry.status, entry.due_at) == (Status.DELIVERED, None)
    assert entry.settled_at is not None
    assert [attempt.judged for attempt in any_ledger.trail(entry)] == [Judgement.ACCEPTED]
    assert any_ledger.outlook().due_in is None


DELIVERED = Verdict(after=Status.DELIVERED, attempt=TAKEN)


def test_an_end_and_a_beginning_are_one_step(any_ledger: Ledger, conversion: Make) -> None:
    """One entry is settled; the next is ours, as it was before, and its attempt is counted."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    entry, following = any_ledger.leave_for_next(claimed(any_ledger), DELIVERED)
    assert entry is not None
    assert following is not None
    assert (entry.customer_key, entry.status) == ("acme", Status.DELIVERED)
    before = following.entry
    assert (before.customer_key, before.attempts, following.interrupted) == ("globex", 0, False)
    assert any_ledger.get("globex").attempts == 1
    assert any_ledger.claim(1) == []


def test_the_following_claim_is_left_like_any_other(any_ledger: Ledger, conversion: Make) -> None:
    """Both are delivered, once each, and nothing is left to do."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    _, following = any_ledger.leave_for_next(claimed(any_ledger), DELIVERED)
    assert following is not None
    entry, nobody = any_ledger.leave_for_next(following, DELIVERED)
    assert entry is not None
    assert (entry.status, entry.attempts, nobody) == (Status.DELIVERED, 1, None)
    assert any_ledger.outlook().due_in is None


def test_all_that_came_of_it_is_written(any_ledger: Ledger, conversion: Make) -> None:
    """When it is looked up, when it was settled, and one line in the trail, with the answer."""
    any_ledger.record(conversion("acme"))
    verdict = Verdict(after=Status.DELIVERED, due_in=timedelta(hours=1), attempt=REFUSED, unclear=1)
    entry, following = any_ledger.leave_for_next(claimed(any_ledger), verdict)
    assert entry == any_ledger.get("acme")
    assert (entry.status, entry.reason, following) == (Status.DELIVERED, None, None)
    assert entry.due_at is not None
    assert entry.settled_at == entry.due_at - timedelta(hours=1)
    (line,) = any_ledger.trail(entry)
    assert (line.judged, line.status, line.reason) == (Judgement.REFUSED, 503, "HTTP 503")
    assert (line.answer, line.at) == ("later", entry.settled_at)


def test_an_end_needs_no_line(any_ledger: Ledger, conversion: Make) -> None:
    """What was not tried leaves nothing in the trail, and the next is taken all the same."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    parked = Verdict(after=Status.PENDING, reason="testing")
    entry, following = any_ledger.leave_for_next(claimed(any_ledger), parked)
    assert entry is not None
    assert (entry.reason, entry.settled_at, any_ledger.trail(entry)) == ("testing", None, [])
    assert following is not None


@pytest.fixture
def overtaken(
    any_ledger: Ledger, conversion: Make, pass_lease: Callable[[], None]
) -> tuple[Claim, Claim]:
    """A claim on "acme" whose lease ran out, and that of whoever has it now."""
    any_ledger.record(conversion("acme"))
    late = claimed(any_ledger)
    pass_lease()
    return late, claimed(any_ledger)


def test_an_end_that_comes_too_late_is_somebody_elses(
    any_ledger: Ledger, overtaken: tuple[Claim, Claim]
) -> None:
    """Under a lost lease nothing is changed, but what was tried is in the trail."""
    late, owner = overtaken
    buried = Verdict(after=Status.DEAD, reason="late", attempt=REFUSED)
    assert any_ledger.leave_for_next(late, buried)[0] is None
    assert len(any_ledger.trail(any_ledger.get("acme"))) == 1
    assert any_ledger.count_attempt(owner)


def test_that_it_was_taken_is_written_however_late(
    any_ledger: Ledger, overtaken: tuple[Claim, Claim]
) -> None:
    """Under a lost lease, too: whoever has it by then must not send it again."""
    late, owner = overtaken
    entry, _ = any_ledger.leave_for_next(late, DELIVERED)
    assert entry is not None
    assert entry.status is Status.DELIVERED
    assert not any_ledger.count_attempt(owner)


def test_an_end_is_written_once_though_no_word_of_it_comes(
    any_ledger: Ledger,
    conversion: Make,
    pass_lease: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut off after it was committed: one line in the trail; what was taken next comes back."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    claim = claimed(any_ledger)
    any_ledger.count_attempt(claim)
    monkeypatch.setattr(any_ledger, "_leave_for_next", cut_off_after(any_ledger._leave_for_next))
    entry, following = any_ledger.leave_for_next(claim, DELIVERED)
    assert entry is not None
    assert (entry.status, following) == (Status.DELIVERED, None)
    assert len(any_ledger.trail(entry)) == 1
    pass_lease()
    assert claimed(any_ledger).interrupted


def cut_off_after(act: Callable[..., object]) -> Callable[..., None]:
    def cut_off(*of: object) -> None:
        act(*of)
        raise LedgerUnavailable("here", "the connection was lost")

    return cut_off


def test_senders_at_the_same_time_share_nothing(any_ledger: Ledger, conversion: Make) -> None:
    """Each entry is claimed, counted, settled and told of once, whoever goes on with it."""
    for _ in range(40):
        any_ledger.record(conversion())
    first = any_ledger.claim(4)
    threads = [threading.Thread(target=go_on, args=(any_ledger, claim)) for claim in first]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled = any_ledger.entries(limit=100)
    assert {(entry.status, entry.attempts) for entry in settled} == {(Status.DELIVERED, 1)}
    assert {len(any_ledger.trail(entry)) for entry in settled} == {1}


def go_on(ledger: Ledger, claim: Claim) -> None:
    following: Claim | None = claim if ledger.count_attempt(claim) else None
    while following is not None:
        _, following = ledger.leave_for_next(following, DELIVERED)


def test_nothing_follows_while_delivery_is_paused(any_ledger: Ledger, conversion: Make) -> None:
    """The end is written; the next waits for the pause to end."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    claim = claimed(any_ledger)
    any_ledger.begin_pause(Cause.DENIED, "HTTP 401")
    entry, following = any_ledger.leave_for_next(claim, DELIVERED)
    assert entry is not None
    assert (entry.status, following) == (Status.DELIVERED, None)
    assert any_ledger.get("globex").attempts == 0


def test_what_was_interrupted_does_not_follow(
    any_ledger: Ledger, conversion: Make, pass_lease: Callable[[], None]
) -> None:
    """What may have been taken is looked at first, and not sent in passing."""
    any_ledger.record(conversion("acme"))
    any_ledger.count_attempt(claimed(any_ledger))
    pass_lease()
    any_ledger.record(conversion("globex"))
    (claim,) = any_ledger.claim_one(any_ledger.get("globex").id)
    _, following = any_ledger.leave_for_next(claim, DELIVERED)
    assert following is None
    assert any_ledger.get("acme").attempts == 1


def test_a_claim_is_renewed_by_its_owner_only(
    any_ledger: Ledger, conversion: Make, pass_lease: Callable[[], None]
) -> None:
    """Before its lease runs out it lasts longer; when it is somebody else's, it is said to be."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    assert any_ledger.renew(claim)
    pass_lease()
    assert claimed(any_ledger)
    assert not any_ledger.renew(claim)


def test_a_postponed_entry_is_due_later(any_ledger: Ledger, conversion: Make) -> None:
    """Postponed: pending still, with the reason, and due when it was said."""
    any_ledger.record(conversion("acme"))
    claim = claimed(any_ledger)
    entry = any_ledger.postpone(claim, timedelta(hours=1), reason="HTTP 503", attempt=REFUSED)
    assert entry is not None
    assert (entry.status, entry.reason) == (Status.PENDING, "HTTP 503")
    assert 3540.0 < (any_ledger.outlook().due_in or 0.0) <= 3600.0
    (attempt,) = any_ledger.trail(entry)
    assert (attempt.status, attempt.answer) == (503, "later")


def test_a_buried_entry_keeps_its_reason(any_ledger: Ledger, conversion: Make) -> None:
    """Dead: kept, with why, and left alone."""
    any_ledger.record(conversion("acme"))
    any_ledger.bury(claimed(any_ledger), reason="rejected: HTTP 400")
    entry = any_ledger.get("acme")
    assert (entry.status, entry.reason, entry.due_at) == (Status.DEAD, "rejected: HTTP 400", None)


def test_a_dead_entry_can_be_requeued(any_ledger: Ledger, conversion: Make) -> None:
    """Requeued: pending and due now, the trail and the attempts kept."""
    any_ledger.record(conversion("acme"))
    any_ledger.bury(claimed(any_ledger), reason="rejected", attempt=REFUSED)
    entry = any_ledger.requeue("acme")
    assert (entry.status, entry.reason) == (Status.PENDING, None)
    assert len(any_ledger.trail(entry)) == 1
    assert claimed(any_ledger).entry.customer_key == "acme"


def test_a_parked_entry_waits_for_a_person(any_ledger: Ledger, conversion: Make) -> None:
    """Parked: pending, with why, not due; a requeue makes it due."""
    any_ledger.record(conversion("acme"))
    any_ledger.park(claimed(any_ledger), reason="testing")
    assert any_ledger.outlook().due_in is None
    assert any_ledger.get("acme").reason == "testing"
    assert any_ledger.requeue("acme").due_at is not None


def test_what_has_its_time_is_not_requeued(any_ledger: Ledger, conversion: Make) -> None:
    """A pending entry waits for what it was told to wait for, whoever asks."""
    any_ledger.record(conversion("acme"))
    any_ledger.postpone(claimed(any_ledger), timedelta(hours=1), reason="HTTP 502", unclear=1)
    before = any_ledger.get("acme")
    with pytest.raises(IllegalTransition, match="pending until its time comes"):
        any_ledger.requeue("acme")
    assert any_ledger.get("acme") == before


def test_a_delivered_entry_is_never_requeued(any_ledger: Ledger, conversion: Make) -> None:
    """What PartnerStack took cannot be sent again, whoever asks."""
    any_ledger.record(conversion("acme"))
    any_ledger.settle(claimed(any_ledger), Status.DELIVERED, TAKEN)
    with pytest.raises(IllegalTransition, match="delivered cannot become pending"):
        any_ledger.requeue("acme")


def test_an_unknown_customer_is_said(any_ledger: Ledger) -> None:
    """Looking for a customer that was never recorded names the key."""
    with pytest.raises(EntryNotFound, match="'nobody'"):
        any_ledger.get("nobody")
    with pytest.raises(EntryNotFound, match="'nobody'"):
        any_ledger.requeue("nobody")


def test_counts_add_up(any_ledger: Ledger, conversion: Make) -> None:
    """The counts of the states add up to what was recorded."""
    for _ in range(4):
        any_ledger.record(conversion())
    any_ledger.settle(claimed(any_ledger), Status.DELIVERED, TAKEN)
    any_ledger.bury(claimed(any_ledger), reason="rejected")
    counts = any_ledger.counts()
    assert sum(counts.values()) == 4
    assert (counts[Status.PENDING], counts[Status.DELIVERED], counts[Status.DEAD]) == (2, 1, 1)


def test_entries_are_listed_newest_first(any_ledger: Ledger, conversion: Make) -> None:
    """Entries come newest first, by state and partner, a page at a time."""
    for number in range(3):
        any_ledger.record(conversion(f"c{number}", partner_key="ann" if number else "bob"))
    newest, older = any_ledger.entries(partner_key="ann")
    assert (newest.customer_key, older.customer_key) == ("c2", "c1")
    assert [e.customer_key for e in any_ledger.entries(before_id=newest.id, limit=1)] == ["c1"]
    assert any_ledger.entries(status=Status.DEAD) == []


def test_the_oldest_pending_is_known(any_ledger: Ledger, conversion: Make) -> None:
    """The ledger says since when somebody waits for their credit."""
    assert any_ledger.oldest_pending() is None
    first = any_ledger.record(conversion()).entry
    any_ledger.record(conversion())
    assert any_ledger.oldest_pending() == first.recorded_at


def test_making_the_tables_twice_changes_nothing(any_ledger: Ledger, conversion: Make) -> None:
    """``init-db`` on a ledger in use leaves it as it is."""
    any_ledger.record(conversion("acme"))
    assert any_ledger.init() == 1
    assert any_ledger.get("acme").status is Status.PENDING


def test_a_ledger_keeps_its_name(any_ledger: Ledger, tmp_path: Path) -> None:
    """Whoever asks, and however often; another one has another."""
    again = Ledger(any_ledger.storage, lease=HOUR)
    other = Database(URL.create("sqlite", database=str(tmp_path / "other")), embedded=True)
    names = [any_ledger.name(), again.name(), any_ledger.name()]
    assert len(set(names)) == 1
    assert Ledger(other, lease=HOUR).name() not in names
    other.close()
