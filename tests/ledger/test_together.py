"""Writers that meet share a transaction, and one that fails fails alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import cast

import pytest
from sqlalchemy import Connection
from sqlalchemy import make_url

from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Storage
from flask_partnerstack.ledger.facts import read_fact
from flask_partnerstack.ledger.facts import write_fact
from flask_partnerstack.ledger.together import Together

PATIENCE = 60.0


class Counted:
    """A database that counts the transactions which were committed."""

    def __init__(self, path: Path) -> None:
        self._database = Database(make_url(f"sqlite:///{path}"), embedded=True)
        self.committed = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._database.write() as conn:
            yield conn
        self.committed += 1

    def facts(self, *names: str) -> list[str | None]:
        with self._database.read() as conn:
            return [read_fact(conn, name) for name in names]


@pytest.fixture
def storage(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "ledger.db")


class Meeting:
    """One writer that holds its transaction open until so many others wait."""

    def __init__(self, storage: Counted, others: int) -> None:
        self.together = Together(cast("Storage", storage))
        self._begun = threading.Event()
        self._others = others
        self._pool = ThreadPoolExecutor(others + 1)

    def of(self, *acts: Callable[[Connection], Any]) -> list[Any]:
        """Let the acts wait for the first writer; return what came of each, or its error."""
        first = self._pool.submit(self.together.write, self._hold)
        assert self._begun.wait(PATIENCE)
        others = [self._pool.submit(self.together.write, act) for act in acts]
        first.result()
        return [one.exception() or one.result() for one in others]

    def _hold(self, _conn: Connection) -> None:
        self._begun.set()
        while len(self.together._waiting) < self._others:
            threading.Event().wait(0.001)


def writes(name: str) -> Callable[[Connection], str]:
    def write(conn: Connection) -> str:
        write_fact(conn, name, "written")
        return name

    return write


def fails(conn: Connection) -> None:
    write_fact(conn, "broken", "written")
    raise ZeroDivisionError


def test_those_who_wait_share_the_next_transaction(storage: Counted) -> None:
    """Three that come while one is committed need one transaction more, not three."""
    assert Meeting(storage, 3).of(*map(writes, "abc")) == ["a", "b", "c"]
    assert storage.committed == 2
    assert storage.facts("a", "b", "c") == ["written"] * 3


def test_one_that_fails_fails_alone(storage: Counted) -> None:
    """What it wrote is rolled back, and the others of its transaction are committed."""
    one, error, other = Meeting(storage, 3).of(writes("a"), fails, writes("c"))
    assert (one, other) == ("a", "c")
    assert isinstance(error, ZeroDivisionError)
    assert storage.facts("a", "broken", "c") == ["written", None, "written"]


def test_a_thread_that_is_ended_leaves_the_others_their_turn(storage: Counted) -> None:
    """Whoever writes for both is ended; the other's is written by itself."""
    ends = iter([True])

    def ended_once(conn: Connection) -> str:
        if next(ends, False):
            raise SystemExit
        return writes("a")(conn)

    found = Meeting(storage, 2).of(ended_once, ended_once)
    assert sorted(map(str, found)) == ["", "a"]
    assert storage.facts("a") == ["written"]
