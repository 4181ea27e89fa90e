"""One transaction with the signup: both are committed, or neither."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from sqlalchemy import Delete
from sqlalchemy import Update
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger.tables import entries
from tests.servers import Servers

from .conftest import House
from .conftest import make_db

XID = "h8pb9E7TZK6YMO"


def track(house: House, customer_key: str, session: Any = None) -> Any:
    return track_conversion(customer_key, xid=XID, session=session or house.db.session)


# --- committed together, or not at all ----------------------------------------------------------


def test_both_are_committed(house: House) -> None:
    """The user and the conversion are there after the commit, and nobody hears of it before."""
    house.add_user("acme")
    entry = track(house, "acme")
    assert house.recorded == []
    house.db.session.commit()
    assert house.users() == ["acme"]
    assert house.entry("acme") == entry
    assert house.recorded == ["acme"]


def test_neither_is_committed(house: House) -> None:
    """Rolled back, there is no user, no conversion, and nothing was said."""
    house.add_user("acme")
    track(house, "acme")
    house.db.session.rollback()
    house.add_user("other")
    house.db.session.commit()
    assert (house.users(), house.entry("acme"), house.recorded) == (["other"], None, [])


def test_a_session_that_is_closed_commits_nothing(house: House) -> None:
    """Leaving the session without a commit is a rollback."""
    track(house, "acme")
    house.db.session.close()
    house.db.session.commit()
    assert (house.entry("acme"), house.recorded) == (None, [])


def test_a_savepoint_that_is_rolled_back_takes_its_conversion(house: House) -> None:
    """What the savepoint held is gone, what was around it stays."""
    house.add_user("kept")
    track(house, "kept")
    savepoint = house.db.session.begin_nested()
    house.add_user("gone")
    track(house, "gone")
    savepoint.rollback()
    house.db.session.commit()
    assert house.users() == ["kept"]
    assert house.entry("gone") is None
    assert house.recorded == ["kept"]


def test_a_savepoint_that_is_released_waits_for_the_outermost_commit(house: House) -> None:
    """SQLAlchemy's after_commit comes for a savepoint, too; nobody hears of it then."""
    with house.db.session.begin_nested():
        house.add_user("acme")
        track(house, "acme")
    assert house.recorded == []
    house.db.session.commit()
    assert house.recorded == ["acme"]


def test_a_released_savepoint_goes_with_the_one_around_it(house: House) -> None:
    """Rolled back from further out, an inner conversion is gone all the same."""
    outer = house.db.session.begin_nested()
    with house.db.session.begin_nested():
        track(house, "acme")
    outer.rollback()
    house.db.session.commit()
    assert (house.entry("acme"), house.recorded) == (None, [])


def test_the_next_transaction_begins_anew(house: House) -> None:
    """What was said once is not said at the next commit, nor what was rolled back before."""
    track(house, "gone")
    house.db.session.rollback()
    track(house, "first")
    house.db.session.commit()
    track(house, "second")
    house.db.session.commit()
    assert house.recorded == ["first", "second"]


def test_the_conversion_is_due_after_the_commit(house: House) -> None:
    """It is delivered like any other."""
    track(house, "acme")
    assert house.ledger.outlook().due_in is None
    house.db.session.commit()
    assert house.ledger.outlook().due_in == pytest.approx(0.0, abs=60)


def test_a_receiver_that_raises_does_not_come_out_of_the_commit(house: House) -> None:
    """Whatever follows the commit, it stays committed and the caller goes on."""

    def refuse(_app: object, entry: object) -> None:
        raise RuntimeError("not today")

    with signals.conversion_recorded.connected_to(refuse, house.app):
        track(house, "acme")
        house.db.session.commit()
    assert house.entry("acme") is not None


def test_a_veto_is_committed_with_the_signup(house: House) -> None:
    """A skipped conversion is in the caller's transaction like any other."""
    get_state(house.app).hooks.add_skip_if(lambda _conversion: "staff")
    entry = track(house, "acme")
    house.db.session.rollback()
    assert (entry.status, house.entry("acme")) == (Status.SKIPPED, None)
    track(house, "acme")
    house.db.session.commit()
    assert house.ledger.get("acme").reason == "staff"
    assert house.recorded == []


# --- a repeated customer key --------------------------------------------------------------------


def test_a_repeated_key_returns_the_first_entry(house: House) -> None:
    """The transaction stays usable, and nothing is said a second time."""
    first = track(house, "acme")
    house.db.session.commit()
    house.add_user("acme")
    assert track(house, "acme") == first
    house.db.session.commit()
    assert house.users() == ["acme"]
    assert house.recorded == ["acme"]


def test_a_key_that_was_committed_meanwhile_is_seen(house: House) -> None:
    """Another transaction recorded it after ours began: its entry comes back."""
    if house.url.get_backend_name() == "sqlite":
        pytest.skip("one writer at a time: nobody commits beside an open write")
    house.add_user("acme")
    house.users()
    with Session(house.db.engine) as other:
        first = track(house, "acme", other)
        other.commit()
    assert track(house, "acme") == first
    house.db.session.commit()
    assert house.users() == ["acme"]


def test_the_same_key_twice_in_one_transaction(house: House) -> None:
    """One entry, said once."""
    assert track(house, "acme") == track(house, "acme")
    house.db.session.commit()
    assert house.recorded == ["acme"]


def test_a_skipped_one_is_revived_with_the_commit(house: House) -> None:
    """Asked again, it becomes pending, and only if the caller commits."""
    track(house, "acme")
    house.db.session.commit()
    with house.ledger._database.write() as conn:
        conn.exec_driver_sql("UPDATE partnerstack_entry SET status = 'skipped', due_at = NULL")
    track(house, "acme")
    house.db.session.rollback()
    assert house.ledger.get("acme").status is Status.SKIPPED
    assert track(house, "acme").status is Status.PENDING
    house.db.session.commit()
    assert house.ledger.get("acme").status is Status.PENDING


def test_many_at_once_make_one_entry(house: House) -> None:
    """Eight transactions record one customer at once: one entry, and the database's own errors."""
    if house.url.get_backend_name() == "sqlite":
        pytest.skip("a deferred transaction that writes late may find the file locked")
    entries: list[int] = []
    barrier = threading.Barrier(8)

    def sign_up() -> None:
        with house.app.app_context():
            barrier.wait()
            with Session(house.db.engine) as session:
                entries.append(track(house, "acme", session).id)
                session.commit()

    threads = [threading.Thread(target=sign_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries) == 8
    assert set(entries) == {house.ledger.get("acme").id}
    assert house.recorded == ["acme"]


def test_many_at_once_revive_one_entry(house: House) -> None:
    """Eight transactions ask a skipped customer again at once: one revives it, and none fails.

    On MariaDB an insert in vain holds the row, so some are told of a deadlock, to try again.
    """
    backend = house.url.get_backend_name()
    if backend == "sqlite":
        pytest.skip("a deferred transaction that writes late may find the file locked")
    least = 8 if backend == "postgresql" else 1
    for number in range(3):
        key = f"acme {number}"
        house.ledger.record(Conversion.of(customer_key=key, xid=XID), skipped=True)
        assert _all_track(house, key) >= least
        assert house.ledger.get(key).status is Status.PENDING
        assert house.recorded == [f"acme {n}" for n in range(number + 1)]


def _all_track(house: House, key: str) -> int:
    """Record one customer in eight transactions at once; return how many were committed."""
    committed: list[int] = []
    barrier = threading.Barrier(8)

    def sign_up() -> None:
        with house.app.app_context():
            barrier.wait()
            with Session(house.db.engine) as session, contextlib.suppress(DBAPIError):
                track(house, key, session)
                session.commit()
                committed.append(1)

    threads = [threading.Thread(target=sign_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(committed)


def test_a_stricter_level_raises_the_databases_own_error(house: House) -> None:
    """A serialization failure is to be tried again, so it comes as it is."""
    if house.url.get_backend_name() != "postgresql":
        pytest.skip("PostgreSQL's REPEATABLE READ")
    engine = house.db.engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session, Session(house.db.engine) as other:
        session.scalars(house.db.select(house.db.User.name)).all()
        track(house, "acme", other)
        other.commit()
        with pytest.raises(DBAPIError, match="serialize"):
            track(house, "acme", session)


def test_mariadbs_snapshot_isolation_raises_its_own_error(servers: Servers, build: Any) -> None:
    """On from 11.6: a row that was written since the snapshot is to be tried again, as it says."""
    house = build(servers.empty("mariadb"), make_db())
    with Session(house.db.engine) as session, Session(house.db.engine) as other:
        try:
            session.execute(text("SET innodb_snapshot_isolation = ON"))
        except OperationalError:
            pytest.skip("MariaDB has known it since 10.6.18")
        session.scalars(house.db.select(house.db.User.name)).all()
        track(house, "acme", other)
        other.commit()
        with pytest.raises(DBAPIError, match="try restarting transaction"):
            track(house, "acme", session)
        session.invalidate()


# --- what can be joined -------------------------------------------------------------------------


def test_a_scoped_session(house: House) -> None:
    """A registry of sessions stands for the one that is current."""
    registry = scoped_session(sessionmaker(house.db.engine))
    track(house, "acme", registry)
    registry.commit()
    assert house.recorded == ["acme"]
    registry.remove()


def test_a_connection(house: House) -> None:
    """A bare connection has no event for its commit: it is said when it is back in its pool."""
    with house.db.engine.connect() as conn:
        track(house, "acme", conn)
        conn.commit()
    assert house.recorded == ["acme"]


def test_a_connection_that_is_rolled_back(house: House) -> None:
    """Nothing is there when it is back, so nothing is said."""
    with house.db.engine.connect() as conn:
        track(house, "gone", conn)
        conn.rollback()
        track(house, "left", conn)
    with house.db.engine.connect():
        pass
    assert (house.entry("gone"), house.entry("left"), house.recorded) == (None, None, [])


def test_a_session_over_a_transaction_of_somebody_else(house: House) -> None:
    """Its commit is not the outermost one: what is rolled back around it was never said."""
    with house.db.engine.connect() as conn, conn.begin() as around:
        session = Session(conn, join_transaction_mode="create_savepoint")
        track(house, "acme", session)
        session.commit()
        assert house.recorded == []
        around.rollback()
        session.close()
    assert (house.entry("acme"), house.recorded) == (None, [])


def test_a_session_with_replicas_writes_to_the_leader(legacy: House) -> None:
    """SQLAlchemy's recipe sends there what changes rows; all else is read from a replica."""
    replica = create_engine("sqlite://")

    class RoutingSession(Session):
        def get_bind(self, *_mapper: Any, clause: Any = None, **_asked: Any) -> Any:
            writes = self._flushing or isinstance(clause, Update | Delete)
            return legacy.db.engine if writes else replica

    with RoutingSession() as session:
        track(legacy, "acme", session)
        session.commit()
    assert legacy.recorded == ["acme"]
    replica.dispose()


def test_a_session_that_is_bound_by_table(legacy: House) -> None:
    """The ledger's table leads to its database, also where every table has one of its own."""
    with Session(binds={entries: legacy.db.engine}) as session:
        track(legacy, "acme", session)
        session.commit()
    assert legacy.recorded == ["acme"]


def test_an_asynchronous_session_is_refused_with_the_way_out(legacy: House) -> None:
    """It cannot be joined from here; the session inside of it can."""
    with pytest.raises(InvalidConversion, match="run_sync") as raised:
        track(legacy, "acme", AsyncSession())
    assert raised.value.field == "session"


@pytest.mark.parametrize("mistake", ["db", "engine", 7])
def test_what_is_no_session_is_refused_by_name(legacy: House, mistake: object) -> None:
    """Whatever else was given, the error says what was expected."""
    given = {"db": legacy.db, "engine": legacy.db.engine}.get(str(mistake), mistake)
    with pytest.raises(InvalidConversion, match="expected a SQLAlchemy Session"):
        track(legacy, "acme", given)


def test_a_session_elsewhere_is_refused(legacy: House) -> None:
    """Nobody would deliver from another database, so nothing is written there."""
    engine = create_engine(make_url("sqlite://"))
    with Session(engine) as session, pytest.raises(InvalidConversion, match="leads to"):
        track(legacy, "acme", session)
    engine.dispose()


def test_another_database_in_memory_is_refused(build: Any, db: Any) -> None:
    """Its URL is the same, and what is recorded there nobody would ever find."""
    house = build(make_url("sqlite://"), db)
    other = create_engine("sqlite://")
    db.metadata.create_all(other)
    with Session(other) as session, pytest.raises(InvalidConversion, match="leads to another"):
        track_conversion("acme", xid=XID, session=session)
    track_conversion("globex", xid=XID, session=house.db.session)
    other.dispose()


def test_a_legacy_savepoint_on_sqlite_is_refused_with_the_recipe(legacy: House) -> None:
    """Releasing it would commit the conversion behind the signup's back."""
    with legacy.db.session.begin_nested(), pytest.raises(InvalidConversion, match="autocommit"):
        track(legacy, "acme")
    legacy.db.session.rollback()
    track(legacy, "acme")
    legacy.db.session.commit()
    assert legacy.recorded == ["acme"]


def test_missing_tables_are_said_with_the_commands(house: House) -> None:
    """The error names what makes them, and the transaction goes on."""
    with house.ledger._database.write() as conn:
        for table in ("attempt", "entry", "fact"):
            conn.exec_driver_sql(f"DROP TABLE partnerstack_{table}")
    house.add_user("acme")
    with pytest.raises(LedgerUnavailable, match=r"flask db upgrade.*init-db"):
        track(house, "acme")
    house.db.session.commit()
    assert house.users() == ["acme"]


def test_a_constraint_of_the_apps_own_comes_out_unchanged(house: House) -> None:
    """It is the database's own error, of the caller's transaction, which ends with it."""
    with house.db.engine.begin() as conn:
        conn.exec_driver_sql("CREATE UNIQUE INDEX once_a_click ON partnerstack_entry (xid)")
    house.add_user("acme")
    track(house, "acme")
    house.db.session.commit()
    house.add_user("globex")
    with pytest.raises(IntegrityError, match=r"once_a_click|partnerstack_entry\.xid"):
        track(house, "globex")
    house.db.session.rollback()
    assert track(house, "acme") == house.entry("acme")
    assert (house.users(), house.recorded) == (["acme"], ["acme"])


def test_without_a_click_a_wrong_session_is_said_all_the_same(legacy: House) -> None:
    """A mistake shows at the first signup, and not at the first that pays."""
    with pytest.raises(InvalidConversion, match="session"):
        track_conversion("acme", session=7)  # type: ignore[arg-type]  # the mistake
