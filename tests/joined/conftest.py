"""An app with a database of its own, and its ledger in there."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import event
from sqlalchemy import make_url

from flask_partnerstack import Entry
from flask_partnerstack import signals
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.ledger import Ledger
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack
from tests.servers import SERVERS
from tests.servers import Servers


def let_sqlalchemy_begin(engine: Engine) -> None:
    """Follow SQLAlchemy's recipe for savepoints on SQLite."""

    @event.listens_for(engine, "connect")
    def begin_nothing(driver: sqlite3.Connection, _record: object) -> None:
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(conn: Any) -> None:
        conn.exec_driver_sql("BEGIN")


@dataclass
class House:
    """An app with users in a database, and its ledger beside them."""

    app: Flask
    db: Any
    url: URL
    recorded: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return get_state(self.app).ledger

    def add_user(self, name: str) -> None:
        self.db.session.add(self.db.User(name=name))
        self.db.session.flush()

    def users(self) -> list[str]:
        """The users that are committed, seen by a connection of nobody else."""
        with self.db.engine.connect() as conn:
            return sorted(conn.scalars(self.db.select(self.db.User.name)))

    def entry(self, customer_key: str) -> Entry | None:
        """The entry that is committed."""
        try:
            return self.ledger.get(customer_key)
        except EntryNotFound:
            return None

    def hear(self, _app: Flask, entry: Entry) -> None:
        self.recorded.append(entry.customer_key)


def make_db() -> Any:
    db: Any = SQLAlchemy()

    class User(db.Model):  # type: ignore[misc]  # Flask-SQLAlchemy's base is dynamic
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(64), unique=True, nullable=False)

    db.User = User
    return db


@pytest.fixture
def db() -> Any:
    return make_db()


@pytest.fixture
def build(clock: Clock, transport: ScriptedTransport) -> Iterator[Any]:
    """Return what builds a house over a database URL."""
    with contextlib.ExitStack() as stack:

        def build(url: URL, db: Any, *, recipe: bool = False, **options: Any) -> House:
            app = Flask("house")
            app.config.update(
                SQLALCHEMY_DATABASE_URI=url,
                SQLALCHEMY_ENGINE_OPTIONS=options,
                PARTNERSTACK_TOKEN="t0ken",
                PARTNERSTACK_ENGINE="none",
            )
            TravellingPartnerStack(clock, transport).init_app(app, db=db)
            db.init_app(app)
            house = House(app, db, url)
            stack.enter_context(app.app_context())
            if recipe:
                let_sqlalchemy_begin(db.engine)
            db.create_all()
            signals.conversion_recorded.connect(house.hear, app)
            stack.callback(db.engine.dispose)
            stack.callback(db.session.remove)
            return house

        yield build


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def house(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Servers, db: Any, build: Any
) -> House:
    """The house on every database; SQLite as SQLAlchemy's recipe for savepoints has it."""
    on_server = request.param in SERVERS
    url = servers.empty(request.param) if on_server else sqlite_url(tmp_path)
    house: House = build(url, db, recipe=not on_server)
    return house


def sqlite_url(folder: Path) -> URL:
    return make_url(f"sqlite:///{folder}/app.db")


@pytest.fixture
def legacy(tmp_path: Path, db: Any, build: Any) -> House:
    """The house on SQLite as it is without any recipe."""
    house: House = build(sqlite_url(tmp_path), db)
    return house
