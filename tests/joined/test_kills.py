"""Many signups, each in one transaction, and a process that dies between insert and commit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy import text

from flask_partnerstack.ledger import AppDatabase
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.settings import Settings
from tests.servers import SERVERS
from tests.servers import Servers

from .conftest import sqlite_url


def sign_up_until_killed(url: str, start: int, stop: int) -> int:
    """Sign customers up in a process of their own; return the number to go on with."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.joined.signups", url, str(start), str(stop)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    answered = [start - 1, *map(int, process.stdout.split())]
    assert process.returncode in (0, -9)
    return answered[-1] + (1 if process.returncode == 0 else 2)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_users_and_entries_match_one_to_one(
    tmp_path: Path, servers: Servers, size: Callable[[int, int], int], kind: str
) -> None:
    """Rollbacks, savepoints, kill -9: whoever is a user has an entry, and nobody else has."""
    url = servers.empty(kind) if kind in SERVERS else sqlite_url(tmp_path)
    signups = size(300, 1000)
    number = kills = 0
    while number < signups:
        number = sign_up_until_killed(url.render_as_string(hide_password=False), number, signups)
        kills += number < signups
    engine = create_engine(url)
    with engine.connect() as conn:
        table = conn.dialect.identifier_preparer.quote("user")
        users = sorted(conn.scalars(text(f"SELECT name FROM {table}")))
    ledger = Ledger(AppDatabase(lambda: engine), lease=Settings().lease)
    entries = sorted(entry.customer_key for entry in ledger.entries(limit=10 * signups))
    engine.dispose()
    assert kills >= size(1, 5)
    assert len(users) > signups / 2
    assert users == entries
