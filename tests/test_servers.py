"""What the tests themselves stand on: a database that nobody has written to."""

from __future__ import annotations

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine

from tests.servers import SERVERS
from tests.servers import Servers

FIRST_ROW = "INSERT INTO numbers VALUES (7)"


def make_numbers(url: URL) -> None:
    run(url, "CREATE TABLE numbers (number INTEGER)", FIRST_ROW)


def run(url: URL, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)
    engine.dispose()


def numbers(url: URL) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    with engine.connect() as conn:
        found = [tuple(row) for row in conn.exec_driver_sql("SELECT * FROM numbers")]
    engine.dispose()
    return found


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    "changes",
    [
        ["INSERT INTO numbers VALUES (8)"],
        ["DELETE FROM numbers"],
        ["UPDATE numbers SET number = 8"],
        ["ALTER TABLE numbers ADD COLUMN more INTEGER"],
        ["ALTER TABLE numbers ADD CHECK (number > 6)"],
        ["CREATE UNIQUE INDEX once ON numbers (number)"],
        ["DROP TABLE numbers"],
        ["CREATE TABLE more (number INTEGER)", "DROP TABLE numbers"],
    ],
)
def test_each_test_finds_what_was_made(servers: Servers, kind: str, changes: list[str]) -> None:
    """Whatever a test before has done to its rows, or to its tables."""
    run(servers.made(kind, "_numbers", make_numbers), *changes)
    url = servers.made(kind, "_numbers", make_numbers)
    assert numbers(url) == [(7,)]
    run(url, "ALTER TABLE numbers DROP COLUMN number, ADD COLUMN own INTEGER CHECK (own > 0)")
    assert numbers(servers.made(kind, "_numbers", make_numbers)) == [(7,)]


@pytest.mark.parametrize("kind", SERVERS)
def test_tables_are_made_once(servers: Servers, kind: str) -> None:
    """Which is what it is for: a server takes its time for them."""
    made: list[URL] = []

    def make(url: URL) -> None:
        made.append(url)
        make_numbers(url)

    urls = [servers.made(kind, "_once", make) for _ in range(3)]
    assert made == urls[:1]
