"""The ledger's file deleted, replaced or overwritten while somebody uses it."""

from __future__ import annotations

import gc
import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Place

Make = Callable[..., Conversion]

GARBAGE = b"these are not the tables you are looking for" * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "partnerstack.db"


def keys(path: Path) -> list[str]:
    """Read the customer keys with nothing but sqlite3."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT customer_key FROM partnerstack_entry ORDER BY id").fetchall()
    connection.close()
    return [key for (key,) in found]


def test_a_deleted_ledger_is_written_back(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The next call sees it, and nothing is lost: an open connection still has it all."""
    ledger.record(conversion("before"))
    path.unlink()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]
    assert "was taken away. It is written back" in caplog.text


def test_a_deleted_folder_of_companions_does_no_harm(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """All three files deleted, as "rm partnerstack.db*" does: written back just the same."""
    ledger.record(conversion("before"))
    for file in path.parent.glob("partnerstack.db*"):
        file.unlink()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


def test_a_ledger_deleted_while_nobody_had_it_open_is_begun_anew(
    database: Database,
    ledger: Ledger,
    conversion: Make,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody can bring it back, but the signup goes on, and an ERROR line says what to do."""
    ledger.record(conversion("before"))
    database._engine.dispose()  # every connection was idle and is closed
    path.unlink()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["after"]
    assert "Restore it from a backup" in caplog.text


def test_garbage_in_its_place_is_set_aside(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another file in its place is moved away, whole; the ledger is written back, whole."""
    ledger.record(conversion("before"))
    path.unlink()
    path.write_bytes(GARBAGE)
    ledger.record(conversion("after"))
    ledger.close()
    (aside,) = path.parent.glob("partnerstack.db.damaged-*[0-9]")
    assert aside.read_bytes() == GARBAGE
    assert keys(path) == ["before", "after"]
    assert all(r.levelno == logging.ERROR for r in caplog.records)
    assert str(aside) in caplog.text


def test_a_ledger_overwritten_in_place_is_set_aside(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """The same file with other bytes is found by the next call, and kept as it was found."""
    ledger.record(conversion("before"))
    with path.open("r+b") as file:
        file.write(GARBAGE)
    ledger.record(conversion("after"))
    ledger.close()
    (aside,) = path.parent.glob("partnerstack.db.damaged-*[0-9]")
    assert aside.read_bytes().startswith(GARBAGE)
    assert Path(f"{aside}-wal").stat().st_size > 0  # what was not in the file yet
    assert keys(path) == ["after"]


def test_a_fresh_process_sets_garbage_aside(
    path: Path, conversion: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Found at the first use after a restart: set aside, begun anew, said."""
    path.write_bytes(GARBAGE)
    ledger = Ledger(Database(make_url(f"sqlite:///{path}"), embedded=True), lease=timedelta(1))
    ledger.record(conversion("after"))
    ledger.close()
    (aside,) = path.parent.glob("partnerstack.db.damaged-*[0-9]")
    assert aside.read_bytes() == GARBAGE
    assert "set aside" in caplog.text


def test_a_named_ledger_is_not_begun_anew(path: Path, conversion: Make) -> None:
    """A file that LEDGER_URL names may be the app's own: said, and left as it is."""
    path.write_bytes(GARBAGE)
    database = Database(make_url(f"sqlite:///{path}"), embedded=False)
    with pytest.raises(LedgerUnavailable, match=f"{path}.*not a database"):
        Ledger(database, lease=timedelta(1)).record(conversion())
    database.close()
    assert path.read_bytes() == GARBAGE


def test_a_restored_backup_is_used(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another ledger moved into its place is the ledger from then on."""
    ledger.record(conversion("old"))
    backup = path.with_suffix(".backup")
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(backup),))
    source.close()
    ledger.record(conversion("newer than the backup"))
    shutil.move(backup, path)
    assert [entry.customer_key for entry in ledger.entries()] == ["old"]
    ledger.record(conversion("after"))
    assert [entry.customer_key for entry in ledger.entries()] == ["after", "old"]
    assert "was replaced by another file" in caplog.text
    (saved,) = path.parent.glob("partnerstack.db.replaced-*")
    assert keys(saved) == ["old", "newer than the backup"]


def test_two_processes_recover_one_ledger(
    ledger: Ledger, conversion: Make, path: Path, tmp_path: Path
) -> None:
    """Two that had it open both go on with what the first wrote back."""
    other = Ledger(Database(make_url(f"sqlite:///{path}"), embedded=True), lease=timedelta(1))
    ledger.record(conversion("one"))
    other.record(conversion("two"))
    path.unlink()
    ledger.record(conversion("three"))
    other.record(conversion("four"))
    assert [e.customer_key for e in ledger.entries()] == ["four", "three", "two", "one"]
    for each in (ledger, other):
        each.close()


OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM partnerstack_entry").fetchall()
connection.close()
"""


def test_closing_one_ledger_leaves_the_locks_of_another(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Two apps of a process may share a file, and one may be made while the other records.

    Without its locks the log that is in use is removed by whoever closes the file next.
    """
    ledger.record(conversion("ours"))
    other = Database(make_url(f"sqlite:///{path}"), embedded=True)
    Ledger(other, lease=timedelta(minutes=2)).record(conversion("theirs"))
    other.close()
    Place.of(f"sqlite:///{path}", "").make_writable()
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(path)], check=True)
    assert Path(f"{path}-wal").exists()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["ours", "theirs", "after"]


def test_a_ledger_that_is_dropped_leaves_no_file_open(path: Path, conversion: Make) -> None:
    """Each test of an app has one."""
    ledger = Ledger(
        Database(make_url(f"sqlite:///{path}"), embedded=True), lease=timedelta(minutes=2)
    )
    ledger.record(conversion())
    del ledger
    gc.collect()
    descriptors = Path("/proc/self/fd")
    opened = [file.resolve() for file in descriptors.iterdir()]
    assert path not in opened
