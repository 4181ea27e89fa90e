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
from typing import Final
from typing import ParamSpec
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from ..errors import LedgerUnavailable
from . import schema
from .guard import TakenAway

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

    The database ended it, so that another one could go on; or SQLite's file was taken away.

    https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
    https://dev.mysql.com/doc/refman/8.0/en/innodb-deadlocks-handling.html
    """


#: A deadlock and a serialization failure on PostgreSQL, a deadlock on MySQL and MariaDB.
_DEADLOCK: Final = frozenset({"40P01", "40001", 1213})
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


def codes_of(error: BaseException | None) -> set[object]:
    """Return the number and the SQLSTATE, or either, by which a driver says what went wrong."""
    # psycopg's and psycopg2's names for it; MySQL's drivers have a number first, and MySQL's own
    # has both, of which the number says more.
    codes = [getattr(error, "sqlstate", None), getattr(error, "pgcode", None)]
    codes += error.args[:1] if error else ()
    return {code for code in codes if isinstance(code, (str, int))}


@contextmanager
def told(location: str, *, tables_by: str = INIT_DB) -> Iterator[None]:
    """Turn what a database says within the block into :class:`LedgerUnavailable`.

    Without its cause: that is logged with all that the statement was given, e-mail addresses too,
    unless whoever made the engine has said otherwise.

    :param tables_by: the commands that make the tables.
    :raises ConstraintBroken: that kind of it, for a broken constraint.
    :raises Undone: that kind of it, for the victim of a deadlock, and of whoever takes files away.
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
    is_deadlock = isinstance(error, DBAPIError) and not _DEADLOCK.isdisjoint(codes_of(error.orig))
    return Undone if is_deadlock or isinstance(error, TakenAway) else LedgerUnavailable


def _reason(error: Exception) -> str:
    # Of a database's error only its own words, and of these the first line: the statement and its
    # parameters hold e-mails, and so does the row that PostgreSQL repeats as a detail.
    words = str(error.orig if isinstance(error, StatementError) else error)
    return " ".join(words.strip().partition("\n")[0].split())[:300]
