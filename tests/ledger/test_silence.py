"""A database server that stays connected and says nothing: it is not waited for for ever."""

from __future__ import annotations

import contextlib
import gc
import signal
import time
import weakref
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import create_engine
from sqlalchemy import literal
from sqlalchemy import select
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import parse_url
from flask_partnerstack.ledger.connecting import make_engine
from flask_partnerstack.ledger.waiting import connect_arguments
from tests.ledger.conftest import LEASE
from tests.ledger.tunnel import Tunnel
from tests.servers import SERVERS
from tests.servers import Servers

PORTS = {"postgresql": 5432, "mariadb": 3306}
Make = Callable[..., Conversion]


@pytest.fixture(params=sorted(SERVERS))
def url(request: pytest.FixtureRequest, servers: Servers) -> URL:
    return servers.empty(request.param)


@pytest.fixture
def tunnel(url: URL) -> Iterator[Tunnel]:
    tunnel = Tunnel(url.port or PORTS["mariadb" if "mysql" in url.drivername else "postgresql"])
    yield tunnel
    tunnel.close()


@pytest.fixture
def ledger(url: URL, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger at the end of the tunnel, that does not wait long."""
    straight = Database(url, embedded=False)
    straight.migrate()
    straight.close()
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.ANSWER_WAIT", 1)
    database = Database(url.set(port=tunnel.port), embedded=False)
    yield Ledger(database, lease=LEASE)
    database.close()


def test_a_signup_does_not_wait_for_ever(ledger: Ledger, tunnel: Tunnel, conversion: Make) -> None:
    """A connection that was kept is given up; the next one finds nobody."""
    ledger.record(conversion())
    tunnel.fall_silent()
    with pytest.raises(LedgerUnavailable):
        ledger.record(conversion())


def test_a_silence_in_the_middle_ends_the_connection(ledger: Ledger, tunnel: Tunnel) -> None:
    """What it might still say is an answer to nobody's question, so nobody has it next."""
    with contextlib.suppress(LedgerUnavailable), ledger.storage.write() as conn:
        driver: Any = conn.connection.driver_connection
        tunnel.fall_silent()
        with pytest.raises(DBAPIError):
            conn.execute(select(literal(1)))
    assert driver.closed if conn.dialect.name == "postgresql" else not driver.open


class _Stop(BaseException):
    """As a ``gevent.Timeout``, or the ``SystemExit`` by which a server ends its worker."""


def test_who_is_stopped_while_a_connection_is_asked_stops(
    ledger: Ledger, tunnel: Tunnel, conversion: Make
) -> None:
    """That a kept connection did not answer until then is no reason to go on with another."""

    def stop(*_: object) -> None:
        raise _Stop

    ledger.record(conversion())
    tunnel.fall_silent()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(_Stop):
            ledger.record(conversion())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_who_was_stopped_before_is_not_stopped_again(
    ledger: Ledger, tunnel: Tunnel, conversion: Make
) -> None:
    """Where an app records because it was stopped, a connection that ended is only that."""
    ledger.record(conversion())
    tunnel.fall_silent()
    try:
        raise _Stop
    except _Stop:
        with pytest.raises(LedgerUnavailable):
            ledger.record(conversion())


def test_a_connection_comes_about_in_time_or_not_at_all(
    url: URL, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lets everybody in and says nothing is not waited for as for an answer."""
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.CONNECT_WAIT", 1)
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.ANSWER_WAIT", 30)
    tunnel.hang()
    began = time.monotonic()
    with pytest.raises(DBAPIError):
        make_engine(url.set(port=tunnel.port)).connect()
    assert time.monotonic() - began < 20


def test_mariadb_is_waited_for_as_long_as_its_url_says(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``read_timeout``, for whoever asks much, once a connection has come about."""
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.CONNECT_WAIT", 0.2)
    patient = servers.empty("mariadb").update_query_dict({"read_timeout": "60"})
    with make_engine(patient).connect() as conn:
        assert conn.scalar(text("SELECT SLEEP(0.5)")) == 0


def test_postgresql_is_waited_for_as_long_as_its_url_says(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``tcp_user_timeout``, for whoever asks much; what takes longer than ours is answered."""
    monkeypatch.setattr("flask_partnerstack.ledger.waiting.ANSWER_WAIT", 0.2)
    url = servers.empty("postgresql")
    impatient, patient = url, url.update_query_dict({"tcp_user_timeout": "60000"})
    with make_engine(patient).connect() as conn:
        assert conn.scalar(_SLOWLY) == 1
    with pytest.raises(DBAPIError, match=r"nothing for 0\.2 seconds"):
        make_engine(impatient).connect().execute(_SLOWLY)


#: Takes longer than the impatient wait, on the server.
_SLOWLY = text("SELECT 1 FROM (SELECT pg_sleep(1)) AS slowly")


@pytest.mark.parametrize(
    ("driver", "own"),
    [
        ("mysql+pymysql", {"read_timeout": "60"}),
        ("mysql+mysqldb", {"write_timeout": "60"}),
        ("postgresql+psycopg", {"tcp_user_timeout": "60000"}),
        ("postgresql+psycopg2", {"connect_timeout": "60", "keepalives_idle": "60"}),
    ],
)
def test_what_a_url_says_itself_stands(driver: str, own: dict[str, str]) -> None:
    """Its own waits are left alone, and ours are beside them."""
    url = parse_url(f"{driver}://host/db")
    whole = connect_arguments(url)
    assert connect_arguments(url.update_query_dict(own)).keys() == whole.keys() - own.keys()
    assert own.keys() <= whole.keys()


def test_a_driver_of_your_own_is_told_nothing() -> None:
    """It may not know the words."""
    assert connect_arguments(parse_url("postgresql+pg8000://host/db")) == {}


def test_a_connection_that_outlives_its_pool_is_closed_quietly(servers: Servers) -> None:
    """As after a server's restart, when others had theirs in use. Here a warning is an error."""
    engine = make_engine(servers.empty("postgresql"))
    with engine.connect() as conn:
        driver = weakref.ref(conn.connection.driver_connection)
        engine.dispose()
    del conn
    gc.collect()
    assert driver() is None
    engine.dispose()


def test_an_apps_own_mariadb_takes_the_bounds(servers: Servers) -> None:
    """What the documents advise where the engine is the app's."""
    SQLALCHEMY_ENGINE_OPTIONS = {  # noqa: N806 - the config key
        "connect_args": {"connect_timeout": 3, "read_timeout": 10, "write_timeout": 10},
    }
    _ask(create_engine(servers.empty("mariadb"), **SQLALCHEMY_ENGINE_OPTIONS))


def test_an_apps_own_postgresql_takes_the_bounds(servers: Servers) -> None:
    """What the documents advise where the engine is the app's."""
    SQLALCHEMY_ENGINE_OPTIONS = {  # noqa: N806 - the config key
        "connect_args": {
            "connect_timeout": 3,
            "tcp_user_timeout": 10000,  # milliseconds
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    }
    _ask(create_engine(servers.empty("postgresql"), **SQLALCHEMY_ENGINE_OPTIONS))


def _ask(engine: Engine) -> None:
    with engine.connect() as conn:
        assert conn.scalar(select(literal(1))) == 1
    engine.dispose()
