"""PostgreSQL: the end of one entry and the claim of the next are one statement, and no more."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import text

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import Verdict
from flask_partnerstack.ledger.at_once import LEFT_FOR_NEXT
from flask_partnerstack.ledger.entry import digest_of
from flask_partnerstack.ledger.tables import entries
from tests.ledger.conftest import LEASE
from tests.servers import Servers

Make = Callable[..., Conversion]

TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200, answer="{}")
DELIVERED = Verdict(after=Status.DELIVERED, attempt=TAKEN)
ON_POSTGRESQL = pytest.mark.parametrize(
    "any_ledger", ["postgresql", "app's postgresql"], indirect=True
)


@pytest.fixture
def engine(servers: Servers) -> Iterator[Engine]:
    """An app's engine."""
    engine = create_engine(servers.empty("postgresql"))
    yield engine
    engine.dispose()


@pytest.fixture
def joined(engine: Engine, conversion: Make) -> Ledger:
    """The ledger in that app's database, with three customers."""
    ledger = Ledger(AppDatabase(lambda: engine), lease=LEASE)
    ledger.init()
    for key in ("acme", "globex", "initech"):
        ledger.record(conversion(key))
    return ledger


def begun(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim(1)
    assert ledger.count_attempt(claim)
    return claim


def test_it_is_one_statement(joined: Ledger, engine: Engine) -> None:
    """Nothing is asked before it and nothing is said after it, not even that it is to be kept."""
    claim = begun(joined)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *of: said.append(of[2]))
    event.listen(engine, "commit", lambda _conn: said.append("COMMIT"))
    _, following = joined.leave_for_next(claim, DELIVERED)
    assert following is not None
    assert [statement.split()[0] for statement in said] == ["WITH"]


def test_its_driver_reads_it_once(engine: Engine) -> None:
    """Psycopg keeps what it read of a statement that is no longer than this, and of no other."""
    assert len(str(LEFT_FOR_NEXT.compile(engine))) <= 4096


def test_nothing_stays_set_on_the_apps_connection(joined: Ledger, engine: Engine) -> None:
    """It waits for nobody longer than it may; the app's next transaction is one, and waits."""
    with engine.begin() as conn:
        conn.execute(text(REASON_FROM_WAIT))
    entry, _ = joined.leave_for_next(begun(joined), DELIVERED)
    assert entry is not None
    assert entry.reason == "waits 2500ms"
    with engine.connect() as conn:
        assert conn.scalar(text("SHOW lock_timeout")) == "0"
        conn.execute(text("DELETE FROM partnerstack_attempt"))
        conn.rollback()
    assert len(joined.trail(entry)) == 1


REASON_FROM_WAIT = """
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.reason := 'waits ' || current_setting('lock_timeout'); RETURN NEW; END $$;
CREATE TRIGGER noting BEFORE UPDATE ON partnerstack_entry FOR EACH ROW EXECUTE FUNCTION noted()
"""


@ON_POSTGRESQL
def test_what_is_ended_is_not_what_follows(any_ledger: Ledger, conversion: Make) -> None:
    """One that is due again at once, and for the longest, waits for its turn."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    again = Verdict(after=Status.PENDING, due_in=timedelta(0), attempt=TAKEN)
    entry, following = any_ledger.leave_for_next(begun(any_ledger), again)
    assert following is not None
    assert (entry and entry.customer_key, following.entry.customer_key) == ("acme", "globex")
    assert [claim.entry.customer_key for claim in any_ledger.claim(2)] == ["acme"]


@ON_POSTGRESQL
@pytest.mark.parametrize("trouble", ["refused", "cut off"])
def test_a_row_that_cannot_be_claimed_costs_nobody_else_the_end(
    any_ledger: Ledger, conversion: Make, trouble: str
) -> None:
    """What fails is the next one's claim; that the one before it was taken is written, once."""
    for key in ("acme", "globex"):
        any_ledger.record(conversion(key))
    claim = begun(any_ledger)
    with any_ledger.storage.write() as conn:
        conn.exec_driver_sql(GLOBEX_IN_TROUBLE.format(TROUBLES[trouble]))
    entry, following = any_ledger.leave_for_next(claim, DELIVERED)
    assert entry is not None
    assert (entry.status, following) == (Status.DELIVERED, None)
    assert (len(any_ledger.trail(entry)), any_ledger.get("globex").attempts) == (1, 0)


TROUBLES = {
    "refused": "RAISE EXCEPTION 'stuck'",
    "cut off": "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60)",
}
GLOBEX_IN_TROUBLE = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {}; END $$;
CREATE TRIGGER stuck BEFORE UPDATE ON partnerstack_entry FOR EACH ROW
WHEN (NEW.customer_key = 'globex') EXECUTE FUNCTION fail()
"""


def test_another_customer_by_that_number_is_not_delivered(
    any_ledger: Ledger, conversion: Make
) -> None:
    """A server that lost its last rows in a failover gives their numbers to others."""
    any_ledger.record(conversion("acme"))
    claim = begun(any_ledger)
    renamed = {"customer_key": "globex", "customer_digest": digest_of("globex"), "lease": None}
    with any_ledger.storage.write() as conn:
        conn.execute(entries.update(), renamed)
    assert any_ledger.leave_for_next(claim, DELIVERED)[0] is None
    assert any_ledger.leave_taken(claim, DELIVERED) is None
    globex = any_ledger.get("globex")
    assert (globex.status, any_ledger.trail(globex)) == (Status.PENDING, [])


@ON_POSTGRESQL
def test_a_wrong_step_is_refused_before_anything_is_said(
    any_ledger: Ledger, conversion: Make
) -> None:
    """What the table of steps does not know is not written, and nothing is claimed for it."""
    any_ledger.record(conversion("acme"))
    any_ledger.settle(begun(any_ledger), Status.DELIVERED, TAKEN, look_up_in=timedelta(0))
    (claim,) = any_ledger.claim(1)
    with pytest.raises(IllegalTransition):
        any_ledger.leave_for_next(claim, Verdict(after=Status.SKIPPED))
    assert any_ledger.get("acme").status is Status.DELIVERED
