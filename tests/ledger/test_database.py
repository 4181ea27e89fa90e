"""The storage: made at first use, kept, one process's own, and honest when it is gone."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import threading
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import MetaData
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import make_url
from sqlalchemy import select
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Storage
from flask_partnerstack.ledger import add_tables
from flask_partnerstack.ledger import parse_url
from flask_partnerstack.ledger import schema
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.beside import beside
from flask_partnerstack.ledger.connecting import BUSY_WAIT
from flask_partnerstack.ledger.connecting import POOL_WAIT
from flask_partnerstack.ledger.connecting import TURN_WAIT
from flask_partnerstack.ledger.connecting import location_of
from flask_partnerstack.ledger.connecting import same_database
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import SCHEMA_VERSION
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.ledger.trouble import Undone
from flask_partnerstack.ledger.trouble import told
from tests.servers import SERVERS
from tests.servers import Servers

Make = Callable[..., Conversion]


def test_nothing_is_opened_before_the_first_use(database: Database, tmp_path: Path) -> None:
    """Building a ledger makes no file; using it makes file and tables."""
    assert not (tmp_path / "partnerstack.db").exists()
    with database.read():
        assert (tmp_path / "partnerstack.db").exists()


def test_sqlite_is_set_up_to_survive_power_loss(database: Database) -> None:
    """Write-ahead log, every commit flushed to the disk, foreign keys checked."""
    with database.read() as conn:
        settings = [
            conn.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert settings == ["wal", 2, 1, 0]


def test_a_connection_is_kept(database: Database) -> None:
    """A second transaction speaks over the first one's connection."""
    connections = []
    for _ in range(2):
        with database.write() as conn:
            connections.append(conn.connection.dbapi_connection)
    assert connections[0] is connections[1]


def test_a_forked_child_opens_its_own(database: Database) -> None:
    """No connection crosses a fork, not even to be closed, and both sides go on."""
    with database.read() as conn:
        assert conn.scalar(text("SELECT 1")) == 1
    before = set(_open_files("partnerstack.db"))
    child = os.fork()
    if child == 0:
        inherited = set(_open_files("partnerstack.db"))
        with database.write() as conn:
            conn.execute(text("INSERT INTO partnerstack_fact VALUES ('child', 'was here')"))
        os._exit(1 if inherited else 0)
    _, status = os.waitpid(child, 0)
    assert before
    assert os.waitstatus_to_exitcode(status) == 0
    with database.read() as conn:
        found = conn.scalar(text("SELECT value FROM partnerstack_fact WHERE name = 'child'"))
    assert found == "was here"


@pytest.fixture(params=["its own", "the app's"])
def file_storage(request: pytest.FixtureRequest, database: Database) -> Iterator[Storage]:
    """The ledger in a file of its own, and in the app's."""
    database.migrate()
    engine = create_engine(database.url)
    yield database if request.param == "its own" else AppDatabase(lambda: engine)
    engine.dispose()


def test_a_child_records_whatever_another_thread_of_its_parent_was_about(
    file_storage: Storage,
) -> None:
    """A lock of SQLite's that is held at a fork would never be free again in the child."""
    database, ended = file_storage, threading.Event()

    def open_and_close() -> None:
        while not ended.is_set():
            with database.read():
                pass
            database.close()

    thread = threading.Thread(target=open_and_close)
    thread.start()
    codes = [_code_of(_recording_child(database, number)) for number in range(10)]
    ended.set()
    thread.join()
    assert codes == [0] * 10


def test_a_fork_in_a_transaction_waits_for_nobody(database: Database) -> None:
    """Whoever forks is inside itself; both sides go on."""
    with database.write():
        child = os.fork()
        if child == 0:
            os._exit(0)
    assert _code_of(child) == 0
    assert _code_of(_recording_child(database, 1)) == 0


def _recording_child(database: Storage, number: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)  # what hangs, hangs for ever
        Ledger(database, lease=timedelta(minutes=2)).record(
            Conversion.of(customer_key=number, xid="h8pb9E7TZK6YMO")
        )
        code = 0
    finally:
        os._exit(code)


def _code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _open_files(name: str) -> list[str]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [target for link in links if name in (target := str(link.readlink()))]


def test_many_processes_make_the_tables_at_once(tmp_path: Path) -> None:
    """Eight processes whose first use falls together all find one ledger."""
    url = make_url(f"sqlite:///{tmp_path}/partnerstack.db")
    gate = os.pipe()
    children = [_child(url.render_as_string(), number, gate[0]) for number in range(8)]
    os.write(gate[1], b"g" * 8)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate[0])
    os.close(gate[1])
    assert codes == [0] * 8
    with sqlite3.connect(tmp_path / "partnerstack.db") as conn:
        assert conn.execute("SELECT count(*) FROM partnerstack_entry").fetchone() == (8,)
    conn.close()


def _child(url: str, number: int, gate: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.read(gate, 1)
        _record_one(url, number)
        code = 0
    finally:
        os._exit(code)


def _record_one(url: str, number: int) -> None:
    ledger = Ledger(Database(make_url(url), embedded=True), lease=timedelta(minutes=2))
    ledger.record(Conversion.of(customer_key=number, xid="h8pb9E7TZK6YMO"))


def test_writers_wait_for_their_turn(database: Database, conversion: Make, ledger: Ledger) -> None:
    """Four threads that write at once all get through; none sees a locked database."""
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(25):
                ledger.record(conversion())
        except LedgerUnavailable as e:
            failures.append(e)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(ledger.counts().values()) == 100


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """While one writes, another reads what was committed before."""
    with database.write() as writer, database.read() as reader:
        writer.execute(text("INSERT INTO partnerstack_fact VALUES ('new', 'fact')"))
        names = reader.scalars(text("SELECT name FROM partnerstack_fact")).all()
    assert "schema_version" in names


def test_missing_tables_name_the_command(tmp_path: Path) -> None:
    """A ledger that somebody named is not furnished behind their back."""
    database = Database(make_url(f"sqlite:///{tmp_path}/mine.db"), embedded=False)
    with pytest.raises(LedgerUnavailable, match="flask partnerstack init-db"), database.read():
        pass
    assert database.migrate() == 0
    with database.read() as conn:
        assert schema.version_of(conn) == SCHEMA_VERSION
    database.close()


def test_newer_tables_are_left_alone(database: Database) -> None:
    """A ledger that a newer package made is neither used nor changed."""
    with database.write() as conn:
        conn.execute(text("UPDATE partnerstack_fact SET value = '99'"))
    again = Database(database.url, embedded=True)
    with pytest.raises(LedgerUnavailable, match=r"version 99.*newer"), again.read():
        pass
    again.close()


def test_older_tables_are_migrated_step_by_step(database: Database) -> None:
    """Each step from the version that is there to the wanted one is taken, in order, once."""
    taken: list[int] = []

    def step(version: int) -> Callable[[Connection], None]:
        return lambda _conn: taken.append(version)

    steps = {version: step(version) for version in (2, 3)}
    for _ in range(2):
        with database.write() as conn:
            schema.migrate(conn, steps=steps, target=3)
    assert taken == [2, 3]


def test_a_failed_migration_leaves_the_old_version(database: Database) -> None:
    """A step that breaks is rolled back whole, so that it can be tried again."""

    def broken(conn: Connection) -> None:
        conn.execute(text("ALTER TABLE partnerstack_fact ADD COLUMN half VARCHAR(1)"))
        raise OSError("pulled the plug")

    with pytest.raises(LedgerUnavailable, match="pulled the plug"), database.write() as conn:
        schema.migrate(conn, steps={2: broken}, target=2)
    with database.read() as conn:
        assert schema.version_of(conn) == 1
        columns = conn.execute(text("SELECT * FROM partnerstack_fact")).keys()
    assert "half" not in columns


def test_a_locked_ledger_is_said_and_not_waited_for_for_ever(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else holds the write lock, a write gives up with the database's words."""
    monkeypatch.setattr("flask_partnerstack.ledger.connecting.BUSY_WAIT", 0.05)
    impatient = Database(database.url, embedded=True)
    with database.write(), pytest.raises(LedgerUnavailable, match="locked"), impatient.write():
        pass
    impatient.close()


def test_a_pool_that_is_used_up_is_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every connection is taken, the wait ends with a clear error."""
    monkeypatch.setattr("flask_partnerstack.ledger.connecting.POOL_WAIT", 0.05)
    lone = Database(make_url("sqlite://"), embedded=True)
    with lone.read(), pytest.raises(LedgerUnavailable, match="QueuePool limit"), lone.read():
        pass
    lone.close()


def test_waiting_is_bounded_by_five_seconds() -> None:
    """The waits for a turn, a connection and the write lock are five seconds together."""
    assert TURN_WAIT + POOL_WAIT + BUSY_WAIT <= 5.0


def test_a_server_that_is_not_there_is_said() -> None:
    """A database server that does not listen is an error of ours, with its password hidden."""
    url = make_url("postgresql+psycopg://app:hunter2@127.0.0.1:9/ledger?connect_timeout=2")
    database = Database(url, embedded=False)
    with pytest.raises(LedgerUnavailable) as raised, database.read():
        pass
    assert "hunter2" not in whole(raised.value)
    assert "app:***@127.0.0.1:9/ledger" in str(raised.value)


@pytest.mark.parametrize(
    "url", ["s3cret at my server", "postgresql+psycopg://user:p@ss:s3cret@host/db"]
)
def test_a_url_that_is_none_names_the_key_and_not_the_value(url: str) -> None:
    """A mistyped LEDGER_URL may hold a password, so the error says only what was expected."""
    with pytest.raises(ConfigurationError, match="PARTNERSTACK_LEDGER_URL") as raised:
        parse_url(url)
    assert "s3cret" not in whole(raised.value)


@pytest.mark.parametrize("driver", ["postgresql+pg8000", "postgres", "nosuchdb"])
def test_a_missing_driver_names_the_extra_and_its_url(driver: str) -> None:
    """A URL whose driver is not installed says at start-up what to install, and what to write."""
    with pytest.raises(ConfigurationError, match=r"psycopg://.*Flask-PartnerStack\["):
        Database(make_url(f"{driver}://user@host/db"), embedded=False)


#: What makes the next insert fail: no such table, and a constraint that no row of ours meets.
BREAKAGES = (
    "ALTER TABLE partnerstack_entry RENAME TO gone",
    "ALTER TABLE partnerstack_entry ADD COLUMN extra INTEGER DEFAULT 1 CHECK (extra > 1)",
)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_errors_of_the_database_hide_the_customer(
    any_ledger: Ledger, conversion: Make, breakage: str
) -> None:
    """What a failing statement was about to write shows nowhere in its error's whole traceback."""
    jo = conversion("acme", email="jo@acme.com")
    assert any_ledger.entries() == []
    with any_ledger.storage.write() as conn:  # the only way to break the table under its feet
        conn.execute(text(breakage))
    with pytest.raises(LedgerUnavailable) as raised:
        any_ledger.record(jo)
    assert "jo@acme.com" not in whole(raised.value)


def test_a_value_that_no_statement_takes_is_hidden_as_well() -> None:
    """It fails on its way to the database, which has no words of its own for that."""
    error = StatementError("said", "INSERT", {"email": "jo@acme.com"}, TypeError("no moment"))
    with pytest.raises(LedgerUnavailable, match="no moment") as raised, told("here"):
        raise error
    assert "jo@acme.com" not in whole(raised.value)


def whole(error: BaseException) -> str:
    """Return an error as it is logged: with its traceback, and all that led to it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://app:s3cret@host/db", "postgresql+psycopg://app:***@host/db"),
        ("postgresql+psycopg://app@host/db?password=s3cret", "postgresql+psycopg://app@host/db"),
        ("mysql+pymysql://app@/db?passwd=s3cret&unix_socket=/run/my", "?unix_socket=%2Frun%2Fmy"),
        ("postgresql+psycopg:///db?host=one&host=two&sslpassword=s3cret", "/db?host=one&host=two"),
        ("sqlite:////srv/partnerstack.db", "sqlite:////srv/partnerstack.db"),
    ],
)
def test_a_location_says_where_and_keeps_the_secrets(url: str, shown: str) -> None:
    """Drivers take a password in the query as well, under names of their own."""
    location = location_of(make_url(url))
    assert location.endswith(shown)
    assert "s3cret" not in location


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql+psycopg://a@/shop?host=db1", "postgresql+psycopg://b@/shop?host=db2", False),
        ("postgresql+psycopg://a@/shop?host=/run/a", "postgresql://a@/shop?host=/run/b", False),
        ("postgresql+psycopg://a@/?service=shop", "postgresql+psycopg://a@/?service=led", False),
        ("postgresql://a@db1/shop?port=6432", "postgresql://a@db1/shop", False),
        ("mysql+pymysql://a@/s?unix_socket=/a", "mysql+pymysql://a@/s?unix_socket=/b", False),
        ("mysql+pymysql://a@/s?unix_socket=/a", "mysql+mysqldb://b@/s?unix_socket=/a", True),
        ("postgresql+psycopg://a@/shop?host=db1", "postgresql://b@db1:5432/shop", True),
        ("postgresql+psycopg://a@/shop?application_name=x", "postgresql://b@localhost/shop", True),
    ],
)
def test_a_database_is_known_by_where_its_url_leads(one: str, other: str, same: bool) -> None:
    """Whatever driver and user, and whether the place is said before or after the mark."""
    assert same_database(make_url(one), make_url(other)) is same


# --- a server's own ways ------------------------------------------------------------------------


#: Whose transactions are as strict as can be, unless they say otherwise.
STRICT = {
    "postgresql": {"options": "-c default_transaction_isolation=serializable"},
    "mariadb": {"init_command": "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"},
}


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_a_servers_own_strictness_does_not_matter(
    servers: Servers, conversion: Make, kind: str
) -> None:
    """One signup is written while another's entry is claimed, whatever level is the default."""
    url = servers.empty(kind).update_query_dict(STRICT[kind])
    ledger = Ledger(Database(url, embedded=False), lease=timedelta(minutes=2))
    ledger.init()
    ledger.record(conversion("acme"))
    with ledger.storage.write() as conn:
        conn.execute(select(entries)).all()
        assert len(ledger.claim(1)) == 1
        conn.execute(entries.insert(), new_row(conversion("globex"), utcnow(), None))
    assert ledger.get("globex").attempts == 0
    ledger.close()


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_what_is_collected_with_the_apps_pool_is_closed(servers: Servers, kind: str) -> None:
    """An app that is dropped whole leaves no connection; psycopg would warn, which is an error."""
    engine = create_engine(servers.empty(kind))
    own = beside(engine)
    with own.connect() as conn:
        driver: Any = conn.connection.driver_connection
    cycle: list[object] = [engine, engine.pool, own]
    cycle.append(cycle)
    del engine, own, conn, cycle
    gc.collect()
    assert driver.closed if kind == "postgresql" else not driver.open


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_the_first_use_waits_for_no_table_that_somebody_holds(
    servers: Servers, conversion: Make, kind: str
) -> None:
    """A new process of an app, while a migration is under way: its first signup goes on without."""
    engine = create_engine(servers.empty(kind))
    first = Ledger(AppDatabase(lambda: engine), lease=timedelta(minutes=2))
    first.init()
    first.close()
    fresh = Ledger(AppDatabase(lambda: engine), lease=timedelta(minutes=2))
    held = {
        "postgresql": "LOCK TABLE partnerstack_fact IN ACCESS EXCLUSIVE MODE",
        "mariadb": "LOCK TABLES partnerstack_fact WRITE",
    }[kind]
    with engine.connect() as conn:
        conn.exec_driver_sql(held)
        with pytest.raises(LedgerUnavailable, match=r"(?i)lock"):
            fresh.record(conversion("acme"))
        conn.invalidate()
    fresh.close()
    engine.dispose()


def test_who_waits_for_another_to_make_it_ready_is_refused(
    tmp_path: Path, conversion: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one after the other tried, each signup would wait for all before it."""
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.READY_WAIT", 0.01)
    database = Database(make_url(f"sqlite:///{tmp_path}/partnerstack.db"), embedded=True)
    ledger = Ledger(database, lease=timedelta(minutes=2))
    with database._preparing.here, pytest.raises(LedgerUnavailable, match="another thread"):
        ledger.record(conversion("acme"))
    assert ledger.record(conversion("acme")).new
    ledger.close()


@pytest.mark.parametrize("is_apps", [True, False])
def test_a_table_that_somebody_holds_is_not_waited_for_for_long(
    servers: Servers, conversion: Make, is_apps: bool
) -> None:
    """A dump or an ALTER of MariaDB's: an error, and not a day's wait."""
    engine = create_engine(servers.empty("mariadb"))
    ours = Database(engine.url, embedded=False)
    ledger = Ledger(AppDatabase(lambda: engine) if is_apps else ours, lease=timedelta(minutes=2))
    ledger.init()
    ledger.record(conversion("acme"))
    with engine.connect() as conn:
        conn.exec_driver_sql("LOCK TABLES partnerstack_entry READ")
        with pytest.raises(LedgerUnavailable, match=r"(?i)lock"):
            ledger.record(conversion("globex"))
        conn.exec_driver_sql("UNLOCK TABLES")
    ledger.close()
    engine.dispose()


#: As a connection is that was made while its server was read-only, in the middle of a failover.
READ_ONLY = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


@pytest.mark.parametrize("is_apps", [True, False])
@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_a_connection_that_takes_no_writes_is_given_up(
    servers: Servers, conversion: Make, kind: str, is_apps: bool
) -> None:
    """Its signup has another one that does, and so has each after it."""
    engine = create_engine(servers.empty(kind))
    ours = Database(engine.url, embedded=False)
    ledger = Ledger(AppDatabase(lambda: engine) if is_apps else ours, lease=timedelta(minutes=2))
    ledger.init()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            conn = stack.enter_context(ledger.storage.read())
            conn.exec_driver_sql(READ_ONLY[kind])
    assert ledger.record(conversion("acme")).new
    assert ledger.record(conversion("globex")).new
    ledger.close()
    engine.dispose()


def test_a_server_that_takes_no_writes_is_said(servers: Servers, conversion: Make) -> None:
    """Where each connection is like that, a signup has tried three, and does not go on for ever."""
    url = servers.empty("mariadb")
    read_only = {"init_command": READ_ONLY["mariadb"]}
    Database(url, embedded=False).migrate()
    ledger = Ledger(
        Database(url.update_query_dict(read_only), embedded=False), lease=timedelta(minutes=2)
    )
    with pytest.raises(LedgerUnavailable, match=r"(?i)read.only"):
        ledger.record(conversion("acme"))
    ledger.close()


class OfMySQLConnector(sqlite3.Error):
    """As MySQL's own driver raises it: a number, and a SQLSTATE that says next to nothing."""

    sqlstate = "HY000"


def test_a_driver_that_has_a_state_and_a_number_is_understood(
    database: Database, ledger: Ledger
) -> None:
    """The number alone says that the server takes no writes."""
    refusal = OfMySQLConnector(1290, "1290 (HY000): The server is running with --read-only")

    def driver_in_use() -> object:
        with ledger.storage.read() as conn:
            return conn.connection.driver_connection

    before = driver_in_use()
    with pytest.raises(LedgerUnavailable, match="read-only"), ledger.storage.write():
        raise DBAPIError("INSERT", None, refusal)
    assert driver_in_use() is not before


class OfPg8000(sqlite3.Error):
    """As pg8000 raises it: all that PostgreSQL says, its detail with the row too, in one mapping.

    https://github.com/tlocke/pg8000#api-docs
    """


@pytest.mark.parametrize(("code", "kind"), [("40P01", Undone), ("23514", LedgerUnavailable)])
def test_a_driver_that_has_a_mapping_is_understood(
    code: str, kind: type[LedgerUnavailable]
) -> None:
    """A deadlock is known by its code, and of what was said only the words are told."""
    row = "Failing row contains (3, ada@lovelace.example)."
    said = OfPg8000({"S": "ERROR", "C": code, "M": "no such luck", "D": row})
    with pytest.raises(LedgerUnavailable, match=r"used: no such luck$") as told_of, told("there"):
        raise DBAPIError("INSERT", None, said)
    assert type(told_of.value) is kind


@pytest.fixture
def latin1(servers: Servers) -> URL:
    """An old database of MariaDB's, whose tables have western letters only unless told."""
    url = servers.empty("mariadb")
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.exec_driver_sql(f"ALTER DATABASE {url.database} CHARACTER SET latin1")
    engine.dispose()
    return url


@pytest.mark.parametrize("made_by", ["init-db", "the app's metadata"])
def test_names_have_all_letters(latin1: URL, made_by: str) -> None:
    """A database whose default is latin1 keeps a Łukasz and his smile, and tells keys apart."""
    ledger = Ledger(Database(latin1, embedded=False), lease=timedelta(minutes=2))
    if made_by == "init-db":
        ledger.init()
    else:
        _create_all(latin1)
    keys = ["Łukasz 😀", "łukasz 😀", "Łukasz 😀 ", "Lukasz 😀"]
    for key in keys:
        ledger.record(Conversion.of(customer_key=key, xid="h8pb9E7TZK6YMO", name=key))
    assert [entry.customer_key for entry in ledger.entries()] == keys[::-1]
    assert ledger.conversion_of(ledger.get(keys[0])).name == keys[0]
    ledger.close()


def _create_all(url: URL) -> None:
    engine, theirs = create_engine(url), MetaData()
    add_tables(theirs)
    theirs.create_all(engine)
    engine.dispose()


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_tables_of_the_apps_making_hold_their_facts(servers: Servers, kind: str) -> None:
    """Made by Alembic or create_all, and used by their URL: many begin one pause between them."""
    url = servers.empty(kind)
    _create_all(url)
    databases = [Database(url, embedded=False) for _ in range(6)]  # as many processes have
    begun: list[object] = []

    def begin(database: Database) -> None:
        ledger = Ledger(database, lease=timedelta(minutes=2))
        try:
            begun.append(ledger.begin_pause(Cause.DENIED, "HTTP 401"))
        except (LedgerUnavailable, SQLAlchemyError) as e:
            begun.append(e)

    _at_once(begin, databases)
    assert sorted(map(str, begun)) == ["False"] * 5 + ["True"]


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_many_hosts_make_the_tables_at_once(servers: Servers, kind: str) -> None:
    """``init-db`` of six hosts that are deployed together: one makes them, the others find them."""
    url = servers.empty(kind)
    databases = [Database(url, embedded=False) for _ in range(6)]
    found: list[object] = []

    def init(database: Database) -> None:
        try:
            found.append(database.migrate())
        except (LedgerUnavailable, SQLAlchemyError) as e:
            found.append(e)

    _at_once(init, databases)
    assert sorted(map(str, found)) == ["0", *[str(SCHEMA_VERSION)] * 5]


def test_a_migration_that_is_kept_waiting_for_its_turn_changes_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB answers that the lock was not had, and goes on: two would make the tables at once."""
    monkeypatch.setattr("flask_partnerstack.ledger.schema.MIGRATION_WAIT", 0)
    database = Database(servers.empty("mariadb"), embedded=False)
    other = create_engine(database.url)
    with other.connect() as conn:
        assert conn.scalar(text(f"SELECT GET_LOCK({schema.MYSQL_LOCK}, 0)")) == 1
        with pytest.raises(LedgerUnavailable, match=r"somebody else .* Try again later"):
            database.migrate()
        assert conn.scalars(text("SHOW TABLES")).all() == []
        conn.invalidate()  # and its lock ends with it
    other.dispose()
    database.close()


def test_a_migration_finds_the_version_of_whoever_went_before(servers: Servers) -> None:
    """Also before that one's transaction ends, and takes no step a second time."""
    url, taken = servers.empty("mariadb"), []
    first, second = (Database(url, embedded=False) for _ in range(2))
    first.migrate()
    with first.write() as conn, second.write() as other:
        schema.migrate(conn, steps={2: lambda _conn: taken.append("first")}, target=2)
        schema.migrate(other, steps={2: lambda _conn: taken.append("second")}, target=2)
    assert taken == ["first"]
    for database in (first, second):
        database.close()


def _at_once(act: Callable[[Database], None], databases: list[Database]) -> None:
    threads = [threading.Thread(target=act, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()


def test_what_is_in_use_while_its_pool_is_dropped_is_closed_in_the_end(
    ledger: Ledger, database: Database
) -> None:
    """It comes back to a pool that nobody has; Python warns of what the collector finds open."""
    ledger.init()
    made: list[sqlite3.Connection] = []
    event.listen(database._engine, "connect", lambda driver, _record: made.append(driver))
    with database.read():
        database.before_fork()
    with database.read():
        pass
    gc.collect()
    dropped, kept = made[-2:]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        dropped.execute("SELECT 1")
    assert kept.execute("SELECT 1").fetchone() == (1,)
