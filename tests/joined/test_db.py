"""The ledger in the app's own database: Flask-SQLAlchemy, its Lite sister, and their tools."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_sqlalchemy_lite import SQLAlchemy as LiteSQLAlchemy
from sqlalchemy import MetaData
from sqlalchemy import NullPool
from sqlalchemy import Pool
from sqlalchemy import StaticPool
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.orm import Session

from flask_partnerstack import PartnerStack
from flask_partnerstack import Status
from flask_partnerstack import set_customer
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import add_tables
from flask_partnerstack.ledger import joined
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.settings import Settings
from flask_partnerstack.testing import rehearse
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.servers import SERVERS
from tests.servers import Servers

from .conftest import House
from .conftest import let_sqlalchemy_begin
from .conftest import make_db
from .conftest import sqlite_url

XID = "h8pb9E7TZK6YMO"
TABLES = {"partnerstack_attempt", "partnerstack_entry", "partnerstack_fact"}


# --- its tables ---------------------------------------------------------------------------------


def test_the_tables_join_the_apps_metadata(db: Any) -> None:
    """As soon as the extension has db, its own tools see the ledger's tables."""
    PartnerStack(db=db)
    assert set(db.metadata.tables) >= TABLES


def test_create_all_makes_a_ledger(house: House) -> None:
    """After db.create_all() nothing else has to be run."""
    assert track_conversion("acme", xid=XID) is not None
    assert house.ledger.counts()[Status.PENDING] == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_migrations_that_are_generated_make_a_ledger(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    """Flask-Migrate writes them without imports of ours, and finds nothing to change afterwards."""
    url = servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path)
    folder = tmp_path / "migrations"
    subprocess.run(
        [sys.executable, "-m", "tests.joined.migrated", url.render_as_string(False), str(folder)],
        check=True,
    )
    engine = create_engine(url)
    ledger = Ledger(AppDatabase(lambda: engine), lease=Settings().lease)
    assert ledger.get("acme").status is Status.PENDING
    (migration,) = folder.glob("versions/*.py")
    assert "flask_partnerstack" not in migration.read_text()
    engine.dispose()


#: As Alembic's and Flask-SQLAlchemy's manuals advise, with an index's as many have it.
CONVENTION = {
    "ix": "idx_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


@pytest.mark.parametrize("convention", [None, CONVENTION], ids=["plain", "convention"])
@pytest.mark.parametrize("made_by", ["init-db", "create_all"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_migrations_find_nothing_to_change(
    tmp_path: Path, servers: Servers, kind: str, made_by: str, convention: dict[str, str] | None
) -> None:
    """Whoever made the tables, and whatever the app calls what has no name."""
    engine = create_engine(servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path))
    metadata = MetaData(naming_convention=convention)
    add_tables(metadata)
    if made_by == "init-db":
        Ledger(AppDatabase(lambda: engine), lease=Settings().lease).init()
    else:
        metadata.create_all(engine)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
    engine.dispose()


def test_tables_that_lack_a_column_are_not_used(house: House) -> None:
    """Tables of an older version, made by the app's migrations, are said and never guessed."""
    with house.db.engine.begin() as conn:
        conn.execute(text("DROP TABLE partnerstack_attempt"))
    with pytest.raises(LedgerUnavailable, match="flask db migrate"):
        track_conversion("acme", xid=XID)


def test_tables_are_added_once(db: Any) -> None:
    """One db object may serve many apps."""
    PartnerStack(Flask("one"), db=db)
    PartnerStack(Flask("other"), db=db)
    assert set(db.metadata.tables) == {*TABLES, "user"}


def test_add_tables_serves_any_metadata(tmp_path: Path) -> None:
    """An app that keeps its own metadata adds the tables there itself."""
    metadata = MetaData()
    add_tables(metadata)
    engine = create_engine(sqlite_url(tmp_path))
    metadata.create_all(engine)
    Ledger(AppDatabase(lambda: engine), lease=Settings().lease).counts()
    engine.dispose()


# --- set up -------------------------------------------------------------------------------------


def test_db_and_ledger_url_together_are_refused(db: Any) -> None:
    """The ledger lies in one database, so one of the two is a mistake."""
    app = Flask("app")
    app.config["PARTNERSTACK_LEDGER_URL"] = "sqlite:///ledger.db"
    with pytest.raises(ConfigurationError, match=r"PARTNERSTACK_LEDGER_URL: .*db="):
        PartnerStack(app, db=db)


def test_what_is_no_db_is_refused(db: Any) -> None:
    """An engine, or a session, is not what was asked for."""
    with pytest.raises(ConfigurationError, match="expected the SQLAlchemy object"):
        PartnerStack(db=db.session)


@pytest.mark.parametrize("register", [PartnerStack, PartnerStack().init_app])
def test_db_in_the_place_of_the_app_is_refused(register: Callable[[Any], object], db: Any) -> None:
    """Passed by position it is no app; the error says by which name it goes."""
    with pytest.raises(ConfigurationError, match=r"^app: .* got SQLAlchemy\b.*\(app, db=db\)"):
        register(db)


def test_db_may_be_registered_later(tmp_path: Path, db: Any) -> None:
    """The order of init_app calls does not matter."""
    app = Flask("app")
    app.config.update(SQLALCHEMY_DATABASE_URI=sqlite_url(tmp_path), PARTNERSTACK_ENGINE="none")
    PartnerStack(app, db=db)
    db.init_app(app)
    with app.app_context():
        db.create_all()
        assert track_conversion("acme", xid=XID) is not None
        db.engine.dispose()


def test_a_db_that_was_never_registered_is_said(db: Any) -> None:
    """The error comes from the ledger, with what Flask-SQLAlchemy has to say."""
    app = Flask("app")
    PartnerStack(app, db=db)
    with app.app_context(), pytest.raises(LedgerUnavailable, match="init_app"):
        track_conversion("acme", xid=XID)


def test_two_apps_have_two_ledgers(tmp_path: Path, db: Any) -> None:
    """One extension and one db serve both, each in its own database."""
    partnerstack = PartnerStack(db=db)
    for name in ("one", "other"):
        app = Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/{name}.db"
        app.config["PARTNERSTACK_ENGINE"] = "none"
        db.init_app(app)
        partnerstack.init_app(app)
        with app.app_context():
            db.create_all()
            track_conversion(name, xid=XID)
            assert [entry.customer_key for entry in get_state(app).ledger.entries()] == [name]
            db.engine.dispose()


@pytest.mark.parametrize("committed", [True, False])
def test_lite(tmp_path: Path, committed: bool) -> None:
    """Flask-SQLAlchemy-Lite has no metadata; its session is joined all the same."""
    db = LiteSQLAlchemy()
    app = Flask("lite", instance_path=str(tmp_path))
    app.config["SQLALCHEMY_ENGINES"] = {"default": f"sqlite:///{tmp_path}/lite.db"}
    app.config["PARTNERSTACK_ENGINE"] = "none"
    db.init_app(app)
    PartnerStack(app, db=db)
    with app.app_context():
        get_state(app).ledger.init()
        track_conversion("acme", xid=XID, session=db.session)
        if committed:
            db.session.commit()
        db.session.rollback()
        assert sum(get_state(app).ledger.counts().values()) == int(committed)
        db.session.close()
        db.engine.dispose()


# --- without session= ---------------------------------------------------------------------------


def test_an_own_connection_is_committed_at_once(house: House) -> None:
    """Not joined by guess: what the caller rolls back later does not take it along."""
    track_conversion("acme", xid=XID)
    house.db.session.rollback()
    assert house.entry("acme") is not None


@pytest.mark.parametrize("kind", ["legacy", "wal", "postgresql", "mariadb"])
def test_an_open_transaction_that_only_reads_does_not_matter(
    tmp_path: Path, servers: Servers, db: Any, build: Any, kind: str
) -> None:
    """A page that looked at its users first records all the same."""
    url = servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path)
    if kind == "wal":
        keep_wal(url)
    house = build(url, db, recipe=kind == "wal")
    assert house.db.session.scalars(house.db.select(house.db.User)).all() == []
    track_conversion("acme", xid=XID)
    assert house.entry("acme") is not None


def keep_wal(url: Any) -> None:
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()


def test_without_wal_an_open_read_on_sqlite_is_said_as_well(house: House) -> None:
    """It would keep our commit waiting until the page is done, which waits for us."""
    if house.url.get_backend_name() != "sqlite":
        pytest.skip("SQLite's rollback journal")
    house.db.session.scalars(house.db.select(house.db.User)).all()
    with pytest.raises(LedgerUnavailable, match=r"session=db\.session"):
        track_conversion("acme", xid=XID)


@pytest.mark.parametrize("recipe", [True, False])
def test_an_open_write_on_sqlite_is_said_at_once(
    tmp_path: Path, db: Any, build: Any, recipe: bool
) -> None:
    """We would wait for ourselves: the error says what to pass, and nobody waits five seconds."""
    house = build(sqlite_url(tmp_path), db, recipe=recipe)
    house.add_user("acme")
    with pytest.raises(LedgerUnavailable, match=r"session=db\.session"):
        track_conversion("acme", xid=XID)
    house.db.session.commit()
    assert track_conversion("acme", xid=XID) is not None


def test_in_memory_an_open_write_is_said(build: Any, db: Any) -> None:
    """There the app has one connection, and a commit of ours would be its own."""
    house = build(make_url("sqlite://"), db)
    house.add_user("acme")
    with pytest.raises(LedgerUnavailable, match=r"session=db\.session"):
        track_conversion("acme", xid=XID)
    house.db.session.rollback()
    assert house.users() == []


def test_in_memory_nothing_is_delivered_in_the_background(
    db: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread engine stays asleep, and says why."""
    app = Flask("app")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", PARTNERSTACK_TOKEN="t0ken")
    db.init_app(app)
    PartnerStack(app, db=db)
    with app.app_context():
        db.create_all()
        track_conversion("acme", xid=XID, session=db.session)
        db.session.commit()
        assert get_state(app).ledger.get("acme").attempts == 0
        assert "nothing is delivered in the background" in caplog.text
        db.engine.dispose()


@pytest.mark.parametrize(
    "breakage",
    [
        "ALTER TABLE partnerstack_entry RENAME TO gone",
        "ALTER TABLE partnerstack_entry ADD COLUMN extra INTEGER DEFAULT 1 CHECK (extra > 1)",
    ],
)
def test_a_signup_that_is_not_recorded_is_logged_without_what_it_said(
    house: House, caplog: pytest.LogCaptureFixture, breakage: str
) -> None:
    """The app's engine says what it was given in its errors; our line keeps that to itself."""

    @house.app.post("/signup")
    @track_signup
    def signup() -> str:
        set_customer("acme", email="jo@acme.com", name="Jo Doe")
        return "welcome"

    assert house.entry("acme") is None
    with house.db.engine.begin() as conn:
        conn.execute(text(breakage))
    client = house.app.test_client()
    client.set_cookie("ps_xid", XID)
    assert client.post("/signup").status_code == 200
    assert "NOT recorded: customer acme" in caplog.text
    (said,) = [record for record in caplog.records if record.exc_info]
    assert isinstance(said.exc_info and said.exc_info[1], LedgerUnavailable)
    assert "Traceback" in caplog.text
    assert not [said for said in ("jo@acme.com", "Jo Doe") if said in caplog.text]


# --- the app's engine ---------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_an_engine_of_another_isolation_level_delivers_once(
    servers: Servers, db: Any, build: Any, transport: ScriptedTransport, level: str
) -> None:
    """Our own transactions are transactions, and none too strict, whatever the app likes."""
    house = build(servers.empty("postgresql"), db, isolation_level=level)
    track_conversion("acme", xid=XID)
    get_state(house.app).dispatcher.run_pass()
    assert house.ledger.get("acme").status is Status.DELIVERED
    assert len(transport.requests) == 1


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize(
    "options",
    [
        {"isolation_level": "AUTOCOMMIT"},
        {"execution_options": {"isolation_level": "AUTOCOMMIT"}},
        {"connect_args": {"autocommit": True}},
        {"connect_args": {"autocommit": True}, "poolclass": NullPool},
    ],
)
def test_an_engine_that_commits_each_statement_has_our_transactions_whole(
    servers: Servers, db: Any, build: Any, kind: str, options: dict[str, Any]
) -> None:
    """What two deliverers hold against each other lasts longer than one statement."""
    house = build(servers.empty(kind), db, **options)
    track_conversion("acme", xid=XID)
    with contextlib.suppress(ValueError), house.ledger.storage.write() as conn:
        conn.execute(entries.delete())
        raise ValueError("anything")
    assert house.entry("acme") is not None
    with house.db.engine.connect() as conn:
        conn.exec_driver_sql("DELETE FROM partnerstack_entry")
    assert house.entry("acme") is None


@pytest.mark.parametrize("in_session", [True, False])
def test_no_event_and_no_pragma_is_set_on_the_apps_engine(legacy: House, in_session: bool) -> None:
    """The app's SQLite keeps its journal mode, and its engine whatever listens to it."""
    statements: list[str] = []

    @event.listens_for(legacy.db.engine, "before_cursor_execute")
    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = legacy.db.engine
    before = [listeners(target) for target in (engine, engine.dialect, engine.pool)]
    track_conversion("acme", xid=XID, session=legacy.db.session if in_session else None)
    legacy.db.session.commit()
    legacy.ledger.claim(1)
    assert [listeners(target) for target in (engine, engine.dialect, engine.pool)] == before
    assert statements
    assert not [statement for statement in statements if statement.startswith("PRAGMA journal")]
    with legacy.db.engine.connect() as conn:
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_session_has_sqlalchemys_classes_listened_to() -> None:
    """Once for the process, and so of every session and pool: three events, and one."""
    engine = create_engine("sqlite://")
    found = {**listeners(Session()), **listeners(engine.pool)}
    ours = [e for e, heard in found.items() if joined.__name__ in {f.__module__ for f in heard}]
    assert ours == ["after_commit", "after_soft_rollback", "after_transaction_end", "checkin"]


def listeners(target: Any) -> dict[str, list[Any]]:
    """Return who listens to it, by the event.

    Those who listen to all of its class, as session= has it, are there before.
    """
    return {
        name: list(getattr(target.dispatch, name)) for name in sorted(target.dispatch._event_names)
    }


@pytest.mark.parametrize("kind", ["wal", "postgresql", "mariadb"])
def test_what_is_recorded_waits_for_no_connection_of_the_apps(
    tmp_path: Path, servers: Servers, db: Any, build: Any, kind: str
) -> None:
    """The request's session has the last one until it ends, and a signup is recorded beside it."""
    url = servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path)
    if kind == "wal":
        keep_wal(url)
    house = build(url, db, recipe=kind == "wal", pool_size=1, max_overflow=0, pool_timeout=0.1)
    assert house.db.session.scalars(house.db.select(house.db.User)).all() == []
    track_conversion("acme", xid=XID)
    assert house.entry("acme") is not None


def test_a_connection_of_the_ledgers_is_made_as_the_apps(
    servers: Servers, db: Any, build: Any
) -> None:
    """With a token made for each, with what a listener sets, and seen by who listens to all."""
    house = build(servers.empty("postgresql"), db)
    heard: list[str] = []
    engine = house.db.engine
    event.listen(engine, "do_connect", lambda *of: of[3].update(application_name="token"))
    event.listen(engine, "connect", set_search_path)
    with house.ledger.storage.read() as conn:
        event.listen(engine, "before_cursor_execute", lambda *of: heard.append(of[2]))
        said = [conn.exec_driver_sql(f"SHOW {name}").scalar() for name in SET_BY_THE_APP]
    assert said == ["token", "public, pg_catalog"]
    assert heard == [f"SHOW {name}" for name in SET_BY_THE_APP]


SET_BY_THE_APP = ("application_name", "search_path")


def set_search_path(driver: Any, _record: object) -> None:
    driver.execute("SET search_path = public, pg_catalog")
    driver.commit()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_connections_of_the_ledgers_end_with_the_apps(
    tmp_path: Path, servers: Servers, db: Any, build: Any, kind: str
) -> None:
    """Disposing of the app's engine leaves none open, and the next call makes another."""
    house = build(servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path), db)
    track_conversion("acme", xid=XID)
    pool = pool_of(house)
    kept = pool.checkedin()
    house.db.engine.dispose()
    gc.collect()  # an error that SQLAlchemy caught in the meantime may still know the app's pool
    assert (kept, pool.checkedin()) == (1, 0)
    assert house.entry("acme") is not None
    assert pool_of(house) is not pool


def pool_of(house: House) -> Any:
    """Return the pool that the ledger has its connections of."""
    with house.ledger.storage.read() as conn:
        return conn.engine.pool


@pytest.mark.parametrize("pool", [NullPool, StaticPool])
def test_a_pool_that_cannot_be_used_up_is_shared(
    servers: Servers, db: Any, build: Any, pool: type[Pool]
) -> None:
    """One that keeps no connection, or just one, is what the app wants of its database."""
    house = build(servers.empty("postgresql"), db, poolclass=pool)
    house.db.session.remove()
    track_conversion("acme", xid=XID)
    assert pool_of(house) is house.db.engine.pool


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_a_forked_child_has_connections_of_its_own(
    tmp_path: Path, servers: Servers, db: Any, build: Any, kind: str
) -> None:
    """None of the ledger's crosses a fork, and the app's pool may be forgotten or not."""
    house = build(servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path), db)
    track_conversion("parent", xid=XID)
    house.db.session.remove()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            house.db.engine.dispose(close=False)
            track_conversion("child", xid=XID)
        os._exit(0)
    os.waitpid(child, 0)
    assert {entry.customer_key for entry in house.ledger.entries()} == {"child", "parent"}


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_connections_that_the_server_closed_are_replaced(
    servers: Servers, db: Any, build: Any, kind: str
) -> None:
    """After the server has ended every connection, the next call connects anew."""
    url = servers.empty(kind)
    house = build(url, db)
    track_conversion("before", xid=XID)
    house.db.session.remove()
    end_connections(url, kind)
    track_conversion("after", xid=XID)
    end_connections(url, kind)
    assert [entry.customer_key for entry in house.ledger.entries()] == ["after", "before"]


def end_connections(url: Any, kind: str) -> None:
    """End all connections to a database but this one, as a restart of the server does."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        if kind == "postgresql":
            conn.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            others = conn.exec_driver_sql(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            for (number,) in others.all():
                conn.exec_driver_sql(f"KILL {number}")
    engine.dispose()


def test_a_row_that_somebody_holds_is_not_waited_for_for_long(
    servers: Servers, db: Any, build: Any
) -> None:
    """A signup beside another one's open transaction, same customer: an error and no long wait."""
    for kind in ("postgresql", "mariadb"):
        url = servers.empty(kind)
        house = build(url, make_db())
        track_conversion("holder", xid=XID, session=house.db.session)
        with pytest.raises(LedgerUnavailable, match=r"(?i)lock"):
            track_conversion("holder", xid=XID)
        house.db.session.rollback()


@pytest.mark.parametrize("breaks", [False, True])
def test_the_apps_own_bound_for_locks_stays(
    servers: Servers, db: Any, build: Any, breaks: bool
) -> None:
    """What the app set on its connection holds again after us, whatever happened in between."""
    house = build(servers.empty("mariadb"), db, pool_size=1, max_overflow=0)
    with house.db.engine.connect() as conn:
        conn.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 17")
    with contextlib.suppress(ValueError), house.ledger.storage.write() as conn:
        bound = conn.exec_driver_sql("SELECT @@SESSION.innodb_lock_wait_timeout").scalar()
        if breaks:
            raise ValueError("anything")
    with house.db.engine.connect() as conn:
        left = conn.exec_driver_sql("SELECT @@SESSION.innodb_lock_wait_timeout").scalar()
    assert (bound, left) == (2, 17)


@pytest.mark.parametrize("name", ["innodb_lock_wait_timeout", "lock_wait_timeout"])
def test_a_bound_on_the_apps_one_connection_stays(
    servers: Servers, db: Any, build: Any, name: str
) -> None:
    """Where there is but one for all, it waits for rows and for tables as the app wants it to."""
    house = build(servers.empty("mariadb"), db, poolclass=StaticPool)
    house.db.session.remove()
    with house.db.engine.connect() as conn:
        conn.exec_driver_sql(f"SET SESSION {name} = 17")
    with house.ledger.storage.write() as conn:
        bound = conn.exec_driver_sql(f"SELECT @@SESSION.{name}").scalar()
    with house.db.engine.connect() as conn:
        left = conn.exec_driver_sql(f"SELECT @@SESSION.{name}").scalar()
    assert (bound, left) == (2, 17)


def test_a_connection_that_breaks_is_not_given_back(servers: Servers, db: Any, build: Any) -> None:
    """Killed in the middle it cannot get its bound back: the pool gets another one."""
    house = build(servers.empty("mariadb"), db, pool_size=1, max_overflow=0)
    with pytest.raises(LedgerUnavailable), house.ledger.storage.write():
        end_connections(house.url, "mariadb")
    assert track_conversion("acme", xid=XID) is not None
    assert house.entry("acme") is not None


def test_sessions_made_before_the_first_use_are_heard(
    tmp_path: Path, db: Any, build: Any, clock: Clock
) -> None:
    """Whoever opened a session before anybody passed one is told of its commit as well."""
    house = build(sqlite_url(tmp_path), db)
    session = house.db.session()
    let_sqlalchemy_begin(house.db.engine)
    track_conversion("acme", xid=XID, session=session)
    session.commit()
    assert house.recorded == ["acme"]


def test_a_rehearsal_keeps_the_apps_database(legacy: House) -> None:
    """A signup in one transaction can be rehearsed, too."""
    with rehearse(legacy.app) as rehearsal:
        legacy.add_user("acme")
        track_conversion("acme", xid=XID, session=legacy.db.session)
        legacy.db.session.commit()
        rehearsal.assert_converted("acme")
    assert legacy.entry("acme") is not None


def test_no_rehearsal_touches_what_waits_in_the_apps_database(legacy: House) -> None:
    """A real conversion there is none of its business: it is refused, with the way out."""
    with legacy.app.app_context():
        track_conversion("real", xid=XID)
    before = legacy.entry("real")
    with (
        pytest.raises(ConfigurationError, match=r"entries that wait .*SQLALCHEMY_DATABASE_URI"),
        rehearse(legacy.app),
    ):
        pass
    assert legacy.entry("real") == before


def test_a_rehearsal_begins_before_its_tables_are_made(legacy: House) -> None:
    """What is not there holds nobody's conversion."""
    legacy.db.drop_all()
    with rehearse(legacy.app) as rehearsal:
        legacy.db.create_all()
        track_conversion("acme", xid=XID)
        rehearsal.assert_converted("acme")
