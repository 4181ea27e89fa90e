"""Writing in the caller's transaction, and hearing when it is committed.

Imported only where ``session=`` is used: it brings SQLAlchemy's ORM along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
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
from .tables import entries

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

    def when_committed(self, entry_id: int, act: Act) -> None:
        """Call ``act`` once the outermost transaction is committed, and never if it is not.

        Where nothing says that, it is called when the connection is back in its pool, if the entry
        is in the table then.

        :param act: what it raises is logged and goes no further.
        """
        session = self.session
        if session is None:
            self.connection.info.setdefault(_WAITING, []).append((entry_id, act))
            return
        transaction = session.get_nested_transaction() or session.get_transaction()
        session.info.setdefault(_WAITING, []).append(_Waiting(transaction, act))


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


def _joined(session: Session) -> Joined:
    try:
        bind = session.get_bind(clause=entries)
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


@dataclass(frozen=True)
class _Waiting:
    """What is to be done when the transaction that it was asked in is committed with its roots."""

    transaction: SessionTransaction | None
    act: Act

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
    if _WAITING in session.info and not session.in_nested_transaction():
        session.info[_COMMITTED] = True


@event.listens_for(Session, "after_transaction_end")
def _finish(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None and _WAITING in session.info:
        waiting = session.info.pop(_WAITING)
        if session.info.pop(_COMMITTED, False):
            for one in waiting:
                _run(one.act)


# --- a connection's end -------------------------------------------------------------------------


@event.listens_for(Pool, "checkin")
def _checked_in(driver: Any, record: Any) -> None:
    waiting = record.info.pop(_WAITING, None)
    if waiting and driver is not None:
        _run(lambda: _run_committed(driver, waiting))


def _run_committed(driver: Any, waiting: list[tuple[int, Act]]) -> None:
    # By the driver alone: no SQLAlchemy connection is to be had in the middle of a check-in.
    cursor = driver.cursor()
    numbers = ", ".join(str(int(entry_id)) for entry_id, _ in waiting)
    cursor.execute(f"SELECT id FROM {entries.name} WHERE id IN ({numbers})")  # noqa: S608 - ours
    there = {row[0] for row in cursor.fetchall()}
    cursor.close()
    driver.rollback()
    for entry_id, act in waiting:
        if entry_id in there:
            _run(act)


def _run(act: Act) -> None:
    try:
        act()
    except Exception:  # it would come out of the caller's commit()
        log.exception("What follows a conversion's commit failed; the conversion is recorded.")
