"""What an entry costs with a million settled ones beside it, against a thousand.

``python -m benchmarks.size`` prints, for SQLite and PostgreSQL, the medians in microseconds of
recording, claiming and settling one entry, of an idle look at what is due, and their ratios.
``--quick`` compares 1,000 with 20,000, in a few rounds. ``PARTNERSTACK_TEST_POSTGRESQL`` points at
another server.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import make_url

from benchmarks import pairs
from benchmarks.track import AGENT
from flask_partnerstack import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Claim
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from tests.servers import Servers

ROUNDS, LOOPS = 41, 40
SMALL = 1_000
LARGE = 20_000 if "--quick" in sys.argv else 1_000_000

TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200, answer='{"ok": true}')
_DIGITS = {
    # As random as the digests of real keys, and as long: they decide what an index costs.
    "sqlite": "lower(hex(randomblob(32)))",
    "postgresql": "md5(n::text) || md5((-n)::text)",
}
_NUMBERS = {
    "sqlite": (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
        "WHERE n < {count}) {what} FROM numbers"
    ),
    "postgresql": "{what} FROM generate_series(1, {count}) AS numbers(n)",
}
_SETTLED = (
    "INSERT INTO partnerstack_entry (customer_digest, customer_key, xid, partner_key, status, "
    "attempts, unclear, missing, recorded_at, first_attempt_at, attempted_at, scheduled_at, "
    "settled_at, payload, search) "
)
_LINES = (
    "INSERT INTO partnerstack_attempt (entry_id, at, judged, status, reason, answer) "
    "SELECT id, settled_at, 'accepted', 200, 'HTTP 200', '' FROM partnerstack_entry"
)


def settled_rows(digits: str) -> str:
    """Return the SELECT of a settled entry, with a payload as long as real ones."""
    payload = Conversion.of(
        customer_key="k" * 36, xid="h8pb9E7TZK6YMO", email="jo@example.com", user_agent=AGENT
    ).dumps()
    return (
        f"SELECT {digits}, 'customer-' || n, 'h8pb9E7TZK6YMO', 'ann', 'delivered', 1, 0, 0, "
        f"1700000000000000 + n, 1700000000000000 + n, 1700000000000000 + n, "
        f"1700000000000000 + n, 1700000000000000 + n, '{payload}', "
        "'customer-' || n || ' jo@example.com h8pb9e7tzk6ymo ann'"
    )


def fill(ledger: Ledger, kind: str, count: int) -> None:
    """Write settled entries, each with a line in its trail, by the database itself."""
    numbered = _NUMBERS[kind].format(count=count, what=settled_rows(_DIGITS[kind]))
    insert = _SETTLED + numbered
    if kind == "sqlite":  # there the numbers come first
        numbers, _, rest = numbered.partition(") SELECT")
        insert = f"{numbers}) {_SETTLED}SELECT{rest}"
    with ledger.storage.write() as conn:
        conn.exec_driver_sql(insert.replace("%", "%%"))
        conn.exec_driver_sql(_LINES)


def tidy(ledger: Ledger, kind: str) -> None:
    """Let the database learn what it holds, as it does by itself within the day."""
    if kind == "postgresql":
        with ledger.storage.read() as conn:
            driver: Any = conn.connection.driver_connection
            driver.rollback()
            driver.autocommit = True
            driver.execute("VACUUM ANALYZE")
            driver.autocommit = False


class Steps:
    """One ledger, and what happens to one entry in it, a step at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = itertools.count()
        self._claims: list[Claim] = []

    def record(self) -> None:
        """Record one more."""
        key = f"new-{next(self._numbers)}"
        self._ledger.record(Conversion.of(customer_key=key, xid="h8pb9E7TZK6YMO", user_agent=AGENT))

    def claim(self) -> None:
        """Claim what was recorded."""
        (claim,) = self._ledger.claim(1)
        self._claims.append(claim)

    def settle(self) -> None:
        """Count the attempt at what was claimed last, and settle it."""
        claim = self._claims.pop()
        self._ledger.count_attempt(claim)
        self._ledger.settle(claim, Status.DELIVERED, TAKEN)

    def look(self) -> None:
        """Look whether anything is due."""
        self._ledger.outlook()


def compare(ledgers: Mapping[str, Ledger]) -> None:
    """Print a line for each step. A round records, claims and settles as many, so none is left."""
    steps = {size: Steps(ledger) for size, ledger in ledgers.items()}
    names = ("record", "claim", "settle", "look")
    values: dict[tuple[str, str], list[float]] = {(n, s): [] for n in names for s in steps}
    for number in range(pairs.rounds(ROUNDS) + 1):
        for name in names:
            for size, of in steps.items():
                took = pairs.time_each(getattr(of, name), pairs.loops(LOOPS))
                if number > 0:  # the first is to warm up
                    values[name, size].append(took)
    small, large = steps
    for name in names:
        few, many = (pairs.benchmark(name, values[name, size]) for size in (small, large))
        print(
            f"  {name:8} {pairs.micros(few):10.0f} {pairs.micros(many):10.0f} "
            f"{pairs.ratio(many, few):8.2f}"
        )


def measure(kind: str, url_of: Callable[[int], URL]) -> None:
    """Print one database's table."""
    with contextlib.ExitStack() as stack:
        ledgers = {}
        for count in (SMALL, LARGE):
            database = Database(url_of(count), embedded=False)
            stack.callback(database.close)
            ledger = Ledger(database, lease=timedelta(minutes=2))
            ledger.init()
            started = time.perf_counter()
            fill(ledger, kind, count)
            tidy(ledger, kind)
            filled = time.perf_counter() - started
            ledgers[f"{count:,}"] = ledger
        small, large = ledgers
        print(f"{kind}, filled in {filled:.0f} s")
        print(f"  {'µs each':8} {small:>10} {large:>10} {'ratio':>8}")
        compare(ledgers)


def main() -> None:
    logging.disable()
    print(pairs.machine())
    with tempfile.TemporaryDirectory() as folder:
        measure("sqlite", lambda count: make_url(f"sqlite:///{folder}/{count}.db"))
    with contextlib.closing(Servers()) as few, contextlib.closing(Servers()) as many:
        servers = {SMALL: few, LARGE: many}
        with contextlib.suppress(pytest.skip.Exception):
            measure("postgresql", lambda count: patient(servers[count].empty("postgresql")))


def patient(url: URL) -> URL:
    """Return the URL with the time that it takes to fill a table, or to vacuum it."""
    return url.update_query_dict({"tcp_user_timeout": "600000"})


if __name__ == "__main__":
    main()
