"""By what the ledger finds things: no question reads all the rows, and no signup pays for one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Filter
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status

A_MONTH = timedelta(days=30)
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)

QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "how many": lambda ledger: ledger.counts(),
    "since when": lambda ledger: ledger.oldest_pending(),
    "when": lambda ledger: ledger.days(A_MONTH),
    "by whom": lambda ledger: ledger.partners(A_MONTH),
    "what is to be pruned": lambda ledger: ledger.prune(A_MONTH),
    "how much of it": lambda ledger: ledger.prunable(A_MONTH),
    "what is due": lambda ledger: ledger.outlook(),
    **{f"{status} page": lambda ledger, s=status: ledger.page(status=s) for status in Status},  # type: ignore[misc]
    **{
        f"{status} count": lambda ledger, s=status: ledger.count(Filter(status=s))  # type: ignore[misc]
        for status in Status
    },
}


def plans_of(database: Database, act: Callable[[], object]) -> list[str]:
    """Return how SQLite goes about all that ``act`` asks of the entries."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, *_more: object) -> None:
        if "partnerstack_entry" in statement:
            asked.append((statement, values))

    event.listen(database._engine, "before_cursor_execute", note)
    act()
    event.remove(database._engine, "before_cursor_execute", note)
    with database.read() as conn:
        plans = [conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", v).all() for s, v in asked]
    return [row.detail for plan in plans for row in plan]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_index(ledger: Ledger, database: Database, question: str) -> None:
    """SQLite may use an index that holds some rows only when the query says the same of them."""
    ledger.init()
    plans = plans_of(database, lambda: QUESTIONS[question](ledger))
    reads = [plan for plan in plans if "partnerstack_entry" in plan or "rowid" in plan]
    assert reads
    assert all(" USING " in plan for plan in reads), reads


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ("status", "status != 'pending'"),
        ("recorded", "status != 'pending'"),
        ("unpruned", "status != 'pending' AND payload != '{}'"),
    ],
)
def test_a_signup_pays_for_no_index_that_people_ask_by(
    ledger: Ledger, database: Database, conversion: Callable[..., Conversion], index: str, rows: str
) -> None:
    """It is written when the entry is settled: nobody waits for that."""
    ledger.record(conversion())
    wanted = f"SELECT name, sql FROM sqlite_master WHERE name = 'partnerstack_entry_{index}'"
    with database.read() as conn:
        ((_, made),) = conn.exec_driver_sql(wanted).all()
    assert made.endswith(f"WHERE {rows}")


def test_what_is_parked_is_counted_and_shown(
    any_ledger: Ledger, conversion: Callable[..., Conversion]
) -> None:
    """It is pending and never due, and so in a corner of its index."""
    any_ledger.record(conversion("parked"))
    any_ledger.record(conversion("waiting"))
    (claim,) = any_ledger.claim(1)
    any_ledger.park(claim, reason="no token")
    assert any_ledger.counts()[Status.PENDING] == 2
    page = any_ledger.page(status=Status.PENDING)
    assert [entry.customer_key for entry in page.entries] == ["waiting", "parked"]
    days = any_ledger.days(A_MONTH)
    assert sum(day.counts.get(Status.PENDING, 0) for day in days) == 2
    assert any_ledger.oldest_pending() == any_ledger.get("parked").recorded_at


def test_each_state_has_its_page(any_ledger: Ledger, conversion: Callable[..., Conversion]) -> None:
    """By whichever index it is found."""
    for key in ("verified", "delivered", "dead"):
        any_ledger.record(conversion(key))
    first, second, third = any_ledger.claim(3)
    any_ledger.settle(first, Status.VERIFIED, TAKEN)
    any_ledger.settle(second, Status.DELIVERED, TAKEN)
    any_ledger.bury(third, reason="rejected")
    any_ledger.record(conversion("skipped"), reason="skip_if", skipped=True)
    any_ledger.record(conversion("pending"))
    for status in Status:
        assert [e.customer_key for e in any_ledger.page(status=status).entries] == [status.value]
        assert any_ledger.count(Filter(status=status)) == 1
