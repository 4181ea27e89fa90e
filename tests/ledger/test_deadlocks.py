"""A database that ends our transaction, so that somebody else's can go on. Real deadlocks."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from typing import Any
from typing import cast

import pytest
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Storage
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.inserting import insert
from flask_partnerstack.ledger.pause import end_pause
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.ledger.trouble import Undone
from flask_partnerstack.ledger.trouble import tried_again
from tests.ledger.conftest import LEASE
from tests.servers import SERVERS
from tests.servers import Servers

Make = Callable[..., Conversion]

#: How the other one is made to be spared, and asks for what a signup holds; who waits there.
SPARED = {"postgresql": "SET deadlock_timeout = '60s'", "mariadb": "DO 0"}
ASKS = {
    "postgresql": "LOCK TABLE partnerstack_entry IN SHARE MODE",
    "mariadb": "SELECT id FROM partnerstack_entry FOR UPDATE",
}
WAITING = {
    "postgresql": (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ),
    "mariadb": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


#: How a signup is made to fail rather than to wait for whoever waits for it.
IMPATIENT = {
    "postgresql": "SET lock_timeout = '1s'",
    "mariadb": "SET innodb_lock_wait_timeout = 1",
}


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(servers: Servers, kind: str) -> Iterator[Engine]:
    """The other one's, in a database of its own: other tests count the deadlocks of theirs."""
    engine = create_engine(servers.empty(kind, "_deadlocks"))
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Iterator[Ledger]:
    database = Database(engine.url, embedded=False)
    ledger = Ledger(database, lease=LEASE)
    ledger.init()
    yield ledger
    database.close()


def somebody_waits(engine: Engine, kind: str) -> bool:
    with engine.connect() as conn:
        return bool(conn.exec_driver_sql(WAITING[kind]).scalar())


def write_beside(conn: Connection, conversion: Conversion, make: Make) -> None:
    """Write the same customer, and so much more that the other one is the cheaper victim."""
    insert(conn, new_row(conversion, utcnow(), None))
    for _ in range(50):
        insert(conn, new_row(make(), utcnow(), None))


def test_a_signup_that_is_ended_by_a_deadlock_is_recorded(
    ledger: Ledger, engine: Engine, kind: str, conversion: Make
) -> None:
    """It waits for one who waits for it; nothing of it is left, and it begins anew."""
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(1))
        other = stack.enter_context(engine.connect())
        other.exec_driver_sql(SPARED[kind])
        write_beside(other, conversion("twice"), conversion)
        recorded = threads.submit(ledger.record, conversion("twice"))
        while not somebody_waits(engine, kind) and not recorded.done():
            # InnoDB looks anew only after 100 ms in which nobody asked it.
            time.sleep(0.15)  # a server tells nobody who waits for whom
        other.exec_driver_sql(ASKS[kind])
        other.rollback()
        assert recorded.result(30).new
    assert [entry.customer_key for entry in ledger.entries()] == ["twice"]


@pytest.fixture
def paused(ledger: Ledger, conversion: Make) -> Ledger:
    """A ledger whose entries wait for a pause's end, all of them tried before."""
    for _ in range(40):
        ledger.record(conversion())
    waiting = {"first_attempt_at": utcnow(), "due_at": utcnow() + timedelta(hours=1)}
    with ledger.storage.write() as conn:
        conn.execute(entries.update().values(waiting))
    ledger.begin_pause(Cause.DENIED, "HTTP 401")
    return ledger


def test_a_pause_ends_beside_a_signup_that_is_not_committed(
    paused: Ledger, engine: Engine, conversion: Make
) -> None:
    """It waits for nobody's transaction, and what was left in there is no part of it."""
    with engine.begin() as signup:
        insert(signup, new_row(conversion("acme"), utcnow(), None))
        assert paused.end_pause() is not None
        insert(signup, new_row(conversion("globex"), utcnow(), None))
    assert len(paused.claim(100)) == 42


def test_a_signup_is_written_beside_the_end_of_a_pause(
    paused: Ledger, engine: Engine, kind: str, conversion: Make
) -> None:
    """Between the entries that are made due nothing is locked, where the next one belongs."""
    with paused.storage.write() as conn, engine.connect() as signup:
        assert end_pause(conn, paused.now_in(conn)) is not None
        signup.exec_driver_sql(IMPATIENT[kind])
        insert(signup, new_row(conversion("acme"), utcnow(), None))
        signup.commit()
    assert len(paused.claim(100)) == 41


def test_what_is_dead_is_requeued_beside_a_signup_that_is_not_committed(
    paused: Ledger, engine: Engine, conversion: Make
) -> None:
    """Nor does whoever requeues wait for it."""
    with paused.storage.write() as conn:
        conn.execute(entries.update().values(status=Status.DEAD.value, due_at=None))
    with engine.begin() as signup:
        insert(signup, new_row(conversion("acme"), utcnow(), None))
        assert paused.requeue_all() == 40


def test_a_schedule_is_mended_beside_a_signup_that_is_not_committed(
    paused: Ledger, engine: Engine, conversion: Make
) -> None:
    """Where the clock was set back, whoever looks what is due next does not wait for it."""
    hour = timedelta(hours=1)
    with paused.storage.write() as conn:
        conn.execute(entries.update().values(scheduled_at=utcnow() + hour))
    with engine.begin() as signup:
        insert(signup, new_row(conversion("acme"), utcnow(), None))
        assert paused.outlook().due_in is not None
    assert max(entry.due_at for entry in paused.entries() if entry.due_at) < utcnow() + hour / 2


def test_a_pause_ends_for_more_than_one_statement_takes(
    paused: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are changed by their ids, all of them are."""
    monkeypatch.setattr("flask_partnerstack.ledger.changing.AT_ONCE", 3)
    paused.end_pause()
    assert len(paused.claim(100)) == 40


def test_whoever_is_ended_again_and_again_is_told() -> None:
    """Three times, and no more: a signup does not wait for ever."""
    calls = []

    @tried_again
    def whole() -> None:
        calls.append(1)
        raise Undone("postgresql://", "deadlock detected")

    with pytest.raises(LedgerUnavailable, match="deadlock detected"):
        whole()
    assert len(calls) == 3


class Deadlocking:
    """A storage of which each second and third transaction is the victim of a deadlock."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._turns = cycle([False, True, True])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._storage.write() as conn:
            yield conn
            if next(self._turns):
                raise OperationalError("UPDATE", None, sqlite3.OperationalError(1213, "deadlock"))


def test_a_delivery_goes_through_all_the_same(conversion: Make) -> None:
    """No step of it waits for seconds, and an attempt that was made is none of unclear end."""
    storage = Deadlocking(Database(make_url("sqlite://"), embedded=True))
    ledger = Ledger(cast("Storage", storage), lease=LEASE)
    taken = Attempt(judged=Judgement.ACCEPTED, reason="ok")
    for _ in range(3):
        ledger.record(conversion())
        (claim,) = ledger.claim(1)
        assert ledger.count_attempt(claim)
        assert ledger.renew(claim)
        ledger.leave_for_next(claim, Verdict(after=Status.DELIVERED, attempt=taken))
        (again,) = ledger.claim_next(Status.DELIVERED)
        assert ledger.give_back(again, taken) is not None
    assert ledger.counts()[Status.DELIVERED] == 3
