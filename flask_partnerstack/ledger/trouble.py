"""``told``: turns what a database says into our own error, with the way out.

And ``tried_again``: one of them is answered by doing the same once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from functools import wraps
from typing import ParamSpec
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from ..errors import LedgerUnavailable
from . import schema
from .atomic import CommitUnanswered
from .atomic import CutOff
from .guard import TakenAway
from .said import DEADLOCK
from .said import codes_of
from .said import words_of

#: What makes or mends the tables of a ledger that is not the embedded file.
INIT_DB = "flask partnerstack init-db"

P = ParamSpec("P")
T = TypeVar("T")


class ConstraintBroken(LedgerUnavailable):
    """What was to be written does not go together with what is there.

    Whoever inserts knows what it means: somebody else was first.
    """


class Undone(LedgerUnavailable):
    """Nothing of the transaction is left, and whoever does the same once more may succeed.

    The database ended it, so that another one could go on; or its connection ended before it was
    committed, or took no writes; or SQLite's file was taken away.

    https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
    https://dev.mysql.com/doc/refman/8.0/en/innodb-deadlocks-handling.html
    """


class Unanswered(LedgerUnavailable):
    """The transaction may be committed: the connection ended after that was asked for."""


#: Whoever is in the way twice and once more is so for another reason.
_AGAIN = 2


def tried_again(whole: Callable[P, T]) -> Callable[P, T]:
    """Decorate what is a whole transaction, so that it is tried again when it was undone."""

    @wraps(whole)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_AGAIN):
            with suppress(Undone):
                return whole(*args, **kwargs)
        return whole(*args, **kwargs)

    return tried


@contextmanager
def told(location: str, *, tables_by: str = INIT_DB) -> Iterator[None]:
    """Turn what a database says within the block into :class:`LedgerUnavailable`.

    Without its cause: that is logged with all that the statement was given, e-mail addresses too,
    unless whoever made the engine has said otherwise.

    :param tables_by: the commands that make the tables.
    :raises ConstraintBroken: that kind of it, for a broken constraint.
    :raises Undone: that kind of it, for the victim of a deadlock, of a restart, and of whoever
        takes files away.
    :raises Unanswered: that kind of it, where nobody knows whether it was committed.
    """
    try:
        yield
    except schema.SchemaMissing as e:
        raise LedgerUnavailable(location, f"its tables are missing or old. Run: {tables_by}") from e
    except schema.SchemaTooNew as e:
        raise LedgerUnavailable(
            location, f"its tables (version {e}) need a newer Flask-PartnerStack."
        ) from e
    except SQLAlchemyError as e:
        raise _kind(e)(location, _reason(e)) from None
    except (sqlite3.Error, OSError) as e:
        raise _kind(e)(location, _reason(e)) from e


def _kind(error: Exception) -> type[LedgerUnavailable]:
    if isinstance(error, IntegrityError):
        return ConstraintBroken
    if isinstance(error, CommitUnanswered):
        return Unanswered
    is_deadlock = isinstance(error, DBAPIError) and not DEADLOCK.isdisjoint(codes_of(error.orig))
    return Undone if is_deadlock or isinstance(error, (CutOff, TakenAway)) else LedgerUnavailable


def _reason(error: Exception) -> str:
    # Of a database's error only its own words: the statement and its parameters hold e-mails.
    return words_of((error.orig if isinstance(error, StatementError) else None) or error)
