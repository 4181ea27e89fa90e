"""What a signup pays for its conversion in the same transaction, beside its own insert.

``python -m benchmarks.joined`` prints medians, in microseconds, for each database that is there:
a signup that inserts a user and commits, and what ``track_conversion(..., session=)`` adds to it.
``PARTNERSTACK_TEST_POSTGRESQL`` and ``PARTNERSTACK_TEST_MARIADB`` point at other servers.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy import make_url

from benchmarks import pairs
from benchmarks.track import AGENT
from benchmarks.track import COOKIE
from benchmarks.track import keys
from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion
from tests.servers import SERVERS
from tests.servers import Servers

ROUNDS, LOOPS = 41, 50


def make_app(url: URL) -> tuple[Flask, Any]:
    """Return an app with users in a database, and its ledger in there."""
    db: Any = SQLAlchemy()

    class User(db.Model):  # type: ignore[misc]  # Flask-SQLAlchemy's base is dynamic
        id = db.Column(db.Integer, primary_key=True)
        public_id = db.Column(db.String(36), unique=True, nullable=False)
        email = db.Column(db.String(254), nullable=False)
        name = db.Column(db.String(64), nullable=False)

    db.User = User
    app = Flask("bench", instance_path=tempfile.mkdtemp())
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url, PARTNERSTACK_TOKEN="token", PARTNERSTACK_ENGINE="none"
    )
    PartnerStack(app, db=db)
    db.init_app(app)
    with app.app_context():
        db.create_all()
    return app, db


def signing_up(db: Any, numbers: Iterator[str], *, joined: bool) -> pairs.Variant:
    """Return one signup: a user, and with ``joined`` a conversion, in one transaction."""

    def sign_up() -> None:
        key = next(numbers)
        db.session.add(db.User(public_id=key, email="jo@example.com", name="Jo"))
        if joined:
            track_conversion(key, email="jo@example.com", name="Jo", session=db.session)
        db.session.commit()

    return sign_up


def measure(name: str, url: URL) -> None:
    """Print one database's line."""
    app, db = make_app(url)
    numbers = keys()
    headers = {"Cookie": COOKIE, "User-Agent": AGENT}
    with app.test_request_context("/signup", method="POST", headers=headers):
        app.preprocess_request()
        variants = {
            "user": signing_up(db, numbers, joined=False),
            "joined": signing_up(db, numbers, joined=True),
        }
        found = pairs.compare(variants, rounds=pairs.rounds(ROUNDS), loops=LOOPS)
        db.session.remove()
        db.engine.dispose()
    alone, both = found["user"], found["joined"]
    more = pairs.over(both, alone)
    print(f"{name:12} {pairs.micros(alone):10.0f} {pairs.micros(both):10.0f} {more:10.0f}")


def main() -> None:
    logging.disable()
    print(pairs.machine())
    print(f"{'µs a signup':12} {'its own':>10} {'with it':>10} {'more':>10}")
    measure("sqlite", make_url(f"sqlite:///{tempfile.mkdtemp()}/app.db"))
    with contextlib.closing(Servers()) as servers:
        for kind in SERVERS:
            with contextlib.suppress(pytest.skip.Exception):
                measure(kind, servers.empty(kind))


if __name__ == "__main__":
    main()
