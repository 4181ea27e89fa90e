"""A connection that ends in the middle of a transaction: nobody is refused who need not be."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Storage
from tests.ledger.conftest import LEASE
from tests.ledger.tunnel import Cutting
from tests.servers import SERVERS
from tests.servers import Servers

PORTS = {"postgresql": 5432, "mariadb": 3306}
INSERT = b"INSERT INTO partnerstack_entry"
#: With what is before it on the line: a transaction may begin as READ COMMITTED.
COMMITS = {"postgresql": b"\x0bCOMMIT\x00", "mysql": b"\x03COMMIT"}
Make = Callable[..., Conversion]


@pytest.fixture(params=sorted(SERVERS))
def url(request: pytest.FixtureRequest, servers: Servers) -> URL:
    url = servers.empty(request.param)
    straight = Database(url, embedded=False)
    straight.migrate()
    straight.close()
    return url.set(port=url.port or PORTS[request.param])


@pytest.fixture
def commit(url: URL) -> bytes:
    return COMMITS[url.get_backend_name()]


@pytest.fixture
def line(url: URL) -> Iterator[Cutting]:
    line = Cutting(url.port or 0)
    yield line
    line.close()


@pytest.fixture(params=["own", "app's"])
def ledger(request: pytest.FixtureRequest, url: URL, line: Cutting) -> Iterator[Ledger]:
    """A ledger at the end of the line, whose connection is made already."""
    engine = create_engine(url.set(port=line.port))
    own = Database(engine.url, embedded=False)
    storage: Storage = own if request.param == "own" else AppDatabase(lambda: engine)
    ledger = Ledger(storage, lease=LEASE)
    ledger.counts()
    yield ledger
    storage.close()
    own.close()
    engine.dispose()


def test_a_signup_that_is_cut_off_is_recorded(
    ledger: Ledger, line: Cutting, conversion: Make
) -> None:
    """Nothing of it was committed, so it is done once more."""
    line.cut_at(INSERT, is_heard=False)
    assert ledger.record(conversion("acme")).new
    assert [entry.customer_key for entry in ledger.entries()] == ["acme"]


def test_a_signup_whose_commit_was_done_is_found(
    ledger: Ledger, line: Cutting, commit: bytes, conversion: Make
) -> None:
    """Only the word of it was lost: it is there once, and as new as it is."""
    line.cut_at(commit, is_heard=True)
    recorded = ledger.record(conversion("acme"))
    assert recorded.new
    assert list(ledger.entries()) == [recorded.entry]


def test_a_signup_whose_commit_was_not_done_is_recorded(
    ledger: Ledger, line: Cutting, commit: bytes, conversion: Make
) -> None:
    """Nobody can know that before, and it is written like one that nobody has seen."""
    line.cut_at(commit, is_heard=False)
    assert ledger.record(conversion("acme")).new
    assert [entry.customer_key for entry in ledger.entries()] == ["acme"]


def test_whom_somebody_else_recorded_is_not_taken_for_new(
    ledger: Ledger, line: Cutting, commit: bytes, conversion: Make
) -> None:
    """Not even where nobody knows at first what was committed."""
    first = ledger.record(conversion("acme")).entry
    line.cut_at(commit, is_heard=True)
    assert ledger.record(conversion("acme")) == (first, False)


def test_a_claim_that_is_cut_off_is_had(ledger: Ledger, line: Cutting, conversion: Make) -> None:
    """Before it is committed nobody has it, and the next try takes it."""
    ledger.record(conversion("acme"))
    line.cut_at(b"UPDATE partnerstack_entry", is_heard=True)
    (claim,) = ledger.claim(1)
    assert ledger.count_attempt(claim)


def test_a_server_that_is_away_is_said_in_its_own_words(
    ledger: Ledger, line: Cutting, conversion: Make
) -> None:
    """It is tried again over a connection that nobody takes, and that is what is told."""
    line.close()
    with pytest.raises(LedgerUnavailable, match=r"(?i)connect"):
        ledger.record(conversion("acme"))
