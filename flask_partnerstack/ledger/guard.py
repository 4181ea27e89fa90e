"""``Guard``: notices when the ledger's file is taken away under a running process.

Deleted, replaced, or overwritten: SQLite goes on writing to a file that nobody will ever find, or
over something that somebody may need. The same where only what is beside it is deleted, its log
above all, in which everything is written first. A look costs four system calls before each
transaction, and three more after each that writes.
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

Identity = tuple[int, int]


class TakenAway(OSError):
    """Nothing of what was to be written is in the file that is found from now on."""


class Condition(Enum):
    """What became of the file since it was opened."""

    WELL = "well"
    GONE = "gone"
    STRIPPED = "stripped"
    REPLACED = "replaced"
    DAMAGED = "damaged"


class Opened:
    """A file that is opened for reading, once for all who watch it, and closed after the last.

    Closing any descriptor of a file drops all locks that the process has on it, SQLite's too. So
    there must not be a second one that is closed earlier.
    (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_)

    :ivar is_copied: what it held was, or is just being, copied: without what comes later.
    :ivar is_restored: what it held is in the file that is found from now on.
    """

    is_copied = False
    is_restored = False

    def __init__(self, path: Path) -> None:
        self.descriptor: int = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self.descriptor)
        self.identity: Identity = found.st_dev, found.st_ino
        # Not at exit: another thread may be writing until the very end.
        weakref.finalize(self, os.close, self.descriptor).atexit = False

    def head(self) -> bytes:
        """Return what it begins with by now."""
        return os.pread(self.descriptor, len(_MAGIC), 0)


_opened: weakref.WeakValueDictionary[Identity, Opened] = weakref.WeakValueDictionary()
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
        self._companions = tuple(Path(f"{path}{suffix}") for suffix in _COMPANIONS)
        self._watched: Opened | None = None
        #: What was beside it when it was opened. SQLite takes none away while anybody has it open.
        self._beside: tuple[Identity | None, ...] = (None, None)

    @property
    def watched(self) -> Opened | None:
        """The file that is the right one, if any is."""
        return self._watched

    def watch(self) -> None:
        """From now on the file that is there now is the right one."""
        if self._watched is None:
            self._watched = _open(self.path)
            self.watch_beside()

    def watch_beside(self) -> None:
        """From now on what is beside the file belongs to it."""
        self._beside = self._found_beside()

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
        if self.is_stripped():
            return Condition.STRIPPED
        return Condition.WELL if watched.head() in (_MAGIC, b"") else Condition.DAMAGED

    def is_stripped(self) -> bool:
        """Say whether anything that belongs to the file is there no longer."""
        found = self._found_beside()
        if found == self._beside:
            return False
        # What is there for the first time belongs to it, too.
        self._beside = tuple(old or new for old, new in zip(self._beside, found, strict=True))
        return self._beside != found

    def has_its_log(self) -> bool:
        """Say whether the log is there in which everything is written first."""
        return self._found_beside()[0] == self._beside[0]

    def _found_beside(self) -> tuple[Identity | None, ...]:
        return tuple(_identity(companion) for companion in self._companions)

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
            copy = self._copied(connection, "restored")
            if not _is_put(copy, self.path):
                return False
            self.keep()
            return True

    def complete(self, connection: sqlite3.Connection) -> Path | None:
        """Write a ledger whose log is gone back from a connection that still has both open.

        Return where its file went, in which others may have begun anew without the log. ``None``:
        another file is in its place, as another process did so first.
        """
        with self._alone():
            if not self.path.exists() or not self.is_there(self.watched):
                return None
            copy = self._copied(connection, "restored")
            aside = Path(f"{self.path}.replaced-{_moment()}")
            _keep_as(aside, self.path)
            self._move_companions(str(aside))
            copy.rename(self.path)
            self.keep()
            return aside

    def save(self, connection: sqlite3.Connection) -> Path:
        """Write what a replaced ledger held beside its successor, and return where."""
        with self._alone():
            self._remove_stale_companions()
            return self._copied(connection, "replaced")

    def keep(self) -> None:
        """Note that what the watched file held is in the one that is found from now on."""
        if self._watched is not None:
            self._watched.is_restored = True

    def _copied(self, connection: sqlite3.Connection, what: str) -> Path:
        """Return a new file that holds what the watched one held, named by what it is."""
        if self._watched is not None:
            self._watched.is_copied = True
        copy = Path(f"{self.path}.{what}-{_moment()}")
        connection.execute("VACUUM INTO ?", (str(copy),))
        return copy

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock that all processes share, on a file of its own."""
        import fcntl  # Windows has none, and no guard: an open file cannot be deleted there

        # Only read, and by everybody: root may have made it, by a command, and the app needs it.
        lock = os.open(f"{self.path}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _move(self, target: str) -> Path:
        self.path.rename(target)
        self._move_companions(target)
        return Path(target)

    def _move_companions(self, target: str) -> None:
        for suffix in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{target}{suffix}")

    def _remove_stale_companions(self) -> None:
        """Remove what the watched file left beside it, unless they are another file's by now.

        SQLite would replay them into whatever lies in the file's place.
        """
        if self._beside[0] is None or self.has_its_log():
            for companion in self._companions:
                companion.unlink(missing_ok=True)


def _identity(path: Path) -> Identity | None:
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


def _keep_as(aside: Path, place: Path) -> None:
    """Give the file in a place another name, so that another one can be put there."""
    try:
        os.link(place, aside)  # at no time is there none
    except OSError:  # no file has two names there
        place.rename(aside)


def _moment() -> str:
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
