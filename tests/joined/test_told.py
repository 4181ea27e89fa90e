"""Who is told of a conversion: after its commit, and of nothing that was taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy import text
from sqlalchemy.orm import Session

from flask_partnerstack import Entry
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack.conversion import Conversion
from tests.kit import XID
from tests.kit import Clock
from tests.servers import Servers

from .conftest import House


def track(session: Any, customer_key: str) -> Entry | None:
    return track_conversion(customer_key, xid=XID, session=session)


# --- what was taken back ------------------------------------------------------------------------


def test_a_savepoint_of_the_connection_alone_takes_its_conversion(house: House) -> None:
    """Of its rollback the session hears nothing: what it held is looked for before it is said."""
    session = house.db.session
    track(session, "kept")
    for fate in ("released", "gone"):
        savepoint = session.connection().begin_nested()
        track(session, fate)
        savepoint.commit() if fate == "released" else savepoint.rollback()
    session.commit()
    assert house.recorded == ["kept", "released"]
    assert house.entry("gone") is None


def test_an_id_that_is_given_out_again_is_not_taken_for_the_first(house: House) -> None:
    """On SQLite a customer may get the id of one that was rolled back: only one was recorded."""
    with house.db.engine.connect() as conn:
        track(conn, "gone")
        conn.rollback()
        track(conn, "acme")
        conn.rollback()
        track(conn, "acme")
        conn.commit()
    assert house.recorded == ["acme"]


def test_a_skipped_one_that_is_not_revived_after_all(house: House, clock: Clock) -> None:
    """Its row is there, but not as it was written and taken back."""
    house.ledger.record(Conversion.of(customer_key="acme", xid=XID), skipped=True)
    clock.tick(seconds=1)
    with house.db.engine.connect() as conn:
        track(conn, "acme")
        conn.rollback()
    assert house.recorded == []


# --- a look that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_table_that_is_locked_keeps_no_connection(
    servers: Servers, build: Any, db: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Giving the connection back does not wait for the lock, and the next user finds it whole."""
    house = build(servers.empty(kind), db, pool_size=1, max_overflow=0)
    conn = db.engine.connect()
    track(conn, "acme")
    conn.commit()
    with locked(house, kind):
        conn.close()
        assert house.users() == []
    assert house.recorded == []
    assert "is not known" in caplog.text
    assert house.entry("acme") is not None


@contextmanager
def locked(house: House, kind: str) -> Iterator[None]:
    """Have somebody else lock the ledger's table, as a migration does."""
    how = {
        "postgresql": "LOCK TABLE partnerstack_entry IN ACCESS EXCLUSIVE MODE",
        "mariadb": "LOCK TABLES partnerstack_entry WRITE",
    }
    engine = create_engine(house.url)
    with engine.connect() as conn:
        conn.execute(text(how[kind]))
        yield
        conn.invalidate()
    engine.dispose()


def test_a_connection_that_ended_is_not_given_back(servers: Servers, build: Any, db: Any) -> None:
    """Where nothing can be rolled back any more, the pool makes a new one."""
    house = build(servers.empty("postgresql"), db, pool_size=1, max_overflow=0)
    conn = db.engine.connect()
    track(conn, "acme")
    conn.commit()
    pid = conn.scalar(text("SELECT pg_backend_pid()"))
    conn.rollback()
    other = create_engine(house.url)
    with other.connect() as killer:
        killer.execute(text(f"SELECT pg_terminate_backend({pid})"))
    other.dispose()
    conn.close()
    assert house.users() == []


# --- a receiver's own session -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["commit", "begin"])
def test_a_receiver_may_use_the_session_that_was_committed(house: House, how: str) -> None:
    """Also within ``with session.begin():``, which is being left, and where what it leaves open
    is the next transaction.
    """
    session: Session = house.db.session()

    def greet(_app: object, entry: Entry) -> None:
        house.add_user(f"partner of {entry.customer_key}")
        session.commit()

    with signals.conversion_recorded.connected_to(greet, house.app):
        if how == "begin":
            with session.begin():
                track(session, "acme")
        else:
            track(session, "acme")
            session.commit()
    assert house.users() == ["partner of acme"]
    house.add_user("next")
    session.commit()
    assert house.users() == ["next", "partner of acme"]
