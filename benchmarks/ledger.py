"""How long the dashboard takes over a ledger of 100,000 entries: each view, in milliseconds.

``python -m benchmarks.ledger [--quick]`` prints the median and the worst of ten.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import insert

from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger.entry import digest_of
from flask_partnerstack.ledger.entry import searchable
from flask_partnerstack.ledger.tables import attempts
from flask_partnerstack.ledger.tables import entries

FULL = 100_000
QUICK = 5_000
RUNS = 10
NOW = datetime.now(timezone.utc)
FATES = (
    [Status.VERIFIED] * 90 + [Status.DELIVERED] * 5 + [Status.DEAD] * 2
    + [Status.SKIPPED] * 1 + [Status.PENDING] * 2
)  # fmt: skip
NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Ken", "Margaret", "Linus")
PARTNERS = [f"partner-{number:03}" for number in range(300)]


def fill(ledger: Ledger, count: int, *, days: int = 90, now: datetime = NOW) -> None:
    """Write ``count`` entries as a busy shop has them until ``now``, each with its trail."""
    dice = random.Random(7)
    chunk, step = 5_000, timedelta(days=days) / count
    for start in range(0, count, chunk):
        numbers = range(start, min(start + chunk, count))
        rows = [_row(dice, number, now - step * (count - number)) for number in numbers]
        trail = [_line(row) for row in rows if row["attempts"]]
        with ledger._database.write() as conn:
            conn.execute(insert(entries), rows)
            conn.execute(insert(attempts), trail)


def _row(dice: random.Random, number: int, at: datetime) -> dict[str, Any]:
    status = dice.choice(FATES)
    first = dice.choice(NAMES)
    conversion = Conversion.of(
        customer_key=f"cus_{number:07}",
        xid=f"{dice.getrandbits(64):016x}",
        partner_key=PARTNERS[min(int(dice.expovariate(0.02)), 299)],
        email=f"{first.lower()}.{number}@example.com",
        name=f"{first} Example {number}",
        origin="www.example.com",
        ip_address="192.0.2.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/143.0 Safari/537.36",
    )
    tried = status is not Status.SKIPPED
    return {
        "id": number + 1,
        "customer_digest": digest_of(conversion.customer_key),
        "customer_key": conversion.customer_key,
        "xid": conversion.xid,
        "partner_key": conversion.partner_key,
        "status": status.value,
        "reason": {Status.DEAD: "rejected: HTTP 400", Status.SKIPPED: "skip_if"}.get(status),
        "test": False if status is Status.VERIFIED else None,
        "attempts": int(tried),
        "unclear": 0,
        "missing": 0,
        "recorded_at": at,
        "due_at": at + timedelta(days=400) if status is Status.PENDING else None,
        "scheduled_at": at,
        "settled_at": None if status is Status.PENDING else at + timedelta(seconds=2),
        "payload": conversion.dumps(),
        "search": searchable(conversion),
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    taken = row["status"] in ("delivered", "verified")
    return {
        "entry_id": row["id"],
        "at": row["recorded_at"] + timedelta(seconds=2),
        "judged": (Judgement.ACCEPTED if taken else Judgement.REFUSED).value,
        "status": 200 if taken else 503,
        "reason": "HTTP 200" if taken else "HTTP 503",
        "answer": "",
    }


def measured(act: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Return how long ``act`` takes, in milliseconds, after a first time that is not counted."""
    act()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return times


def make_app(folder: Path) -> Flask:
    """Return an app with the page at ``/partnerstack/``, for everybody."""
    app = Flask("bench", instance_path=str(folder))
    app.config.update(PARTNERSTACK_TOKEN="token", PARTNERSTACK_ENGINE="none")
    partnerstack = PartnerStack(app)
    app.register_blueprint(
        partnerstack.dashboard(permission=lambda: True), url_prefix="/partnerstack"
    )
    return app


#: The views, by what a person wants of them.
VIEWS = {
    "first page": "/partnerstack/",
    "chart": "/partnerstack/chart",
    "search, one found": "/partnerstack/?q=grace.77",
    "search, many found": "/partnerstack/?q=grace",
    "search, none found": "/partnerstack/?q=nobody+like+this",
    "one state": "/partnerstack/?status=dead",
    "one partner": "/partnerstack/?partner=partner-250",
    "deep page": "/partnerstack/?before=2000",
    "one entry": "/partnerstack/entry/1",
}


def main() -> None:
    """Print a line for each view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} entries")
    count = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(Path(folder))
        ledger = get_state(app).ledger
        fill(ledger, count)
        client = app.test_client()
        print(f"{count} entries")
        for what, address in VIEWS.items():
            times = measured(lambda: client.get(address).get_data())  # noqa: B023 - used at once
            print(
                f"{what:20} median {statistics.median(times):7.1f} ms  worst {max(times):7.1f} ms"
            )
        ledger.close()


if __name__ == "__main__":
    main()
