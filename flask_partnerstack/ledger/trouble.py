"""``told``: turns what a database says into our own error, with the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from ..errors import LedgerUnavailable
from . import schema

#: What makes or mends the tables of a ledger that is not the embedded file.
INIT_DB = "flask partnerstack init-db"


class ConstraintBroken(LedgerUnavailable):
    """What was to be written does not go together with what is there.

    Whoever inserts knows what it means: somebody else was first.
    """


@contextmanager
def told(location: str, *, tables_by: str = INIT_DB) -> Iterator[None]:
    """Turn what a database says within the block into :class:`LedgerUnavailable`.

    Without its cause: that is logged with all that the statement was given, e-mail addresses too,
    unless whoever made the engine has said otherwise.

    :param tables_by: the commands that make the tables.
    :raises ConstraintBroken: that kind of it, for a broken constraint.
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
        kind = ConstraintBroken if isinstance(e, IntegrityError) else LedgerUnavailable
        raise kind(location, _reason(e)) from None
    except (sqlite3.Error, OSError) as e:
        raise LedgerUnavailable(location, _reason(e)) from e


def _reason(error: Exception) -> str:
    # Of a database's error only its own words, and of these the first line: the statement and its
    # parameters hold e-mails, and so does the row that PostgreSQL repeats as a detail.
    words = str(error.orig if isinstance(error, StatementError) else error)
    return " ".join(words.strip().partition("\n")[0].split())[:300]
