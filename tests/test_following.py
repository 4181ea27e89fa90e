"""A sender goes on: the end of one entry and the beginning of the next are one transaction."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.dispatcher import Outcome
from flask_partnerstack.dispatcher import sending as module
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import Response
from tests.kit import Clock
from tests.kit import ScriptedTransport

CUSTOMERS = ("acme", "globex", "initech")
Make = Callable[..., Dispatcher]


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Three customers, all due, in their order."""
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    ledger = Ledger(database, lease=timedelta(minutes=2), clock=clock)
    for key in CUSTOMERS:
        ledger.record(Conversion.of(customer_key=key, xid="h8pb9E7TZK6YMO"))
        clock.tick(seconds=1)
    yield ledger
    database.close()


@pytest.fixture
def make(ledger: Ledger, transport: ScriptedTransport) -> Make:
    def make(
        on_outcome: Callable[[Outcome], None] = lambda _outcome: None,
        blocked: Callable[[], str | None] = lambda: None,
    ) -> Dispatcher:
        settings = Settings(token="token")
        client = Client(settings, transport)
        return Dispatcher(settings, ledger, client, on_outcome=on_outcome, blocked=blocked)

    return make


def sent(transport: ScriptedTransport) -> list[object]:
    return [conversion["customer_key"] for conversion in transport.conversions]


def always() -> bool:
    return True


def test_what_is_due_next_is_delivered_as_well(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """Each is sent once, counted once, settled and written in its trail, in their order."""
    make().take(1)[0](always)
    assert sent(transport) == list(CUSTOMERS)
    for key in CUSTOMERS:
        entry = ledger.get(key)
        assert (entry.status, entry.attempts) == (Status.DELIVERED, 1)
        assert [line.judged for line in ledger.trail(entry)] == [Judgement.ACCEPTED]


def test_nobody_goes_on_unasked(make: Make, ledger: Ledger, transport: ScriptedTransport) -> None:
    """A job that is told nothing deals with one entry, and leaves the others alone."""
    make().take(1)[0]()
    assert sent(transport) == ["acme"]
    assert ledger.get("globex").attempts == 0


def test_it_is_asked_before_each(make: Make, transport: ScriptedTransport) -> None:
    """An engine that stops meanwhile is left with nothing in hand."""
    answers = [True, False]
    make().take(1)[0](lambda: answers.pop(0))
    assert (sent(transport), answers) == (["acme", "globex"], [])


def test_a_failure_is_the_end_of_it(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """After one that was not taken nothing more is claimed: the next may have to wait, too."""
    transport.answers = [Response(200), Response(503)]
    make().take(1)[0](always)
    assert sent(transport) == ["acme", "globex"]
    assert ledger.get("globex").status is Status.PENDING
    assert ledger.get("initech").attempts == 0


def test_what_may_not_be_sent_any_more_is_left(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """Sending is blocked while one is under way: that one is settled, and none follows."""
    reasons = [None, "testing"]
    make(blocked=lambda: reasons.pop(0)).take(1)[0](always)
    assert sent(transport) == ["acme"]
    assert (ledger.get("acme").status, ledger.get("globex").attempts) == (Status.DELIVERED, 0)


def test_the_whole_ledger_is_looked_at_now_and_then(
    make: Make, monkeypatch: pytest.MonkeyPatch, transport: ScriptedTransport
) -> None:
    """However much is due, a job ends after so many: somebody has to prune, and watch the clock."""
    monkeypatch.setattr(module, "LONGEST_RUN", 1)
    make().take(1)[0](always)
    assert sent(transport) == ["acme", "globex"]


def test_one_that_cannot_be_read_is_buried_in_its_turn(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """A damaged row does not keep the one before it from being settled."""
    with ledger.storage.write() as conn:  # tampering is done behind the ledger's back
        conn.exec_driver_sql(
            "UPDATE partnerstack_entry SET payload = '{' WHERE customer_key = 'globex'"
        )
    make().take(1)[0](always)
    assert ledger.get("acme").status is Status.DELIVERED
    assert ledger.get("globex").status is Status.DEAD
    assert "globex" not in sent(transport)


def test_a_row_that_cannot_be_claimed_costs_nobody_else_the_end(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """What fails is the next one's claim; that the one before it was taken is written anyway."""
    with ledger.storage.write() as conn:
        conn.exec_driver_sql(
            "CREATE TRIGGER stuck BEFORE UPDATE ON partnerstack_entry "
            "WHEN NEW.customer_key = 'globex' BEGIN SELECT abs(-9223372036854775807 - 1); END"
        )
    make().take(1)[0](always)
    assert ledger.get("acme").status is Status.DELIVERED
    assert sent(transport) == ["acme"]


def test_a_receiver_that_takes_its_time_doubles_nothing(
    make: Make,
    ledger: Ledger,
    transport: ScriptedTransport,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the time it has heard of the first, the next is somebody else's, and is left to them."""
    monkeypatch.setattr(module, "LONGEST_TELLING", 0.0)

    def dawdle(outcome: Outcome) -> None:
        if outcome.entry is not None and outcome.entry.customer_key == "acme":
            clock.tick(minutes=3)
            make().run_pass()

    make(dawdle).take(1)[0](always)
    assert sent(transport) == ["acme", "initech"]
    assert [line.judged for line in ledger.trail(ledger.get("globex"))] == [Judgement.UNCLEAR]


def test_who_is_stopped_while_telling_gives_the_next_back(
    make: Make, ledger: Ledger, transport: ScriptedTransport
) -> None:
    """Its attempt is counted and not made: it is due at once, and nobody takes it for unclear."""
    with pytest.raises(SystemExit):
        make(on_outcome=lambda _outcome: sys.exit()).take(1)[0](always)
    assert sent(transport) == ["acme"]
    make().run_pass()
    assert sorted(map(str, sent(transport))) == sorted(CUSTOMERS)
