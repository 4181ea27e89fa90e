"""Taking every entry from one ledger to another: nothing stranded, nothing doubled."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerMoved
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Move
from flask_partnerstack.ledger import Moved
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import merging
from flask_partnerstack.ledger import moving
from flask_partnerstack.ledger import open_source
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.facts import write_fact
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from tests.kit import ScriptedTransport
from tests.ledger.conftest import LEASE
from tests.servers import SERVERS
from tests.servers import Servers

Make = Callable[..., Conversion]
Open = Callable[[URL], Ledger]

HOUR = timedelta(hours=1)
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200, answer="{}")
REFUSED = Attempt(judged=Judgement.REFUSED, reason="HTTP 503", status=503, answer="later")
UNCLEAR = Attempt(judged=Judgement.UNCLEAR, reason="HTTP 500", status=500)


@pytest.fixture
def open_ledger() -> Iterator[Open]:
    """Return what opens ledgers, and makes their tables."""
    with contextlib.ExitStack() as stack:

        def open_ledger(url: URL) -> Ledger:
            database = Database(url, embedded=False)
            stack.callback(database.close)
            ledger = Ledger(database, lease=LEASE)
            ledger.init()
            return ledger

        yield open_ledger


@pytest.fixture
def old(tmp_path: Path, open_ledger: Open) -> Ledger:
    """The SQLite file of the first day."""
    return open_ledger(make_url(f"sqlite:///{tmp_path}/old.db"))


@pytest.fixture
def new(tmp_path: Path, open_ledger: Open) -> Ledger:
    """Another file, where it does not matter what it is."""
    return open_ledger(make_url(f"sqlite:///{tmp_path}/new.db"))


@pytest.fixture(params=["sqlite", *SERVERS])
def any_new(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Servers, open_ledger: Open
) -> Ledger:
    """Whatever a ledger may move to."""
    on_server = request.param in SERVERS
    url = f"sqlite:///{tmp_path}/new.db"
    return open_ledger(servers.empty(request.param) if on_server else make_url(url))


def claimed(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim(1)
    return claim


def settle(ledger: Ledger) -> None:
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    ledger.settle(claim, Status.DELIVERED, TAKEN)


def postpone(ledger: Ledger, attempt: Attempt = REFUSED, *, unclear: int = 0) -> None:
    claim = claimed(ledger)
    ledger.count_attempt(claim)
    ledger.postpone(claim, HOUR, reason=attempt.reason, attempt=attempt, unclear=unclear)


def facts_of(ledger: Ledger, key: str) -> dict[str, object]:
    """All that is known of a customer, but what is each ledger's own."""
    entry = ledger.get(key)
    with ledger.storage.read() as conn:
        row = conn.execute(entries.select().where(entries.c.id == entry.id)).one()
    own = ("id", "lease", "due_at", "scheduled_at", "first_attempt_at")
    known = {name: value for name, value in row._mapping.items() if name not in own}
    return {**known, "trail": ledger.trail(entry)}


def set_columns(ledger: Ledger, key: str, **values: object) -> None:
    with ledger.storage.write() as conn:  # behind the ledger's back, as only a clock can
        mine = entries.update().where(entries.c.customer_key == key)
        conn.execute(mine, values)


def pause_of(ledger: Ledger) -> Cause | None:
    pause = ledger.outlook().pause
    return None if pause is None else pause.cause


def test_what_may_be_taken_does_not_give_way_to_the_dead(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """A customer who was turned away in the old ledger is on the way in the new one."""
    old.record(conversion("acme"))
    old.bury(claimed(old), reason="rejected: HTTP 404", attempt=REFUSED)
    any_new.record(conversion("acme", xid="AnotherClick12"))
    claim = claimed(any_new)
    any_new.count_attempt(claim)
    Move(old, any_new).run()
    assert any_new.settle(claim, Status.DELIVERED, TAKEN) is not None
    found = any_new.get("acme")
    assert (found.status, found.xid) == (Status.DELIVERED, "AnotherClick12")


def record_each_kind(ledger: Ledger, conversion: Make) -> list[str]:
    """Record a customer of every kind, and return their keys, which say what became of them."""
    fates: dict[str, Callable[[], object]] = {
        "delivered": lambda: settle(ledger),
        "dead": lambda: ledger.bury(claimed(ledger), reason="rejected", attempt=REFUSED),
        "postponed": lambda: postpone(ledger),
        "parked": lambda: ledger.park(claimed(ledger), reason="testing"),
        "new": lambda: None,
    }
    for key, befall in fates.items():
        ledger.record(conversion(key, email="jo@acme.com", meta={"plan": "pro"}, partner_key="añn"))
        befall()
    return list(fates)


# --- what goes along ------------------------------------------------------------------------------


def test_every_entry_goes_with_state_and_trail(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """Entries of every kind are there as they were in the old ledger, to the microsecond."""
    keys = record_each_kind(old, conversion)
    before = {key: facts_of(old, key) for key in keys}
    moved = Move(old, any_new).run()
    assert moved == Moved(copied=5)
    assert {key: facts_of(any_new, key) for key in keys} == before
    assert any_new.counts() == old.counts()


def test_what_was_due_is_due_in_the_new_ledger(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """What waited can be claimed there, and what was parked waits for a person there, too."""
    record_each_kind(old, conversion)
    Move(old, any_new).run()
    keys = [claim.entry.customer_key for claim in any_new.claim(10)]
    assert sorted(keys) == ["new", "postponed"]
    assert pause_of(any_new) is None


def test_running_it_again_changes_nothing(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """A second move copies nothing, and no line of a trail twice."""
    keys = record_each_kind(old, conversion)
    Move(old, any_new).run()
    before = {key: facts_of(any_new, key) for key in keys}
    assert Move(old, any_new).run() == Moved()
    assert {key: facts_of(any_new, key) for key in keys} == before


def test_what_came_since_is_moved_by_the_second_run(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """An old process goes on recording; the next move brings only that."""
    record_each_kind(old, conversion)
    Move(old, any_new).run()
    old.record(conversion("late"))
    assert Move(old, any_new).run() == Moved(copied=1)
    assert any_new.get("late").status is Status.PENDING


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_can_be_left_again(
    old: Ledger, open_ledger: Open, servers: Servers, conversion: Make, kind: str
) -> None:
    """There and back: what happened meanwhile comes home, and the first ledger delivers again."""
    other = open_ledger(servers.empty(kind))
    record_each_kind(old, conversion)
    Move(old, other).run()
    other.requeue("dead")
    for _ in range(3):
        settle(other)
    assert Move(other, old).run().updated == 5
    assert (pause_of(old), pause_of(other)) == (None, Cause.MOVED)
    assert old.counts() == other.counts()
    assert old.counts()[Status.DELIVERED] == 4


def test_more_than_one_batch_is_moved_in_order(
    old: Ledger, any_new: Ledger, conversion: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new ledger lists them as the old one did, whatever the size of a batch."""
    monkeypatch.setattr(moving, "BATCH", 3)
    for number in range(10):
        old.record(conversion(f"customer {number}"))
    seen: list[int] = []
    Move(old, any_new, tell=lambda moved: seen.append(moved.copied)).run()
    assert seen == [3, 6, 9, 10]
    assert [e.customer_key for e in any_new.entries()] == [e.customer_key for e in old.entries()]


def test_what_was_learnt_of_partnerstack_goes_along(old: Ledger, any_new: Ledger) -> None:
    """Key pairs that find our customers are known there; what it has learnt itself stays."""
    old.note_found("pk_old", took=HOUR, late=True)
    any_new.note_unclear_miss()
    old.note_unclear_miss()
    old.note_unclear_miss()
    Move(old, any_new).run()
    assert any_new.knows_pair("pk_old")
    assert any_new.read_back() == HOUR
    assert any_new.unclear_misses() == 1


def test_a_name_stays_with_its_ledger(old: Ledger, any_new: Ledger) -> None:
    """A message about the old ledger's entry is not taken for one about the new one's."""
    name = old.name()
    Move(old, any_new).run()
    assert any_new.name() != name
    assert old.name() == name


def test_nobody_grows_older_on_the_way(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """A week between the old ledger's pause and the move is no reason to give an entry up."""
    old.record(conversion("acme"))
    postpone(old)
    week = timedelta(days=7)
    started = utcnow() - week
    set_columns(old, "acme", first_attempt_at=started - 2 * HOUR)
    old.begin_pause(Cause.DENIED, "HTTP 401")
    pause = old.outlook().pause
    assert pause is not None
    with old.storage.write() as conn:
        write_fact(conn, "pause", replace(pause, since=started).dumps())
    Move(old, any_new).run()
    age = any_new.age(claimed(any_new))
    assert timedelta(hours=1.9) < age < timedelta(hours=2.1)


# --- the same customer in both --------------------------------------------------------------------


def test_a_delivered_one_is_not_sent_again(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """Delivered by the old ledger, recorded anew in the new one: it is delivered, not due."""
    old.record(conversion("acme"))
    settle(old)
    any_new.record(conversion("acme"))
    assert Move(old, any_new).run() == Moved(updated=1)
    assert any_new.get("acme").status is Status.DELIVERED
    assert any_new.claim(1) == []
    assert [line.judged for line in any_new.trail(any_new.get("acme"))] == [Judgement.ACCEPTED]


def test_the_new_ledgers_entry_stays_when_it_is_further(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """Delivered by the new ledger, still pending in the old one: it stays delivered."""
    old.record(conversion("acme"))
    any_new.record(conversion("acme"))
    settle(any_new)
    assert Move(old, any_new).run() == Moved(there=1)
    assert any_new.get("acme").status is Status.DELIVERED


def test_an_unclear_one_stays_unclear(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """Of two pending ones the one that may have been taken stays, so that it is looked up first."""
    old.record(conversion("acme"))
    postpone(old, UNCLEAR, unclear=1)
    any_new.record(conversion("acme"))
    postpone(any_new)
    Move(old, any_new).run()
    assert facts_of(any_new, "acme")["unclear"] == 1
    assert any_new.claim(1) == []  # and it keeps its time


def test_whoever_was_erased_stays_erased(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """Erased in the new ledger, pending in the old one: not sent, and nothing comes back."""
    old.record(conversion("acme", email="jo@acme.com"))
    any_new.record(conversion("acme", email="jo@acme.com"))
    any_new.erase("acme")
    assert Move(old, any_new).run() == Moved(there=1)
    (entry,) = any_new.entries()
    assert (entry.status, entry.customer_key) == (Status.SKIPPED, "")


def test_an_erased_customer_is_credited_once(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """Delivered by the old ledger meanwhile: that is noted without a name, a key or an answer."""
    old.record(conversion("acme", email="jo@acme.com"))
    settle(old)
    any_new.record(conversion("acme", email="jo@acme.com"))
    any_new.erase("acme")
    assert Move(old, any_new).run() == Moved(updated=1)
    (entry,) = any_new.entries()
    assert (entry.status, entry.customer_key) == (Status.DELIVERED, "")
    assert "acme" not in any_new.conversion_of(entry).dumps()
    assert [line.answer for line in any_new.trail(entry)] == [""]
    assert not any_new.record(conversion("acme")).new


@pytest.mark.parametrize("kind", SERVERS)
def test_a_signup_at_the_same_moment_is_no_obstacle(
    old: Ledger,
    open_ledger: Open,
    servers: Servers,
    conversion: Make,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """The app records a customer between our look and our insert: both become one entry.

    On SQLite nobody can come in between.
    """
    other = open_ledger(servers.empty(kind))
    old.record(conversion("acme"))
    settle(old)
    look = merging._ids_of

    def look_too_early(conn: Connection, digests: Iterable[str]) -> dict[str, int]:
        found = look(conn, digests)
        monkeypatch.setattr(merging, "_ids_of", look)
        other.record(conversion("acme"))
        return found

    monkeypatch.setattr(merging, "_ids_of", look_too_early)
    assert Move(old, other).run() == Moved(updated=1)
    assert [entry.status for entry in other.entries()] == [Status.DELIVERED]


# --- what is under way ----------------------------------------------------------------------------


def test_a_constraint_of_the_apps_own_is_told_in_its_words(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """It is no signup at the same moment: whoever moves hears what the database has against it."""
    old.record(conversion("globex"))
    with any_new.storage.write() as conn:
        conn.exec_driver_sql(
            "ALTER TABLE partnerstack_entry ADD COLUMN own INTEGER CHECK (customer_key = 'acme')"
        )
    with pytest.raises(LedgerUnavailable) as raised:
        Move(old, any_new).run()
    assert "constraint" in raised.value.reason.lower()


def test_an_old_claim_sends_nothing_any_more(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """Claimed before the move, counted after it: the attempt is refused, so nothing is sent."""
    old.record(conversion("acme"))
    claim = claimed(old)
    Move(old, any_new).run()
    assert not old.count_attempt(claim)
    assert claimed(any_new).entry.customer_key == "acme"


def test_an_old_process_claims_nothing_that_went(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """One that looked before the pause and claims after the move gets nothing."""
    old.record(conversion("acme"))
    Move(old, any_new).run()
    assert old.claim(10) == []
    assert old.claim_probe(mark="new") == []


def test_a_send_under_way_is_waited_for(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """It is copied when it is settled, and as delivered."""
    old.record(conversion("acme"))
    claim = claimed(old)
    old.count_attempt(claim)

    def tell(moved: Moved) -> None:
        if moved.sending:
            old.settle(claim, Status.DELIVERED, TAKEN)

    assert Move(old, any_new, tell=tell).run() == Moved(copied=1)
    assert any_new.get("acme").status is Status.DELIVERED


def test_a_send_that_was_cut_off_is_unclear(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """Its lease ran out while it was sent: the new ledger knows that it may have been taken."""
    old.record(conversion("acme"))
    old.count_attempt(claimed(old))
    set_columns(old, "acme", due_at=utcnow() - HOUR)
    Move(old, any_new).run()
    assert claimed(any_new).interrupted


def test_an_answer_that_comes_too_late_comes_along(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """A process that was frozen past its lease settles after the move: the next one brings it."""
    old.record(conversion("acme"))
    claim = claimed(old)
    old.count_attempt(claim)
    set_columns(old, "acme", due_at=utcnow() - HOUR)
    Move(old, any_new).run()
    old.settle(claim, Status.DELIVERED, TAKEN)
    assert Move(old, any_new).run() == Moved(updated=1)
    assert any_new.get("acme").status is Status.DELIVERED


def test_a_move_that_is_cut_off_goes_on(
    old: Ledger, any_new: Ledger, conversion: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at any of its steps, again and again: in the end each entry is there once."""
    monkeypatch.setattr(moving, "BATCH", 2)
    for number in range(9):
        old.record(conversion(f"customer {number}"))
        postpone(old)
    for name in ("_take", "_write", "_mark", "_take", "_write", "_mark"):
        for stop in (_before, _after):
            with monkeypatch.context() as patch:
                patch.setattr(Move, name, stop(getattr(Move, name)))
                with pytest.raises(KeyboardInterrupt):
                    Move(old, any_new).run()
            old.record(conversion(f"customer {sum(old.counts().values())}"))
    Move(old, any_new).run()
    assert any_new.counts() == old.counts()
    assert all(len(any_new.trail(any_new.get(f"customer {n}"))) == 1 for n in range(9))
    assert len(any_new.claim(100)) == 21


def _before(step: Callable[..., object]) -> Callable[..., object]:
    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    return stop


def _after(step: Callable[..., object]) -> Callable[..., object]:
    def stop(*arguments: object) -> object:
        step(*arguments)
        raise KeyboardInterrupt

    return stop


# --- pauses ---------------------------------------------------------------------------------------


def test_the_old_ledger_delivers_nothing_for_ever(
    old: Ledger,
    new: Ledger,
    conversion: Make,
    transport: ScriptedTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An old process records on, sends nothing, waits for nothing, and says so once."""
    Move(old, new).run()
    old.record(conversion("late"))
    settings = Settings.from_mapping({"PARTNERSTACK_TOKEN": "t0ken"})
    dispatcher = Dispatcher(settings, old, Client(settings, transport))
    with caplog.at_level(logging.ERROR):
        assert (dispatcher.run_pass(), dispatcher.run_pass(), dispatcher.next_due()) == (0, 0, None)
    assert transport.requests == []
    (message,) = caplog.messages
    assert f"moved to {new.location}" in message


def test_a_requeue_in_the_old_ledger_is_refused(
    old: Ledger, any_new: Ledger, conversion: Make
) -> None:
    """It would change nothing: the entry's new ledger never hears of it."""
    old.record(conversion("acme"))
    old.bury(claimed(old), reason="rejected", attempt=REFUSED)
    Move(old, any_new).run()
    for requeue in (lambda: old.requeue("acme"), lambda: old.requeue_all()):
        with pytest.raises(LedgerMoved) as caught:
            requeue()
        assert (caught.value.ledger, any_new.location in caught.value.reason) == (
            old.location,
            True,
        )
    assert old.get("acme").status is Status.DEAD


@pytest.mark.parametrize("befall", [settle, postpone], ids=["delivered", "due later"])
def test_an_erasure_in_the_old_ledger_is_no_whole_one(
    old: Ledger, any_new: Ledger, conversion: Make, befall: Callable[[Ledger], None]
) -> None:
    """What is there is erased, and whoever asked is told to erase in the new one, too."""
    old.record(conversion("acme", email="jo@acme.com"))
    befall(old)
    Move(old, any_new).run()
    with pytest.raises(LedgerMoved, match="erased here only"):
        old.erase("acme")
    assert old.get("acme").customer_key == ""
    assert Move(old, any_new).run().copied == 0
    assert any_new.erase("acme").customer_key == ""


def test_no_other_pause_begins_or_ends_in_the_old_ledger(old: Ledger, new: Ledger) -> None:
    """A last send that fails, or a last probe that succeeds, does not wake it."""
    Move(old, new).run()
    assert not old.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    assert old.end_pause() is None
    assert pause_of(old) is Cause.MOVED


def test_the_new_ledger_pauses_while_entries_arrive(
    old: Ledger, new: Ledger, conversion: Make, transport: ScriptedTransport
) -> None:
    """A site that is open there already sends nothing meanwhile, and everything afterwards."""
    old.record(conversion("acme"))
    new.record(conversion("globex"))
    settings = Settings.from_mapping({"PARTNERSTACK_TOKEN": "t0ken"})
    dispatcher = Dispatcher(settings, new, Client(settings, transport))
    Move(old, new, tell=lambda _moved: dispatcher.run_pass()).run()
    assert transport.requests == []
    assert dispatcher.run_pass() == 2


def test_a_killed_move_pauses_nobody_for_long(
    old: Ledger, new: Ledger, conversion: Make, transport: ScriptedTransport
) -> None:
    """Without a word from it for half a minute the new ledger delivers what it has."""
    new.record(conversion("globex"))
    moving._begin(new, Cause.MOVING, "on their way", lasts=timedelta(0))
    settings = Settings.from_mapping({"PARTNERSTACK_TOKEN": "t0ken"})
    assert Dispatcher(settings, new, Client(settings, transport)).run_pass() == 1


def test_a_ledger_that_is_moved_back_into_is_at_rest(
    old: Ledger, any_new: Ledger, conversion: Make, tmp_path: Path, open_ledger: Open
) -> None:
    """What went to another ledger is nothing to do in the one it left, when that is used again."""
    old.record(conversion())
    Move(old, any_new).run()
    third = open_ledger(make_url(f"sqlite:///{tmp_path}/third.db"))
    Move(third, old).run()
    assert old.outlook().due_in is None
    assert old.overdue() == timedelta(0)
    assert old.claim(1) == []


def test_two_moves_at_once_take_turns(old: Ledger, any_new: Ledger, conversion: Make) -> None:
    """The second waits for the first, and finds nothing left."""
    old.record(conversion("acme"))
    seconds: list[Moved] = []
    second = threading.Thread(target=lambda: seconds.append(Move(old, any_new).run()))

    def tell(_moved: Moved) -> None:
        if not second.is_alive():
            second.start()

    assert Move(old, any_new, tell=tell).run() == Moved(copied=1)
    second.join()
    assert seconds == [Moved()]


# --- bad input ------------------------------------------------------------------------------------


def test_the_ledger_itself_is_refused(old: Ledger, tmp_path: Path, open_ledger: Open) -> None:
    """Moving a ledger to itself would end it; by whatever road it is named."""
    with pytest.raises(ConfigurationError, match="--from: it leads to the ledger that the app has"):
        Move(old, old).run()
    (tmp_path / "link.db").symlink_to(tmp_path / "old.db")
    linked = open_ledger(make_url(f"sqlite:///{tmp_path}/link.db"))
    with pytest.raises(ConfigurationError, match="--from: it leads to the ledger that the app has"):
        Move(linked, old).run()
    assert pause_of(old) is None


def test_a_ledger_that_went_elsewhere_is_refused(
    old: Ledger, new: Ledger, tmp_path: Path, open_ledger: Open, conversion: Make
) -> None:
    """The other one may have delivered; unless it is known to be gone."""
    third = open_ledger(make_url(f"sqlite:///{tmp_path}/third.db"))
    old.record(conversion("acme"))
    Move(old, new).run()
    with pytest.raises(ConfigurationError, match=r"--from: .* went to another ledger before") as e:
        Move(old, third).run()
    assert new.location in str(e.value)
    assert Move(old, third, anew=True).run() == Moved(copied=1)


def test_a_new_ledger_without_tables_names_the_command(
    old: Ledger, tmp_path: Path, conversion: Make
) -> None:
    """The source is untouched then, and delivers on."""
    target = Ledger(Database(make_url(f"sqlite:///{tmp_path}/x.db"), embedded=False), lease=LEASE)
    with pytest.raises(LedgerUnavailable, match="init-db"):
        Move(old, target).run()
    assert pause_of(old) is None


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped path is said, with --from, and leaves nothing behind."""
    with pytest.raises(ConfigurationError, match=r"--from: there is no file .*/oops\.db"):
        open_source("sqlite:///oops.db", str(tmp_path), lease=LEASE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "--from: expected a SQLAlchemy URL"),
        ("sqlite://", "--from: a ledger in memory"),
        ("oracle+nothing://host/db", "--from: no driver for oracle"),
        ("postgresql+psycopg://127.0.0.1:1/x", "--from: The ledger at .* cannot be used"),
        ("sqlite:///empty.db", "--from: there is no ledger at .*empty.db: it has none"),
        ("sqlite:///text.db", "--from: .* file is not a database"),
        ("sqlite:///newer.db", r"--from: .* \(version 99\) need a newer Flask-PartnerStack"),
    ],
)
def test_a_source_that_cannot_be_used_is_said(
    tmp_path: Path, open_ledger: Open, url: str, says: str
) -> None:
    """Each error names the option as it was typed, and what is wrong with it."""
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("This is no database, but it is long enough to be one." * 9)
    newer = open_ledger(make_url(f"sqlite:///{tmp_path}/newer.db"))
    with newer.storage.write() as conn:
        write_fact(conn, "schema_version", "99")
    with pytest.raises(ConfigurationError, match=says):
        open_source(url, str(tmp_path), lease=LEASE)
