"""A sender goes on with the next job: the end of one and the beginning of the next are one step."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.dispatcher import Dispatcher
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


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Three customers, all due."""
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    ledger = Ledger(database, lease=timedelta(minutes=2), clock=clock)
    for key in CUSTOMERS:
        ledger.record(Conversion.of(customer_key=key, xid="h8pb9E7TZK6YMO"))
    yield ledger
    database.close()


@pytest.fixture
def dispatcher(ledger: Ledger, transport: ScriptedTransport) -> Dispatcher:
    settings = Settings(token="token")
    return Dispatcher(settings, ledger, Client(settings, transport))


@pytest.fixture
def go(dispatcher: Dispatcher) -> Callable[[], int]:
    """Claim all, go on from the first to the next; return how many were not asked for."""

    def go() -> int:
        jobs = dispatcher.take(len(CUSTOMERS))
        rest = jobs[1:]
        dispatcher.run(jobs[0], lambda: rest.pop(0) if rest else None)
        return len(rest)

    return go


def sent(transport: ScriptedTransport) -> list[object]:
    return [conversion["customer_key"] for conversion in transport.conversions]


def judgements(ledger: Ledger, customer_key: str) -> list[Judgement]:
    return [attempt.judged for attempt in ledger.trail(ledger.get(customer_key))]


def test_what_follows_is_delivered_as_well(
    go: Callable[[], int], ledger: Ledger, transport: ScriptedTransport
) -> None:
    """Each is sent once, counted once and settled, in their order."""
    assert go() == 0
    assert sent(transport) == list(CUSTOMERS)
    for key in CUSTOMERS:
        entry = ledger.get(key)
        assert (entry.status, entry.attempts) == (Status.DELIVERED, 1)


def test_a_failure_is_the_end_of_it(
    go: Callable[[], int], ledger: Ledger, transport: ScriptedTransport
) -> None:
    """After one that was not taken nobody is asked for more: the next may have to wait, too."""
    transport.answers = [Response(200), Response(503)]
    assert go() == 1
    assert sent(transport) == ["acme", "globex"]
    assert ledger.get("globex").status is Status.PENDING
    assert ledger.get("initech").attempts == 0


def test_an_interrupted_one_is_not_sent_in_passing(
    go: Callable[[], int], ledger: Ledger, transport: ScriptedTransport, clock: Clock
) -> None:
    """One that somebody was stopped while sending may have been taken, and is only written down."""
    _acme, globex = ledger.claim(2)
    ledger.count_attempt(globex)
    clock.tick(minutes=3)
    go()
    assert "globex" not in sent(transport)
    assert judgements(ledger, "globex") == [Judgement.UNCLEAR]


def test_one_that_is_somebody_elses_by_now_is_not_sent(
    dispatcher: Dispatcher, ledger: Ledger, transport: ScriptedTransport, clock: Clock
) -> None:
    """A job whose lease ran out is left to who has it, while the one before it is settled."""
    late = dispatcher.take(3)
    clock.tick(minutes=3)
    acme, globex, _ = sorted(dispatcher.take(3), key=lambda job: job.claim.entry.customer_key)
    dispatcher.run(globex)
    rest = [job for job in late if job.claim.entry.customer_key == "globex"]
    dispatcher.run(acme, lambda: rest.pop() if rest else None)
    assert sent(transport) == ["globex", "acme"]
    assert ledger.get("acme").status is Status.DELIVERED


def test_one_that_cannot_be_read_is_buried_in_its_turn(
    go: Callable[[], int], ledger: Ledger, transport: ScriptedTransport
) -> None:
    """A damaged row does not keep the one before it from being settled."""
    with ledger.storage.write() as conn:
        conn.exec_driver_sql(
            "UPDATE partnerstack_entry SET payload = '{' WHERE customer_key = 'globex'"
        )
    go()
    assert ledger.get("acme").status is Status.DELIVERED
    assert ledger.get("globex").status is Status.DEAD
    assert "globex" not in sent(transport)
