"""Writing in the caller's transaction, and hearing when it is committed.

Imported only where ``session=`` is used: it brings SQLAlchemy's ORM along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy import event
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.orm import scoped_session
from sqlalchemy.pool import Pool

from ..errors import InvalidConversion
from . import sqlite
from .home import named
from .inserting import Written
from .tables import entries
from .tables import moment_to_number

log: Final = logging.getLogger("flask_partnerstack")

Joinable = Session | scoped_session[Any] | Connection
Act = Callable[[], object]

_WAITING = "flask_partnerstack.waiting"
_COMMITTED = "flask_partnerstack.committed"


class Joined(NamedTuple):
    """The caller's transaction, in which we write.

    :param session: what says that it is committed. A bare connection has no event for that, nor
        has a session that is bound to one: ``None``.
    """

    session: Session | None
    connection: Connection

    def when_committed(self, written: Written, act: Act) -> None:
        """Call ``act`` once the outermost transaction is committed, and never if it is not.

        Where nothing says that, it is called when the connection is back in its pool, if what was
        written is in the table then.

        :param act: what it raises is logged and goes no further.
        """
        session, conn = self
        if session is None:
            conn.info.setdefault(_WAITING, []).append((_Look.of(conn, written), act))
            return
        transaction = session.get_nested_transaction() or session.get_transaction()
        # Of a savepoint that is the connection's own the session hears nothing.
        look = partial(_is_there, conn, written) if conn.in_nested_transaction() else None
        session.info.setdefault(_WAITING, []).append(_Waiting(transaction, act, look))


def join(session: object) -> Joined:
    """Return the caller's transaction. Writes nothing.

    :raises InvalidConversion: ``session`` is none that can be joined; with the way out.
    """
    caller = Joined(None, session) if isinstance(session, Connection) else _joined(_plain(session))
    if caller.connection.dialect.name == "sqlite" and _is_in_savepoint(caller):
        _refuse_legacy(caller.connection)
    return caller


# --- what may be joined -------------------------------------------------------------------------


def _plain(session: object) -> Session:
    """Return the session in a ``scoped_session``, which looks it up anew each time it is asked."""
    if isinstance(session, scoped_session):
        session = session()
    if isinstance(session, Session):
        return session
    if any(base.__module__.startswith("sqlalchemy.ext.asyncio") for base in type(session).__mro__):
        raise InvalidConversion(
            "session",
            "this one is asynchronous. Expected the Session in it: await "
            "session.run_sync(lambda session: track_conversion(key, session=session)).",
        )
    raise InvalidConversion(
        "session",
        "expected a SQLAlchemy Session, scoped_session or Connection, got "
        f"{type(session).__name__}.",
    )


#: What a session finds its database by: one that has replicas asks whether it is to be written.
#: https://docs.sqlalchemy.org/en/20/orm/persistence_techniques.html#custom-vertical-partitioning
_WRITE = entries.update()


def _joined(session: Session) -> Joined:
    try:
        bind = session.get_bind(clause=_WRITE)
    except UnboundExecutionError as e:
        raise InvalidConversion(
            "session",
            "it is bound to a database for some models only. Expected one with a bind of its own, "
            "or the Connection: session.connection(bind_arguments=...).",
        ) from e
    conn = session.connection(bind_arguments={"bind": bind})
    return Joined(None if isinstance(bind, Connection) else session, conn)


def _is_in_savepoint(caller: Joined) -> bool:
    session, conn = caller
    return conn.in_nested_transaction() or (session is not None and session.in_nested_transaction())


def _refuse_legacy(conn: Connection) -> None:
    if sqlite.is_legacy(conn.connection.driver_connection):
        raise InvalidConversion(
            "session",
            "this SQLite connection commits when its savepoint is released, because sqlite3 began "
            "no transaction. Let SQLAlchemy begin them (two events, or on Python 3.12 and later "
            'connect_args={"autocommit": False}): '
            "https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable",
        )


# --- a session's end ----------------------------------------------------------------------------


class _Waiting(NamedTuple):
    """What is to be done when the transaction that it was asked in is committed with its roots.

    :param look: says whether it was, where the session does not know it.
    """

    transaction: SessionTransaction | None
    act: Act
    look: Callable[[], bool] | None

    def is_within(self, rolled_back: SessionTransaction) -> bool:
        here = self.transaction
        while here is not None and here is not rolled_back:
            here = here.parent
        return here is rolled_back


@event.listens_for(Session, "after_soft_rollback")
def _drop(session: Session, rolled_back: SessionTransaction) -> None:
    if waiting := session.info.get(_WAITING):
        session.info[_WAITING] = [one for one in waiting if not one.is_within(rolled_back)]


@event.listens_for(Session, "after_commit")
def _note(session: Session) -> None:
    # It comes for a savepoint as well, and before the connection is free.
    waiting = session.info.get(_WAITING)
    if waiting is not None and not session.in_nested_transaction():
        session.info[_COMMITTED] = [one for one in waiting if one.look is None or one.look()]


@event.listens_for(Session, "after_transaction_end")
def _finish(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None and _WAITING in session.info:
        del session.info[_WAITING]
        _run_all(session, session.info.pop(_COMMITTED, ()))


def _run_all(session: Any, committed: Iterable[_Waiting]) -> None:
    """Run what follows a commit; by now the session is free for it.

    But within ``with session.begin():`` SQLAlchemy lets nobody use it until the block is left, and
    has no event for that.
    """
    around = getattr(session, _AROUND, None)
    if around is not None:
        setattr(session, _AROUND, None)
    try:
        for one in committed:
            _run(one.act)
    finally:
        if around is not None:
            setattr(session, _AROUND, around)


_AROUND = "_trans_context_manager"


# --- whether it was committed -------------------------------------------------------------------


class _Look(NamedTuple):
    """How a row of ours is looked for by a driver alone.

    No SQLAlchemy connection is to be had where one is on its way back.

    :param bound: what is executed first, so that nobody waits for a table that is locked.
    """

    bound: str
    statement: str
    found: tuple[str, int]

    @classmethod
    def of(cls, conn: Connection, written: Written) -> _Look:
        bound, select = _LOOKS.get(conn.dialect.name, ("", "SELECT"))
        table = conn.dialect.identifier_preparer.format_table(named(entries, written.home))
        return cls(
            bound,
            f"{select} customer_digest, recorded_at FROM {table} "
            f"WHERE customer_digest = '{written.digest}'",
            (written.digest, moment_to_number(written.at)),
        )

    def finds(self, driver: Any) -> bool:
        with closing(driver.cursor()) as cursor:
            if self.bound:
                cursor.execute(self.bound)
            cursor.execute(self.statement)
            return self.found in [tuple(row) for row in cursor.fetchall()]


# The first comment is MariaDB's to execute, the second MySQL's.
_MYSQL_LOOK = (
    "/*M!100100 SET STATEMENT lock_wait_timeout = 1 FOR */ "
    "SELECT /*+ SET_VAR(lock_wait_timeout = 1) */"
)
_LOOKS = {
    "postgresql": ("SET LOCAL lock_timeout = 1000", "SELECT"),
    "mysql": ("", _MYSQL_LOOK),
    "mariadb": ("", _MYSQL_LOOK),
}


def _is_there(conn: Connection, written: Written) -> bool:
    driver = conn.connection
    return bool(_found(driver, driver, [_Look.of(conn, written)]))


def _found(driver: Any, pooled: Any, looks: Iterable[_Look]) -> list[_Look]:
    """Return those whose row is there; none, if that cannot be said."""
    try:
        return [look for look in looks if look.finds(driver)]
    except Exception:  # it would come out of the caller's commit() or close()
        log.exception("Whether a conversion was committed is not known. If so, it is delivered.")
        return []
    finally:
        _end(driver, pooled)


def _end(driver: Any, pooled: Any) -> None:
    """Leave nothing open on a connection that somebody else gets next."""
    try:
        driver.rollback()
    except Exception as e:  # noqa: BLE001 - whatever it is, the connection is of no use
        pooled.invalidate(e)


# --- a connection's end -------------------------------------------------------------------------


@event.listens_for(Pool, "checkin")
def _checked_in(driver: Any, record: Any) -> None:
    waiting = record.info.pop(_WAITING, None)
    if waiting and driver is not None:
        acts = dict(waiting)  # one for each row, also where it was taken back and written anew
        for look in _found(driver, record, acts):
            _run(acts[look])


def _run(act: Act) -> None:
    try:
        act()
    except Exception:  # it would come out of the caller's commit()
        log.exception("What follows a conversion's commit failed; the conversion is recorded.")
