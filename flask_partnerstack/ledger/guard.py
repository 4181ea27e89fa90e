"""``Guard``: notices when the ledger's file is taken away under a running process.

Deleted, replaced, or overwritten: SQLite goes on writing to a file that nobody will ever find, or
over something that somebody may need. A look costs two system calls before each transaction, and
one more after each that writes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections.abc import Iterator
from datetime import datetime
from datetime import timezone
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import forks

#: How each SQLite file begins (https://www.sqlite.org/fileformat.html#magic_header_string).
_MAGIC = b"SQLite format 3\x00"
#: What SQLite keeps beside the file. They belong to it and go where it goes.
_COMPANIONS = ("-wal", "-shm")
_NOWHERE = (0, 0)


class TakenAway(OSError):
    """Nothing of what was to be written is in the file that is found from now on."""


class Condition(Enum):
    """What became of the file since it was opened."""

    WELL = "well"
    GONE = "gone"
    REPLACED = "replaced"
    DAMAGED = "damaged"


class Opened:
    """A file that is opened for reading, once for all who watch it, and closed after the last.

    Closing any descriptor of a file drops all locks that the process has on it, SQLite's too. So
    there must not be a second one that is closed earlier.
    (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_)

    :ivar is_copied: what it held was, or is just being, copied: without what comes later.
    :ivar is_restored: that copy took its place.
    """

    is_copied = False
    is_restored = False

    def __init__(self, path: Path) -> None:
        self.descriptor: int = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self.descriptor)
        self.identity: tuple[int, int] = found.st_dev, found.st_ino
        # Not at exit: another thread may be writing until the very end.
        weakref.finalize(self, os.close, self.descriptor).atexit = False

    def head(self) -> bytes:
        """Return what it begins with by now."""
        return os.pread(self.descriptor, len(_MAGIC), 0)


_opened: weakref.WeakValueDictionary[tuple[int, int], Opened] = weakref.WeakValueDictionary()
#: Reentrant, because the garbage that is collected meanwhile may be a watched file.
_opening = forks.LateLock(reentrant=True)


def _open(path: Path) -> Opened:
    with _opening.here:
        opened = _opened.get(_identity(path) or _NOWHERE) or Opened(path)
        _opened[opened.identity] = opened
        return opened


class Guard:
    """Looks after one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._wal = Path(f"{path}-wal")
        self._watched: Opened | None = None
        self._last_wal: tuple[int, int] | None = None

    @property
    def watched(self) -> Opened | None:
        """The file that is the right one, if any is."""
        return self._watched

    def watch(self) -> None:
        """From now on the file that is there now is the right one."""
        if self._watched is None:
            self._watched = _open(self.path)
            self._last_wal = _identity(self._wal)

    def forget(self) -> None:
        """Stop watching. The SQLite connections of whoever watched by this must be closed."""
        self._watched = None

    def look(self) -> Condition:
        """Say what became of the watched file; all is well while none is watched."""
        watched = self._watched  # once: another thread may stop watching meanwhile
        if watched is None:
            return Condition.WELL
        if not self.is_there(watched):
            return Condition.REPLACED if self.path.exists() else Condition.GONE
        self._last_wal = _identity(self._wal) or self._last_wal
        return Condition.WELL if watched.head() in (_MAGIC, b"") else Condition.DAMAGED

    def is_there(self, watched: Opened | None) -> bool:
        """Say whether the file that is there now is the one that was watched then."""
        return watched is None or _identity(self.path) == watched.identity

    def connect(self, dialect: Any, _record: object, _args: object, options: Any) -> Any:
        """Open the watched file, and no other one that was put, or is made, in its place.

        By whatever has another one open nothing of the watched file could be written back. For
        SQLAlchemy's ``do_connect``: ``None`` while none is watched, which opens what there is.

        :raises TakenAway: it is not there any more.
        """
        watched = self._watched
        if watched is None:
            return None
        # SQLite makes a file that is not there unless it is told by a URI that it is not to.
        file = f"file:{quote(str(self.path))}?mode=rw"
        try:
            connection = dialect.connect(file, uri=True, **options)
        except dialect.loaded_dbapi.Error:
            if self.is_there(watched):
                raise
        else:
            if self.is_there(watched):
                return connection
            connection.close()
        raise TakenAway("its file was taken away while it was opened")

    def is_foreign(self) -> bool:
        """Say whether what lies in the file's place is no SQLite file at all."""
        with contextlib.suppress(FileNotFoundError):
            return _open(self.path).head() not in (_MAGIC, b"")
        return False

    def set_aside(self) -> Path | None:
        """Move what is no ledger out of the way, never over anything; return where it went.

        ``None``: another process did so first.
        """
        with self._alone():
            if not self.is_foreign():
                return None
            if not self.is_there(self.watched):
                self._remove_stale_companions()
            return self._move(f"{self.path}.damaged-{_moment()}")

    def give_up(self) -> None:
        """Let what the watched file left beside it spoil no new one."""
        with self._alone():
            self._remove_stale_companions()

    def restore(self, connection: sqlite3.Connection) -> bool:
        """Write a ledger that is gone back from a connection that still has it open.

        ``False``: there is a file in its place again.
        """
        with self._alone():
            if self.path.exists():
                return False
            # A new file would be overwritten by what the old one left beside it.
            self._remove_stale_companions()
            copy = Path(f"{self.path}.restored-{_moment()}")
            self._copy(connection, copy)
            if not _is_put(copy, self.path):
                return False
            if self._watched is not None:
                self._watched.is_restored = True
            return True

    def save(self, connection: sqlite3.Connection) -> Path:
        """Write what a replaced ledger held beside its successor, and return where."""
        with self._alone():
            self._remove_stale_companions()
            copy = Path(f"{self.path}.replaced-{_moment()}")
            self._copy(connection, copy)
            return copy

    def _copy(self, connection: sqlite3.Connection, target: Path) -> None:
        if self._watched is not None:
            self._watched.is_copied = True
        connection.execute("VACUUM INTO ?", (str(target),))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock that all processes share, on a file of its own."""
        import fcntl  # Windows has none, and no guard: an open file cannot be deleted there

        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _move(self, target: str) -> Path:
        self.path.rename(target)
        for suffix in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{target}{suffix}")
        return Path(target)

    def _remove_stale_companions(self) -> None:
        """Remove what the watched file left beside it, unless they are another file's by now.

        SQLite would replay them into whatever lies in the file's place.
        """
        if self._last_wal is None or _identity(self._wal) == self._last_wal:
            for suffix in _COMPANIONS:
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _is_put(copy: Path, place: Path) -> bool:
    """Give a file another name; say whether nobody was faster. It is never put over another.

    Two may be at it, where somebody has removed the file of our lock with all that lies beside it.
    """
    try:
        os.link(copy, place)
    except FileExistsError:
        return False
    except OSError:  # no file has two names there: only the lock is left
        copy.rename(place)
    finally:
        copy.unlink(missing_ok=True)
    return True


def _moment() -> str:
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
