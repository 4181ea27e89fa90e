"""``AppDatabase``: the ledger in the database that the app has already, over its engine."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import Pool
from sqlalchemy import StaticPool
from sqlalchemy.exc import DBAPIError

from .. import forks
from ..errors import LedgerUnavailable
from . import schema
from . import sqlite
from .atomic import atomic
from .beside import beside
from .beside import renew
from .connecting import ISOLATION
from .connecting import in_memory
from .connecting import is_alive
from .connecting import location_of
from .connecting import same_database
from .facts import make_hold
from .home import home_of
from .trouble import INIT_DB
from .trouble import told
from .waiting import making_ready

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

    What is not written in the caller's transaction goes over a pool of our own: ``beside``.

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
        self._own: Engine | None = None
        self._beside: Callable[[], Pool | None] = lambda: None
        self._level: str | None = None
        self._prepared = False
        self._checked = False
        self._home: str | None = None
        self._process = os.getpid()
        self._preparing = forks.LateLock()
        self._opening = forks.LateLock()
        self._abandoned: list[Engine | None] = []
        forks.watch(self)

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
        if conn.engine.pool is ours.pool:
            return True
        # One in memory is another for each pool, whatever the URLs say.
        return not in_memory(ours.url) and same_database(conn.engine.url, ours.url)

    def check(self, conn: Connection) -> str | None:
        """Make sure, once, that the tables are there, over somebody else's connection.

        Return the schema that they are in, where its statements have to name one.

        :raises LedgerUnavailable: naming the commands that make them.
        """
        if not self._checked:
            with told(self.location, tables_by=TABLES_BY):
                self._home = home_of(self._engine)
                schema.check(conn, self._home)
            self._checked = True
        return self._home

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction of our own that may write; committed at the end of the block.

        :raises LedgerUnavailable: whatever the database says; of a broken constraint the kind
            :class:`~.trouble.ConstraintBroken`.
        """
        with self._speaking(), self._transaction() as conn:
            self._take_write_lock(conn)
            with _bounded(conn):
                yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction of our own that only reads.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking(), self._transaction() as conn, _bounded(conn):
            yield conn

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        """One statement that is a transaction by itself, over a connection that is not asked first.

        :raises LedgerUnavailable: whatever the database says.
        """
        with self._speaking():
            self._refuse_own_way()
            with self._ours.connect() as conn:
                yield conn.execution_options(isolation_level="AUTOCOMMIT")

    def migrate(self) -> int:
        """Make or migrate the tables; return the version that was there before."""
        with forks.gate.passed(), told(self.location), self._transaction() as conn:
            self._take_write_lock(conn)
            return schema.migrate(conn)

    def overwrite_what_is_deleted(self, _conn: Connection) -> bool:
        """Do nothing: how the app's database keeps deleted data is the app's choice."""
        return False

    def forget_old_pages(self) -> bool:
        """Do nothing, for the same reason: there is nothing for us to try again."""
        return True

    def close(self) -> None:
        """Close every idle connection of our own; the engine is the app's."""
        if self._own is not None and self._own is not self._engine:
            with forks.gate.passed():
                self._own.pool.dispose()

    def before_fork(self) -> None:
        """Close idle connections: a child would share them with us."""
        self.close()

    def after_fork_in_child(self) -> None:
        """Forget connections that were in use, without closing them: they are the parent's."""
        self._abandoned.append(self._own)
        self._own = None
        self._process = os.getpid()

    @property
    def _engine(self) -> Engine:
        if self._app_engine is None:
            try:
                engine = self._get_engine()
            except (RuntimeError, KeyError) as e:
                raise LedgerUnavailable(self.location, f"db has no engine for it: {e}") from e
            self._app_engine = engine
        return self._app_engine

    @property
    def _ours(self) -> Engine:
        """The app's engine over a pool of our own, for as long as the app's pool is this one."""
        if os.getpid() != self._process:  # uWSGI forks without a word to the interpreter
            self.after_fork_in_child()
        own, theirs = self._own, self._engine.pool
        if own is not None and self._beside() is theirs:
            return own
        return self._open(theirs)

    def _open(self, theirs: Pool) -> Engine:
        with making_ready(self._opening.here):
            if self._own is None or self._beside() is not theirs:
                own = beside(self._engine)
                self._level = _level_over(own)
                self._own, self._beside = own, weakref.ref(theirs)
            return self._own

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with forks.gate.passed(), told(self.location, tables_by=TABLES_BY):
            if not self._prepared:
                self._prepare()
            yield

    def _prepare(self) -> None:
        with making_ready(self._preparing.here):
            if not self._prepared:
                with self._transaction() as conn, _bounded(conn):
                    schema.check(conn)
                    if not self.is_sqlite:  # where no row is held
                        make_hold(conn)
                self._prepared = True

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._refuse_own_way()
        ours = self._ours
        with ours.connect() as conn:
            if not is_alive(conn):
                conn.invalidate()  # it connects anew by itself
                renew(ours)  # and not with one of the others, which ended with it
            if self._level is not None:
                conn.execution_options(isolation_level=self._level)
            with atomic(conn, renew=partial(renew, ours)):
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
    """Bound how long a statement waits for what somebody else holds, for our block only."""
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
    if conn.invalidated:  # by what broke in the block
        return
    try:
        conn.exec_driver_sql(unbound)
    except DBAPIError:
        conn.invalidate()
        raise


# For a row, and for a table that a dump or an ALTER holds.
_ROW, _TABLE = "@@SESSION.innodb_lock_wait_timeout", "@@SESSION.lock_wait_timeout"
_KEPT = f"@partnerstack_row = {_ROW}, @partnerstack_table = {_TABLE}"
# The first is one statement: it finds out every value before it sets any.
_MYSQL_BOUND = (
    f"SET {_KEPT}, {_ROW} = 2, {_TABLE} = 2",
    f"SET {_ROW} = @partnerstack_row, {_TABLE} = @partnerstack_table",
)
#: What bounds a wait, and what takes it back where the transaction's end does not.
_BOUNDS = {
    "postgresql": ("SET LOCAL lock_timeout = 2500", ""),
    "mysql": _MYSQL_BOUND,
    "mariadb": _MYSQL_BOUND,
}


_AS_GOOD = {
    "postgresql": ("READ COMMITTED",),
    "mysql": ("REPEATABLE READ", "READ COMMITTED"),
    "mariadb": ("REPEATABLE READ", "READ COMMITTED"),
}


def _level_over(engine: Engine) -> str | None:
    """Return the isolation level that the ledger has to set: in transactions, and not too strict.

    ``None`` where what the app has is as good: to set one costs MySQL four round trips each time.
    """
    kind = engine.dialect.name
    if kind not in _AS_GOOD:
        return None
    with engine.connect() as conn:
        is_good = _is_in_transactions(conn) and conn.get_isolation_level() in _AS_GOOD[kind]
    return None if is_good else ISOLATION[kind]


def _is_in_transactions(conn: Connection) -> bool:
    """Say whether the driver begins any: the server's word for the level is the same if not."""
    driver: Any = conn.connection.dbapi_connection
    # A method of MySQL's drivers, an attribute of the others.
    asked = getattr(driver, "get_autocommit", lambda: getattr(driver, "autocommit", False))
    return not asked()
