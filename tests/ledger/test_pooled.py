"""PostgreSQL behind a pooler, which gives each transaction another of the server's connections."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine
from sqlalchemy import text

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger.pooled import set_up_postgresql
from tests.ledger.conftest import LEASE
from tests.ledger.tunnel import Pooler
from tests.ledger.tunnel import Tunnel
from tests.servers import Servers

Make = Callable[..., Conversion]

#: As in docs/database.md.
SQLALCHEMY_ENGINE_OPTIONS = {"connect_args": {"prepare_threshold": None}}
#: More often than psycopg waits until it prepares a statement.
OFTEN = 8


@pytest.fixture(params=[Tunnel, Pooler])
def tunnel(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Tunnel]:
    tunnel: Tunnel = request.param(servers.empty("postgresql").port or 5432)
    yield tunnel
    tunnel.close()


@pytest.fixture
def database(tunnel: Tunnel, servers: Servers) -> Iterator[Database]:
    database = Database(servers.empty("postgresql").set(port=tunnel.port), embedded=False)
    database.migrate()
    yield database
    database.close()


def test_nothing_is_left_on_a_connection_of_a_pooler(
    database: Database, tunnel: Tunnel, conversion: Make
) -> None:
    """What is prepared or set there would be another client's; else it makes the ledger faster."""
    ledger = Ledger(database, lease=LEASE)
    for number in range(OFTEN):
        ledger.record(conversion(f"key-{number}"))
    with database._engine.connect() as conn:
        prepared = conn.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        bound = conn.scalar(text("SHOW lock_timeout"))
    is_pooled = isinstance(tunnel, Pooler)
    assert (prepared == 0) is is_pooled
    assert bound == ("0" if is_pooled else "2500ms")


def test_waits_for_a_lock_are_bounded_behind_a_pooler(database: Database) -> None:
    """A signup waits for a row that somebody else holds as long as it does without one."""
    for transaction in (database.write, database.read):
        with transaction() as conn:
            assert conn.scalar(text("SHOW lock_timeout")) == "2500ms"


class Psycopg2:
    """Connects to a pooler as psycopg2 does, whose connections have no room for a threshold."""

    __slots__ = ("asked", "info")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.info = SimpleNamespace(backend_pid=1)

    def cursor(self) -> Psycopg2:
        return self

    def execute(self, statement: str) -> None:
        self.asked.append(statement)

    def fetchone(self) -> tuple[int]:
        return (2,)

    def commit(self) -> None: ...

    def close(self) -> None: ...


def test_a_driver_that_prepares_nothing_is_told_nothing() -> None:
    """psycopg2 does not, so that it works behind a pooler as it is."""
    connection = Psycopg2()
    set_up_postgresql(connection, SimpleNamespace(info={}))
    assert connection.asked == ["SELECT pg_backend_pid()"]


def test_an_app_tells_psycopg_of_its_pooler(servers: Servers, conversion: Make) -> None:
    """With ``db=`` the app's engine decides, and the ledger connects as it does."""
    engine = create_engine(servers.empty("postgresql"), **SQLALCHEMY_ENGINE_OPTIONS)
    database = AppDatabase(lambda: engine)
    database.migrate()
    for number in range(OFTEN):
        Ledger(database, lease=LEASE).record(conversion(f"key-{number}"))
    with database.read() as conn:
        assert conn.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    engine.dispose()
