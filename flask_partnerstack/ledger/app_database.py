"""``AppDatabase``: the ledger in the database that the app has already, over its engine."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import StaticPool
from sqlalchemy.exc import DBAPIError

from .. import forks
from ..errors import LedgerUnavailable
from . import schema
from . import sqlite
from .connecting import is_alive
from .connecting import location_of
from .connecting import same_database
from .facts import make_hold
from .trouble import INIT_DB
from .trouble import told

#: What makes the tables, in the words of those who have a db object.
TABLES_BY = f"flask db migrate and flask db upgrade, or db.create_all(), or {INIT_DB}"
#: Seconds that a write waits where the app's own transaction may be what it waits for.
SUSPICIOUS_WAIT = 0.5
IN_ITS_OWN_WAY = (
    "db.session has an open transaction, and SQLite has one writer at a time. Pass "
    "session=db.session, or commit first."
)


class AppDatabase:
    """The app's own database. No event and no PRAGMA is set on its engine, dialect or pool.

    Who passes ``session=`` is heard by SQLAlchemy's classes, for the whole process: ``joined``.

    :param get_engine: returns the app's engine; called at the first use, because the app may
        register its ``db`` after us.
    :param get_open: returns the driver's connection of the app's own open transaction, if there
        is one here and now.
    """

    def __init__(
        self, get_engine: Callable[[], Engine], get_open: Callable[[], Any] = lambda: None
    ) -> None:
        self._get_engine = get_engine
        self._get_open = get_open
        self._app_engine: Engine | None = None
        self._suited: Engine | None = None
        self._prepared = False
        self._checked = False
        self._preparing = forks.LateLock()

    @property
    def location(self) -> str:
        """Where the ledger lies, without a password."""
        if self._app_engine is None:
            return "the app's own database"
        return location_of(self._app_engine.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether the app's database is SQLite."""
        return self._engine.dialect.name == "sqlite"

    @property
    def is_postgresql(self) -> bool:
        """Whether the app's database is PostgreSQL."""
        return self._engine.dialect.name == "postgresql"

    @property
    def is_shared_connection(self) -> bool:
        """Whether all of the process has one connection, as with SQLite in memory.

        Then nobody may use it in the background of a request: a commit there would be its own.
        """
        try:
            return isinstance(self._engine.pool, StaticPool)
        except LedgerUnavailable:
            return False

    def holds(self, conn: Connection) -> bool:
        """Say whether somebody else's connection is one to this database."""
        ours = self._engine
        return conn.engine.pool is ours.pool or same_database(conn.engine.url, ours.url)

    def check(self, conn: Connection) -> None:
        """Make sure, once, that the tables are there, over somebody else's connection.

        :raises LedgerUnavailable: naming the commands that make them.
        """
        if not self._checked:
            with told(self.location, tables_by=TABLES_BY):
                schema.check(conn)
            self._checked = True

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction of our own that may write; committed at the end of the block.

        :raises LedgerUnavailable: whatever the database says; of a broken constraint the kind
            :class:`~.trouble.ConstraintBroken`.
        """
        with self._speaking(), self._connect() as conn, conn.begin():
            self._take_write_lock(conn)
            with _bounded(conn):
                yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction of our own that only reads.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking(), self._connect() as conn, conn.begin():
            yield conn

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        """One statement that is a transaction by itself, over a connection that is not asked first.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking():
            self._refuse_own_way()
            with self._engine.connect() as conn:
                yield conn.execution_options(isolation_level="AUTOCOMMIT")

    def migrate(self) -> int:
        """Make or migrate the tables; return the version that was there before."""
        with told(self.location), self._connect() as conn, conn.begin():
            self._take_write_lock(conn)
            return schema.migrate(conn)

    def overwrite_what_is_deleted(self, _conn: Connection) -> None:
        """Do nothing: how the app's database keeps deleted data is the app's choice."""

    def forget_old_pages(self) -> bool:
        """Do nothing, for the same reason: there is nothing for us to try again."""
        return True

    def close(self) -> None:
        """Do nothing: the engine is the app's."""

    @property
    def _engine(self) -> Engine:
        if self._app_engine is None:
            try:
                engine = self._get_engine()
            except (RuntimeError, KeyError) as e:
                raise LedgerUnavailable(self.location, f"db has no engine for it: {e}") from e
            self._app_engine = engine
        return self._app_engine

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with told(self.location, tables_by=TABLES_BY):
            if not self._prepared:
                self._prepare()
            yield

    def _prepare(self) -> None:
        with self._preparing.here:
            if not self._prepared:
                with self._connect() as conn, conn.begin():
                    schema.check(conn)
                    if not self.is_sqlite:  # where no row is held
                        make_hold(conn)
                self._prepared = True

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        self._refuse_own_way()
        if self._suited is None:
            self._suited = _suited(self._engine)
        with self._suited.connect() as conn:
            if not is_alive(conn):
                conn.invalidate()  # it connects anew by itself
            yield conn

    def _refuse_own_way(self) -> None:
        """Keep off the one connection of a database in memory while the app has work in it.

        Giving it back to its pool would roll that work back.
        """
        if self.is_shared_connection:
            theirs = self._get_open()
            if theirs is not None and theirs.in_transaction:
                raise LedgerUnavailable(self.location, IN_ITS_OWN_WAY)

    # --- SQLite, whose writers are one at a time ------------------------------------------------

    def _take_write_lock(self, conn: Connection) -> None:
        """Begin as a writer: one that reads first finds the file locked when it writes later."""
        if self.is_sqlite:
            theirs = self._get_open()
            if theirs is not None and self._stands_in_the_way(theirs):
                raise LedgerUnavailable(self.location, IN_ITS_OWN_WAY)
            sqlite.begin_writing(conn)

    def _stands_in_the_way(self, theirs: Any) -> bool:
        """Say whether the app's open transaction keeps us from writing.

        Otherwise we would wait for ourselves, as long as SQLite's busy timeout says.
        """
        if not theirs.in_transaction:
            return False
        if sqlite.is_legacy(theirs):
            return True  # it begins with the first write and not before
        return not sqlite.can_write(self._engine, within=SUSPICIOUS_WAIT)


@contextmanager
def _bounded(conn: Connection) -> Iterator[None]:
    """Bound how long a statement waits for a row that somebody else holds, for our block only."""
    bound, unbound = _BOUNDS.get(conn.dialect.name, ("", ""))
    if bound:
        conn.exec_driver_sql(bound)
    try:
        yield
    finally:
        if unbound:
            _take_back(conn, unbound)


def _take_back(conn: Connection, unbound: str) -> None:
    """Set a connection as the app had it, or let the app's pool have it no more."""
    try:
        conn.exec_driver_sql(unbound)
    except DBAPIError:
        conn.invalidate()
        raise


_WAIT = "SESSION innodb_lock_wait_timeout"
# The first is one statement: it finds out every value before it sets any.
_MYSQL_BOUND = (
    f"SET @partnerstack_wait = @@SESSION.innodb_lock_wait_timeout, {_WAIT} = 2",
    f"SET {_WAIT} = @partnerstack_wait",
)
#: What bounds a wait, and what takes it back where the transaction's end does not.
_BOUNDS = {
    "postgresql": ("SET LOCAL lock_timeout = 2500", ""),
    "mysql": _MYSQL_BOUND,
    "mariadb": _MYSQL_BOUND,
}


def _suited(engine: Engine) -> Engine:
    """Return the app's engine as the ledger needs it: in transactions, and not too strict."""
    if engine.dialect.name == "sqlite":
        return engine
    with engine.connect() as conn:
        level = conn.get_isolation_level()
    fits = ("READ COMMITTED",) if engine.dialect.name == "postgresql" else ("REPEATABLE READ",)
    return engine if level in fits else engine.execution_options(isolation_level="READ COMMITTED")
