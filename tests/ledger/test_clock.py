"""The clock of a database server: what leases and due times are held against."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest
from sqlalchemy import create_engine
from sqlalchemy import select
from sqlalchemy import type_coerce

from flask_partnerstack.ledger.tables import CurrentMoment
from flask_partnerstack.ledger.tables import Moment
from tests.ledger.restarted import RestartedMariaDB

# In Berlin both are half past two.
IN_SUMMER = datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc)
IN_WINTER = IN_SUMMER + timedelta(hours=1)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestartedMariaDB]:
    """A server whose own time zone has a summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    server = RestartedMariaDB()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_an_hour_that_comes_twice_is_told_apart(berlin: RestartedMariaDB) -> None:
    """The server's wall clock goes back in autumn; the ledger's goes on."""
    engine, said = create_engine(berlin.new_database("clock")), []
    with engine.connect() as conn:
        for moment in (IN_SUMMER, IN_WINTER):
            conn.exec_driver_sql(f"SET TIMESTAMP = {moment.timestamp()}")
            assert str(conn.exec_driver_sql("SELECT NOW()").scalar()) == "2026-10-25 02:30:00"
            said.append(conn.scalar(select(type_coerce(CurrentMoment(), Moment))))
    engine.dispose()
    assert said == [IN_SUMMER, IN_WINTER]
