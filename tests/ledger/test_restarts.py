"""A database server that is restarted under a ledger: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy import literal
from sqlalchemy import select

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Storage
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import entries
from tests.ledger.conftest import LEASE
from tests.ledger.restarted import RESTARTED
from tests.ledger.restarted import RestartedServer

Make = Callable[..., Conversion]

TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200, answer="{}")
GENTLY = pytest.mark.parametrize("gently", [True, False], ids=["in order", "at once"])
names = (f"ledger{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=list(RESTARTED))
def server(request: pytest.FixtureRequest) -> Iterator[RestartedServer]:
    """A server that nobody else has."""
    server = RESTARTED[request.param]()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def ledger(server: RestartedServer) -> Iterator[Ledger]:
    """A ledger of its own there."""
    yield from opened(Database(server.new_database(next(names)), embedded=False))


@pytest.fixture
def joined(server: RestartedServer) -> Iterator[Ledger]:
    """The ledger in an app's database, whose engine is the app's, and does not ask first."""
    engine = create_engine(server.new_database(next(names)))
    yield from opened(AppDatabase(lambda: engine))
    engine.dispose()


def opened(storage: Storage) -> Iterator[Ledger]:
    ledger = Ledger(storage, lease=LEASE)
    ledger.init()
    yield ledger
    storage.close()


@GENTLY
def test_the_next_call_works(
    server: RestartedServer, ledger: Ledger, conversion: Make, *, gently: bool
) -> None:
    """Connections that ended are noticed before they are used; a claim is held across it."""
    ledger.record(conversion("before"))
    (claim,) = ledger.claim(1)
    server.restart(gently=gently)
    assert ledger.record(conversion("after")).new
    assert not ledger.record(conversion("before")).new
    assert ledger.count_attempt(claim)
    ledger.settle(claim, Status.DELIVERED, TAKEN)
    assert [claim.entry.customer_key for claim in ledger.claim(2)] == ["after"]
    assert ledger.get("before").status is Status.DELIVERED


@GENTLY
def test_no_connection_is_used_that_ended(
    server: RestartedServer, ledger: Ledger, conversion: Make, *, gently: bool
) -> None:
    """However many are kept: whoever speaks at once after a restart is answered, every one."""
    speak_at_once(ledger)
    server.restart(gently=gently)
    speak_at_once(ledger)
    assert ledger.record(conversion("after")).new


def speak_at_once(ledger: Ledger) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            conn = stack.enter_context(ledger.storage.read())
            assert conn.scalar(select(literal(1))) == 1


@GENTLY
def test_an_end_is_written_over_a_connection_that_ended(
    server: RestartedServer, ledger: Ledger, conversion: Make, *, gently: bool
) -> None:
    """Nobody asks before; what fails is done again in the sure way, once, and nothing is lost."""
    for key in ("acme", "globex"):
        ledger.record(conversion(key))
    (claim,) = ledger.claim(1)
    ledger.count_attempt(claim)
    server.restart(gently=gently)
    entry, _ = ledger.leave_for_next(claim, Verdict(after=Status.DELIVERED, attempt=TAKEN))
    assert entry is not None
    assert (entry.status, entry.attempts, len(ledger.trail(entry))) == (Status.DELIVERED, 1, 1)
    assert ledger.get("globex").status is Status.PENDING


@GENTLY
def test_an_apps_database_refuses_nobody(
    server: RestartedServer, joined: Ledger, conversion: Make, *, gently: bool
) -> None:
    """Though its engine does not ask first: however many of the ledger's own are kept beside it."""
    joined.record(conversion("before"))
    speak_at_once(joined)
    server.restart(gently=gently)
    assert joined.record(conversion("after")).new
    speak_at_once(joined)
    assert {entry.customer_key for entry in joined.entries()} == {"before", "after"}
    assert len(joined.claim(5)) == 2


def test_a_transaction_that_is_cut_off_leaves_nothing(
    server: RestartedServer, ledger: Ledger, conversion: Make
) -> None:
    """It is refused with the ledger's own error, and is done whole by the next try."""
    row = new_row(conversion("acme"), utcnow(), None)

    def write() -> None:
        with ledger.storage.write() as conn:
            conn.execute(entries.insert(), row)
            server.restart(gently=False)

    with pytest.raises(LedgerUnavailable):
        write()
    assert ledger.counts()[Status.PENDING] == 0
    assert ledger.record(conversion("acme")).new


@GENTLY
def test_signups_and_deliveries_all_the_while(
    server: RestartedServer,
    ledger: Ledger,
    conversion: Make,
    say: Callable[[str], None],
    *,
    gently: bool,
) -> None:
    """Whoever was answered is there; whoever tries again is there once; each is settled once."""
    restarted = threading.Event()
    signups = Trying(lambda number: ledger.record(conversion(f"customer-{number}")), restarted)
    deliveries = Trying(lambda _number: deliver(ledger), restarted)
    for trying in (signups, deliveries):
        trying.start()
        trying.under_way.wait()
    server.restart(gently=gently)
    restarted.set()
    signups.join()
    deliveries.join()
    while deliver(ledger):
        pass
    wanted = {f"customer-{number}" for number in range(signups.done)}
    assert {entry.customer_key for entry in ledger.entries(limit=100_000)} == wanted
    left = [entry for entry in ledger.entries(limit=100_000) if entry.status is Status.PENDING]
    assert len(left) <= 1  # what a delivery held when it was cut off: due when its lease ends
    assert all(len(ledger.trail(entry)) <= 1 for entry in ledger.entries(limit=100_000))
    say(f"{signups.done} signups, {signups.refused} refusals, {deliveries.refused} of deliveries")


def deliver(ledger: Ledger) -> bool:
    """Settle what is due; say whether anything was."""
    claims = ledger.claim(1)
    for claim in claims:
        if ledger.count_attempt(claim):
            ledger.settle(claim, Status.DELIVERED, TAKEN)
    return bool(claims)


class Trying(threading.Thread):
    """Does something again and again, each until it is not refused, and twenty times more."""

    def __init__(self, act: Callable[[int], object], until: threading.Event) -> None:
        super().__init__()
        self.done = self.refused = 0
        self.under_way = threading.Event()
        self._act, self._until = act, until

    def run(self) -> None:
        more = 20
        while more > 0:
            more -= self._until.is_set()
            self._act_once()

    def _act_once(self) -> None:
        while True:
            try:
                self._act(self.done)
            except LedgerUnavailable:
                self.refused += 1
            else:
                self.done += 1
                self.under_way.set()
                return
