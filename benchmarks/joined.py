"""What a signup pays for its conversion in the same transaction, beside its own insert.

``python -m benchmarks.joined`` prints medians, in microseconds, for each database that is there:
a signup that inserts a user and commits; what it adds to give the driver a ready row for the
ledger's table, which is what the database alone takes; to insert that row by SQLAlchemy, as any
second insert; and what ``track_conversion(..., session=)`` adds.
``--quick`` takes a few of each. ``PARTNERSTACK_TEST_POSTGRESQL`` and ``PARTNERSTACK_TEST_MARIADB``
point at other servers.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy import make_url

from benchmarks import pairs
from benchmarks.track import AGENT
from benchmarks.track import COOKIE
from benchmarks.track import keys
from flask_partnerstack import Conversion
from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.entry import digest_of
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.ledger.tables import moment_to_number
from tests.servers import SERVERS
from tests.servers import Servers

ROUNDS, LOOPS = 41, 50
ADDED = ("by driver", "by hand", "tracked")


def make_app(url: URL, folder: str) -> tuple[Flask, Any]:
    """Return an app with users in a database, and its ledger in there."""
    db: Any = SQLAlchemy()

    class User(db.Model):  # type: ignore[misc]  # Flask-SQLAlchemy's base is dynamic
        id = db.Column(db.Integer, primary_key=True)
        public_id = db.Column(db.String(36), unique=True, nullable=False)
        email = db.Column(db.String(254), nullable=False)
        name = db.Column(db.String(64), nullable=False)

    db.User = User
    app = Flask("bench", instance_path=folder)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url, PARTNERSTACK_TOKEN="token", PARTNERSTACK_ENGINE="none"
    )
    PartnerStack(app, db=db)
    db.init_app(app)
    with app.app_context():
        db.create_all()
    return app, db


def signing_up(db: Any, numbers: Iterator[str], also: Callable[[str], object]) -> pairs.Variant:
    """Return one signup: a user, and what is to be written also, in one transaction."""

    def sign_up() -> None:
        key = next(numbers)
        db.session.add(db.User(public_id=key, email="jo@example.com", name="Jo"))
        also(key)
        db.session.commit()

    return sign_up


def ready_row() -> dict[str, Any]:
    """Return the row that a conversion becomes."""
    conversion = Conversion.of(
        customer_key="k",
        xid="h8pb9E7TZK6YMO",
        email="jo@example.com",
        name="Jo",
        origin="localhost",
        ip_address="127.0.0.1",
        user_agent=AGENT,
    )
    return new_row(conversion, utcnow(), None)


def by_driver(db: Any) -> Callable[[str], object]:
    """Return what gives the driver a row that is ready, by a statement that is compiled."""
    row = {name: kept(value) for name, value in ready_row().items()}
    compiled: Any = entries.insert().inline().compile(db.engine, column_keys=list(row))

    def insert(key: str) -> None:
        given = {**row, "customer_key": key, "customer_digest": key}
        bound = tuple(given[name] for name in compiled.positiontup or ()) or given
        db.session.connection().exec_driver_sql(compiled.string, bound)

    return insert


def kept(value: Any) -> Any:
    """Return what a database keeps of a value."""
    return moment_to_number(value) if isinstance(value, datetime) else value


def by_hand(db: Any) -> Callable[[str], object]:
    """Return what inserts a row that is ready by SQLAlchemy: what any second insert costs."""
    row = ready_row()

    def insert(key: str) -> None:
        given = {**row, "customer_key": key, "customer_digest": digest_of(key)}
        db.session.execute(entries.insert(), given)

    return insert


def joined(db: Any) -> Callable[[str], object]:
    """Return what tracks a conversion in the session's transaction."""
    return lambda key: track_conversion(key, email="jo@example.com", name="Jo", session=db.session)


def measure(name: str, url: URL, folder: str) -> None:
    """Print one database's line."""
    app, db = make_app(url, folder)
    numbers = keys()
    headers = {"Cookie": COOKIE, "User-Agent": AGENT}
    with app.test_request_context("/signup", method="POST", headers=headers):
        app.preprocess_request()
        variants = {
            "alone": signing_up(db, numbers, lambda _key: None),
            "by driver": signing_up(db, numbers, by_driver(db)),
            "by hand": signing_up(db, numbers, by_hand(db)),
            "tracked": signing_up(db, numbers, joined(db)),
        }
        found = pairs.compare(variants, rounds=pairs.rounds(ROUNDS), loops=pairs.loops(LOOPS))
        db.session.remove()
        db.engine.dispose()
    alone = found["alone"]
    more = [pairs.over(found[name], alone) for name in ADDED]
    print(f"{name:12} {pairs.micros(alone):10.0f}", *(f"{one:11.0f}" for one in more))


def wal(url: URL) -> URL:
    """Return the URL of a new file that keeps a write-ahead log, as a file with traffic should."""
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()
    return url


def main() -> None:
    logging.disable()
    print(pairs.machine())
    print(
        f"{'µs a signup':12} {'alone':>10} {'+ by driver':>11} {'+ by hand':>11} {'+ tracked':>11}"
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Servers()) as servers:
        measure("sqlite", make_url(f"sqlite:///{folder}/app.db"), folder)
        measure("sqlite, WAL", wal(make_url(f"sqlite:///{folder}/wal.db")), folder)
        for kind in SERVERS:
            with contextlib.suppress(pytest.skip.Exception):
                measure(kind, servers.empty(kind), folder)


if __name__ == "__main__":
    main()
