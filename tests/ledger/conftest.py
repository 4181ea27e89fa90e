"""The ledger on every kind of storage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Storage
from flask_partnerstack.ledger.tables import entries
from tests.kit import Clock
from tests.servers import SERVERS
from tests.servers import Servers

LEASE = timedelta(minutes=2)
PAST = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The embedded file, as most users have it."""
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, clock: Clock) -> Ledger:
    return Ledger(database, lease=LEASE, clock=clock)


STORAGES = ["file", "memory", "postgresql", "mariadb"]


@pytest.fixture(params=[*STORAGES, "app's file", "app's postgresql", "app's mariadb"])
def any_ledger(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Servers
) -> Iterator[Ledger]:
    """The same ledger on every storage, its own or the app's."""
    kind = request.param.removeprefix("app's ")
    is_apps = kind != request.param
    with contextlib.ExitStack() as stack:
        if kind in SERVERS:
            make = partial(_make_ledger, is_apps=is_apps)
            url = servers.made(kind, "_apps" if is_apps else "_own", make)
        else:
            url = _local(kind, tmp_path)
        ledger = Ledger(stack.enter_context(_storage(url, is_apps=is_apps)), lease=LEASE)
        if kind not in SERVERS:
            ledger.init()
        yield ledger


def _make_ledger(url: URL, *, is_apps: bool) -> None:
    with _storage(url, is_apps=is_apps) as storage:
        Ledger(storage, lease=LEASE).init()


@contextlib.contextmanager
def _storage(url: URL, *, is_apps: bool) -> Iterator[Storage]:
    with contextlib.ExitStack() as stack:
        if is_apps:
            engine = create_engine(url)
            stack.callback(engine.dispose)
            storage: Storage = AppDatabase(lambda: engine)
        else:
            storage = Database(url, embedded=url.get_backend_name() == "sqlite")
        stack.callback(storage.close)
        yield storage


def _local(kind: str, folder: Path) -> URL:
    return make_url("sqlite://" if kind == "memory" else f"sqlite:///{folder}/partnerstack.db")


@pytest.fixture
def conversion() -> Callable[..., Conversion]:
    """Return what makes conversions, each of another customer unless told."""
    numbers = iter(range(1, 100_000))

    def make(customer_key: str | None = None, **fields: object) -> Conversion:
        key = customer_key or f"customer-{next(numbers)}"
        return Conversion.of(customer_key=key, **{"xid": "h8pb9E7TZK6YMO", **fields})

    return make


@pytest.fixture
def pass_lease(any_ledger: Ledger) -> Callable[[], None]:
    """Return what lets all leases run out; the clock of a server cannot be set."""

    def pass_lease() -> None:
        with any_ledger.storage.write() as conn:
            conn.execute(entries.update().where(entries.c.lease.is_not(None)).values(due_at=PAST))

    return pass_lease
