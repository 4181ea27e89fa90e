"""The ledger's file deleted, replaced or overwritten while somebody uses it."""

from __future__ import annotations

import errno
import gc
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import make_url

from flask_partnerstack import Status
from flask_partnerstack import forks
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Place
from flask_partnerstack.ledger import connecting
from flask_partnerstack.ledger import database as ledger_database
from flask_partnerstack.ledger import guard
from flask_partnerstack.ledger import recording
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.inserting import insert
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.rescue import set_right
from flask_partnerstack.ledger.trouble import Undone

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
    assert "Restore it from a backup, at first without PARTNERSTACK_TOKEN" in caplog.text
    assert "would send it again" in caplog.text


READ = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
for row in connection.execute("SELECT customer_key FROM partnerstack_entry ORDER BY id"):
    print(*row)
"""


def keys_elsewhere(path: Path) -> list[str]:
    """Read the customer keys in another process, as the one that comes after a kill sees them."""
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


def take_away(path: Path, suffixes: tuple[str, ...]) -> None:
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()


@pytest.mark.parametrize("suffixes", [("-wal",), ("-wal", "-shm")])
def test_a_log_that_is_deleted_is_written_back(
    ledger: Ledger,
    conversion: Make,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    suffixes: tuple[str, ...],
) -> None:
    """As by a deploy that cleans its folder of all but the ledger: SQLite would notice nothing."""
    ledger.record(conversion("before"))
    take_away(path, suffixes)
    ledger.record(conversion("after"))
    assert keys_elsewhere(path) == ["before", "after"]
    assert f"{path}-wal was taken away" in caplog.text
    assert not list(path.parent.glob("*.replaced-*"))


def test_an_index_that_is_deleted_is_made_anew(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two processes would write over each other's lines, each by an index of its own."""
    ledger.record(conversion("before"))
    take_away(path, ("-shm",))
    assert keys_elsewhere(path) == ["before"]  # which makes another
    ledger.record(conversion("after"))
    assert keys_elsewhere(path) == ["before", "after"]
    assert f"{path}-shm was taken away" in caplog.text


def test_a_log_deleted_while_it_is_written_is_written_back_at_once(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Before anybody is told that it is recorded."""
    ledger.record(conversion("before"))
    with ledger.storage.write() as conn:
        insert(conn, new_row(conversion("meanwhile"), utcnow(), None))
        take_away(path, ("-wal", "-shm"))
    assert keys_elsewhere(path) == ["before", "meanwhile"]


def test_what_is_written_by_an_index_that_is_deleted_is_not_called_written(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Another process may have written over it, by an index that it made."""
    ledger.record(conversion("before"))

    def write() -> None:
        with ledger.storage.write() as conn:
            insert(conn, new_row(conversion("meanwhile"), utcnow(), None))
            take_away(path, ("-shm",))

    with pytest.raises(Undone, match="taken away"):
        write()
    ledger.record(conversion("meanwhile"))
    assert keys_elsewhere(path) == ["before", "meanwhile"]


RECORD = """
import sys
from datetime import timedelta
from sqlalchemy import make_url
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Database, Ledger
ledger = Ledger(Database(make_url(sys.argv[1]), embedded=True), lease=timedelta(1))
ledger.record(Conversion.of(customer_key="theirs", xid="abcd1234"))
"""


def test_what_was_begun_without_the_log_is_kept(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The deploy's new process sees no ledger and begins one, before the old one looks again."""
    ledger.record(conversion("before"))
    take_away(path, ("-wal", "-shm"))
    subprocess.run([sys.executable, "-c", RECORD, f"sqlite:///{path}"], check=True)
    ledger.record(conversion("after"))
    assert keys_elsewhere(path) == ["before", "after"]
    (begun,) = path.parent.glob("partnerstack.db.replaced-*[0-9]")
    assert keys(begun) == ["theirs"]
    assert f"move --from sqlite:///{begun}" in caplog.text


def test_a_log_that_sqlite_removed_is_not_missed(
    database: Database, ledger: Ledger, conversion: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever closes a file last takes away what is beside it: before a fork, for one."""
    ledger.record(conversion("before"))
    database.before_fork()
    ledger.record(conversion("after"))
    assert [entry.customer_key for entry in ledger.entries()] == ["after", "before"]
    assert "taken away" not in caplog.text


@contextmanager
def recording_meanwhile(ledger: Ledger, conversion: Conversion) -> Iterator[None]:
    """Another thread that is in the middle of recording, and goes on once it is waited for."""
    begun, waited_for = threading.Event(), threading.Event()

    def record() -> None:
        with ledger.storage.write() as conn:
            insert(conn, new_row(conversion, utcnow(), None))
            begun.set()
            assert waited_for.wait(30)

    def close() -> None:
        waited_for.set()
        shut(forks.gate)

    shut = forks.Gate.close
    with ThreadPoolExecutor(1) as threads, pytest.MonkeyPatch.context() as patches:
        recording = threads.submit(record)
        assert begun.wait(30)
        patches.setattr(forks.gate, "close", close)
        yield
        recording.result(30)


@pytest.mark.parametrize("connections", [1, 2])
def test_what_another_thread_is_recording_is_written_back(
    ledger: Ledger, conversion: Make, path: Path, connections: int
) -> None:
    """Whoever writes the file back lets it commit first, whether a connection is idle or none."""
    ledger.record(conversion("before"))
    with ExitStack() as kept:
        for _ in range(connections):
            kept.enter_context(ledger.storage.read())
    with recording_meanwhile(ledger, conversion("meanwhile")):
        path.unlink()
        ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "meanwhile", "after"]


def test_a_ledger_deleted_while_it_is_written_is_written_back_at_once(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Before anybody is told that it is recorded, and not at the next call, which may not come."""
    ledger.record(conversion("before"))
    record_while(path.unlink, ledger, conversion("meanwhile"))
    assert keys(path) == ["before", "meanwhile"]


def record_while(
    something_happens: Callable[[], object], ledger: Ledger, conversion: Conversion
) -> None:
    with ledger.storage.write() as conn:
        insert(conn, new_row(conversion, utcnow(), None))
        something_happens()


@pytest.fixture
def backup(ledger: Ledger, conversion: Make, path: Path) -> Path:
    """A copy of the ledger from before the last conversion."""
    ledger.record(conversion("old"))
    backup = path.with_suffix(".backup")
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(backup),))
    source.close()
    ledger.record(conversion("newer than the backup"))
    return backup


def test_what_is_written_to_a_replaced_ledger_is_not_called_recorded(
    ledger: Ledger, conversion: Make, path: Path, backup: Path
) -> None:
    """It is in the file that is kept beside the one that is used from now on, and nowhere else."""
    with pytest.raises(LedgerUnavailable, match="taken away"):
        record_while(lambda: shutil.move(backup, path), ledger, conversion("meanwhile"))
    ledger.close()
    assert keys(path) == ["old"]


def test_a_conversion_is_recorded_again_where_the_ledger_is_replaced_meanwhile(
    ledger: Ledger, conversion: Make, path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signup that meets whoever restores a backup is in the ledger that is used from then on."""

    def insert_and_lose(*given: Any) -> dict[str, Any]:
        made = insert(*given)
        if backup.exists():
            shutil.move(backup, path)
        return made

    monkeypatch.setattr(recording, "insert", insert_and_lose)
    assert ledger.record(conversion("meanwhile")).new
    ledger.close()
    assert keys(path) == ["old", "meanwhile"]


def test_what_comes_after_another_app_has_copied_the_ledger_is_not_called_recorded(
    impatient: None, ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Another app of the process, or a process, writes the file back without what is under way."""
    other = Ledger(Database(make_url(f"sqlite:///{path}"), embedded=True), lease=timedelta(1))
    for each in (ledger, other):
        assert not any(each.counts().values())

    def write_back() -> None:
        path.unlink()
        other.record(conversion("other"))

    with pytest.raises(LedgerUnavailable, match="taken away"):
        record_while(write_back, ledger, conversion("meanwhile"))
    for each in (ledger, other):
        each.close()
    assert keys(path) == ["other"]


def test_a_new_connection_makes_no_other_file(
    impatient: None, database: Database, ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Whoever has looked, and connects when the file is gone, makes no empty one in its place."""
    ledger.record(conversion("before"))
    with ledger.storage.read(), pytest.MonkeyPatch.context() as patches:
        taking_away(path.unlink, database, patches)
        with pytest.raises(LedgerUnavailable, match="has it open for long"):
            ledger.record(conversion("refused"))
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


def test_a_new_connection_opens_no_other_file(
    database: Database,
    ledger: Ledger,
    conversion: Make,
    path: Path,
    backup: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the ledger held that was replaced is written down by who had it open, and no other."""
    with ledger.storage.read():
        taking_away(lambda: shutil.move(backup, path), database, monkeypatch)
        with pytest.raises(LedgerUnavailable, match="taken away"):
            ledger.counts()
    ledger.record(conversion("after"))
    ledger.close()
    (saved,) = path.parent.glob("partnerstack.db.replaced-*")
    assert keys(saved) == ["old", "newer than the backup"]


def test_a_folder_may_have_any_name(tmp_path: Path, conversion: Make) -> None:
    """Also one that means something else in a URI, by which a watched file is opened."""
    folder = tmp_path / "50%20?mode=memory#é"
    folder.mkdir()
    url = URL.create("sqlite", database=str(folder / "partnerstack.db"))
    ledger = Ledger(Database(url, embedded=True), lease=timedelta(1))
    ledger.record(conversion("one"))
    with ledger.storage.read():
        ledger.record(conversion("two"))
    ledger.close()
    assert keys(folder / "partnerstack.db") == ["one", "two"]


def taking_away(
    take: Callable[[], object], database: Database, patches: pytest.MonkeyPatch
) -> None:
    """Have somebody take the file away just before the next connection is made."""

    def connect_later(*given: Any, **options: Any) -> Any:
        patches.setattr(dialect, "connect", connect)
        take()
        return connect(*given, **options)

    dialect = database._engine.dialect
    connect = dialect.connect
    patches.setattr(dialect, "connect", connect_later)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a file back is out of patience with the others at once."""
    monkeypatch.setattr(forks.gate, "close", lambda: None)
    monkeypatch.setattr(forks.gate, "open", lambda: None)


def test_whoever_takes_too_long_is_told_that_it_was_in_vain(
    impatient: None, ledger: Ledger, conversion: Make, path: Path
) -> None:
    """The file is written back without it after a while, and it is not told that it is in there."""
    ledger.record(conversion("before"))
    with ledger.storage.read(), ledger.storage.read():
        pass

    def write_back() -> None:
        path.unlink()
        assert ledger.counts()[Status.PENDING] == 1

    with pytest.raises(LedgerUnavailable, match="taken away"):
        record_while(write_back, ledger, conversion("meanwhile"))
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


def test_a_ledger_whose_only_connection_is_in_use_is_not_given_up(
    impatient: None, ledger: Ledger, conversion: Make, path: Path
) -> None:
    """What is in use longer than anybody waits may be had later: until then others are refused."""
    ledger.record(conversion("before"))
    with ledger.storage.read():
        path.unlink()
        with pytest.raises(LedgerUnavailable, match="has it open for long"):
            ledger.record(conversion("refused"))
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


def test_a_look_that_meets_a_recovery_raises_nothing(
    database: Database, ledger: Ledger, conversion: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread stops watching the file while this one asks for it."""
    ledger.record(conversion("before"))
    asked_for = guard._identity

    def identity(path: Path) -> tuple[int, int] | None:
        assert database._guard is not None
        database._guard.forget()
        return asked_for(path)

    monkeypatch.setattr(guard, "_identity", identity)
    assert ledger.counts()[Status.PENDING] == 1


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def test_a_fork_loses_nothing_of_a_ledger_that_was_taken_away(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """It closes every connection, and so the last that has the file open."""
    ledger.record(conversion("before"))
    path.unlink()
    fork()
    assert keys(path) == ["before"]


def test_a_fork_waits_for_whoever_writes_the_ledger_back(
    ledger: Ledger, conversion: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would close the connection that another thread is about to do it by."""
    begun, forking = threading.Event(), threading.Event()

    def set_right_later(*given: Any) -> None:
        begun.set()
        assert forking.wait(30)
        set_right(*given)

    monkeypatch.setattr(ledger_database, "set_right", set_right_later)

    def everything() -> list[forks.ForkAware]:
        forking.set()
        return asked()

    asked = forks._everything
    monkeypatch.setattr(forks, "_everything", everything)
    ledger.record(conversion("before"))
    path.unlink()
    with ThreadPoolExecutor(1) as threads:
        recording = threads.submit(ledger.record, conversion("after"))
        assert begun.wait(30)
        fork()
        recording.result(30)
    ledger.close()
    assert keys(path) == ["before", "after"]


def test_a_fork_goes_on_where_a_ledger_cannot_be_written_back(
    ledger: Ledger, conversion: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its only connection is in use: that is said, and others are told of the fork."""
    ledger.record(conversion("before"))
    with ledger.storage.read():
        path.unlink()
        fork()
    assert "Before a fork" in caplog.text
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


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
    assert "a backup, which would send again what was delivered since" in caplog.text


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


def test_a_lock_that_root_has_made_is_taken_by_the_app(
    ledger: Ledger, conversion: Make, path: Path
) -> None:
    """Whoever set garbage aside first, by a command perhaps, leaves nobody else locked out."""
    ledger.record(conversion("before"))
    path.unlink()
    before = os.umask(0o022)
    ledger.record(conversion("after"))
    os.umask(before)
    assert stat.S_IMODE(path.with_suffix(".db.lock").stat().st_mode) & 0o444 == 0o444


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
    ledger: Ledger, conversion: Make, path: Path, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another ledger moved into its place is the ledger from then on."""
    shutil.move(backup, path)
    assert [entry.customer_key for entry in ledger.entries()] == ["old"]
    ledger.record(conversion("after"))
    assert [entry.customer_key for entry in ledger.entries()] == ["after", "old"]
    assert "was replaced by another file" in caplog.text
    (saved,) = path.parent.glob("partnerstack.db.replaced-*")
    assert keys(saved) == ["old", "newer than the backup"]


def test_a_replaced_ledger_that_cannot_be_used_at_once_is_watched_later(
    ledger: Ledger, conversion: Make, path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has it locked for long; then it is deleted, and that is noticed as ever."""
    monkeypatch.setattr(connecting, "BUSY_WAIT", 0.0)
    with closing(sqlite3.connect(backup)) as somebody:
        somebody.execute("BEGIN EXCLUSIVE")
        shutil.move(backup, path)
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.record(conversion("refused"))
    ledger.record(conversion("before"))
    path.unlink()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["old", "before", "after"]


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


def test_two_that_recover_one_ledger_at_once_lose_nothing(
    ledger: Ledger, conversion: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where "rm partnerstack.db*" takes the lock's file away that one of them has already."""
    other = Ledger(Database(make_url(f"sqlite:///{path}"), embedded=True), lease=timedelta(1))

    def copy_later(self: guard.Guard, *given: Any) -> Path:
        monkeypatch.setattr(guard.Guard, "_copied", copy)
        Path(f"{path}.lock").unlink()
        other.record(conversion("other"))
        other.close()  # so that it is in the file, and not beside it
        return copy(self, *given)

    copy = guard.Guard._copied
    for each in (ledger, other):
        assert not any(each.counts().values())
    monkeypatch.setattr(guard.Guard, "_copied", copy_later)
    path.unlink()
    ledger.record(conversion("one"))
    ledger.close()
    assert keys(path) == ["other", "one"]
    assert not list(path.parent.glob("partnerstack.db.restored*"))


@pytest.mark.parametrize("taken", ["", "-wal"])
def test_a_ledger_is_written_back_where_no_file_has_two_names(
    ledger: Ledger, conversion: Make, path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """Some filesystems know no hard links, nor do some volumes of a container."""

    def link(*_names: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    ledger.record(conversion("before"))
    Path(f"{path}{taken}").unlink()
    ledger.record(conversion("after"))
    ledger.close()
    assert keys(path) == ["before", "after"]


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
