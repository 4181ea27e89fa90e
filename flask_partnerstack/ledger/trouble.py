"""``told``: turns what a database says into our own error, with the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError

from ..errors import LedgerUnavailable
from . import schema

#: What makes or mends the tables of a ledger that is not the embedded file.
INIT_DB = "flask partnerstack init-db"


@contextmanager
def told(location: str, *, tables_by: str = INIT_DB) -> Iterator[None]:
    """Turn what a database says within the block into :class:`LedgerUnavailable`.

    A broken constraint is let through: whoever inserts knows what it means.

    :param tables_by: the commands that make the tables.
    """
    try:
        yield
    except IntegrityError:
        raise
    except schema.SchemaMissing as e:
        raise LedgerUnavailable(location, f"its tables are missing or old. Run: {tables_by}") from e
    except schema.SchemaTooNew as e:
        raise LedgerUnavailable(
            location, f"its tables (version {e}) need a newer Flask-PartnerStack."
        ) from e
    except (SQLAlchemyError, sqlite3.Error, OSError) as e:
        raise LedgerUnavailable(location, _reason(e)) from e


def _reason(error: Exception) -> str:
    # Of a database's error only its own words: the statement and its parameters hold e-mails.
    told = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(told).split())[:300]
