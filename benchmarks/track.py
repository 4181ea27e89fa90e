"""What a signup pays: ``track_conversion`` beside a bare insert with the same settings.

``python -m benchmarks.track`` prints medians, in microseconds, and their ratio.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
from collections.abc import Iterator

from flask import Flask
from sqlalchemy import make_url

from benchmarks import pairs
from flask_partnerstack import Conversion
from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.connecting import transaction
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import entries

ROUNDS, LOOPS = 41, 50
COOKIE = f"partnerstack_referral=v=1&x=h8pb9E7TZK6YMO&t={int(time.time())}&k=keeganleary8672"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def keys() -> Iterator[str]:
    return (f"01890a5d-ac96-774b-bcce-b302099a{number:04x}" for number in itertools.count())


def bare_insert() -> pairs.Variant:
    """Return one Core insert of a ready row, in one transaction: WAL, FULL, a kept connection."""
    url = make_url(f"sqlite:///{tempfile.mkdtemp()}/bare.db")
    database, numbers = Database(url, embedded=True), keys()
    with database.read():  # makes the tables
        pass
    conversion = Conversion.of(customer_key="k", xid="h8pb9E7TZK6YMO", user_agent=AGENT)
    row = new_row(conversion, utcnow(), None)

    def insert() -> None:
        key = next(numbers)
        with transaction(database._engine) as conn:
            conn.execute(entries.insert(), {**row, "customer_key": key, "customer_digest": key})

    return insert


def tracking() -> pairs.Variant:
    """Return a whole ``track_conversion`` in a referred visitor's request."""
    app, numbers = Flask("bench", instance_path=tempfile.mkdtemp()), keys()
    app.config.update(PARTNERSTACK_TOKEN="token", PARTNERSTACK_ENGINE="none")
    PartnerStack(app)
    headers = {"Cookie": COOKIE, "User-Agent": AGENT}
    app.test_request_context("/signup", method="POST", headers=headers).push()
    app.preprocess_request()

    def track() -> None:
        assert track_conversion(next(numbers), email="jo@example.com", name="Jo") is not None

    return track


def main() -> None:
    logging.disable()
    print(pairs.machine())
    variants = {"bare insert": bare_insert(), "track_conversion": tracking()}
    found = pairs.compare(variants, rounds=pairs.rounds(ROUNDS), loops=LOOPS)
    for name, benchmark in found.items():
        print(f"{name:18} {pairs.micros(benchmark):8.0f} µs")
    print(f"ratio              {pairs.ratio(found['track_conversion'], found['bare insert']):8.2f}")


if __name__ == "__main__":
    main()
