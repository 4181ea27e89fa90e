"""The ledger on every kind of storage."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from tests.kit import Clock

LEASE = timedelta(minutes=2)

#: Environment variables that point the tests at other servers than those on this machine.
SERVERS = {
    "postgresql": ("PARTNERSTACK_TEST_POSTGRESQL", "postgresql+psycopg://root@127.0.0.1/test"),
    "mariadb": ("PARTNERSTACK_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1/test"),
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The embedded file, as most users have it."""
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, clock: Clock) -> Ledger:
    return Ledger(database, lease=LEASE, clock=clock)


@pytest.fixture(params=["file", "memory", "postgresql", "mariadb"])
def any_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """The same ledger on every storage; a server's is a database of the test's own."""
    kind = request.param
    if kind in SERVERS:
        yield from _server_ledger(kind)
        return
    url = f"sqlite:///{tmp_path}/partnerstack.db" if kind == "file" else "sqlite://"
    database = Database(make_url(url), embedded=True)
    yield Ledger(database, lease=LEASE)
    database.close()


def _server_ledger(kind: str) -> Iterator[Ledger]:
    variable, default = SERVERS[kind]
    url = make_url(os.environ.get(variable, default))
    name = f"partnerstack_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as conn:
            conn.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError as e:
        _absent(f"no {kind} at {url.render_as_string(hide_password=True)} ({variable}): {e.orig}")
    database = Database(url.set(database=name), embedded=False)
    ledger = Ledger(database, lease=LEASE)
    ledger.init()
    yield ledger
    database.close()
    with admin.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name}"))
    admin.dispose()


def _absent(reason: str) -> None:
    """Skip on a laptop, fail in CI: what needs a server is never silently untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def conversion() -> Callable[..., Conversion]:
    """Return what makes conversions, each of another customer unless told."""
    numbers = iter(range(1, 100_000))

    def make(customer_key: str | None = None, **fields: object) -> Conversion:
        key = customer_key or f"customer-{next(numbers)}"
        return Conversion.of(customer_key=key, **{"xid": "h8pb9E7TZK6YMO", **fields})

    return make
