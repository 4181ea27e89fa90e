"""What a database's driver says of an error: its codes, and words that name no customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final

#: A deadlock and a serialization failure on PostgreSQL, a deadlock on MySQL and MariaDB.
DEADLOCK: Final = frozenset({"40P01", "40001", 1213})
#: The server takes no writes: PostgreSQL's, and MySQL's and MariaDB's.
#: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
READ_ONLY: Final = frozenset({"25006", 1290, 1792, 1836})


def codes_of(error: BaseException | None) -> set[object]:
    """Return the number and the SQLSTATE, or either, by which a driver says what went wrong."""
    # psycopg's and psycopg2's names for it; MySQL's drivers have a number first, and MySQL's own
    # has both, of which the number says more; pg8000 has a field.
    codes = [getattr(error, "sqlstate", None), getattr(error, "pgcode", None)]
    codes += [*error.args[:1], _fields_of(error).get("C")] if error else []
    return {code for code in codes if isinstance(code, (str, int))}


def words_of(error: BaseException) -> str:
    """Return a database's own words for what went wrong, without a row that it repeats.

    The first line alone: PostgreSQL repeats the row, e-mail address and all, as a detail.
    """
    words = str(_fields_of(error).get("M", error))
    return " ".join(words.strip().partition("\n")[0].split())[:300]


def _fields_of(error: BaseException) -> Mapping[str, Any]:
    """Return the fields of PostgreSQL's message, as pg8000 hands them on: all in one line.

    https://www.postgresql.org/docs/current/protocol-error-fields.html
    """
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) else {}
