"""Makes the ledger's tables, and brings older ones up to date."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import contextmanager
from contextlib import nullcontext
from types import MappingProxyType

from sqlalchemy import Connection
from sqlalchemy import Inspector
from sqlalchemy import Table
from sqlalchemy import inspect

from .facts import make_hold
from .facts import read_fact
from .facts import write_fact
from .home import as_named
from .home import named
from .making import make_tables
from .tables import SCHEMA_VERSION
from .tables import facts
from .tables import metadata

Step = Callable[[Connection], None]

#: ``{version: step}``: what takes a ledger of the version before to this one. Steps only add.
STEPS: Mapping[int, Step] = MappingProxyType({})

_VERSION_FACT = "schema_version"


class SchemaMissing(Exception):
    """The ledger's tables are not there, or are older than this package."""


class SchemaTooNew(Exception):
    """The ledger's tables were made by a newer package than this."""


def version_of(conn: Connection, home: str | None = None) -> int:
    """Return the version of the tables that are there; 0 when there are none, or not whole.

    Tables without a version were made by the app's own migrations (``db.create_all()``,
    Alembic): they are current when no column is missing.

    :param home: the schema that they are in, where the connection is somebody else's.
    """
    there = home or conn.schema_for_object(facts)
    with as_named(conn):
        return _version_in(conn, there)


def _version_in(conn: Connection, there: str | None) -> int:
    found = inspect(conn)
    if not found.has_table(facts.name, schema=there):
        return 0
    version = read_fact(conn, _VERSION_FACT, named(facts, there))
    if version is not None:
        return int(version)
    whole = all(_is_whole(found, table, there) for table in metadata.sorted_tables)
    return SCHEMA_VERSION if whole else 0


def _is_whole(found: Inspector, table: Table, there: str | None) -> bool:
    if not found.has_table(table.name, schema=there):
        return False
    return {column.name for column in table.columns} <= {
        column["name"] for column in found.get_columns(table.name, schema=there)
    }


def check(conn: Connection, home: str | None = None) -> None:
    """Make sure that the tables are those that this package knows.

    :param home: as in :func:`version_of`.
    :raises SchemaMissing: none, or older ones.
    :raises SchemaTooNew: newer ones.
    """
    version = version_of(conn, home)
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(version)
    if version < SCHEMA_VERSION:
        raise SchemaMissing(version)


def migrate(
    conn: Connection, *, steps: Mapping[int, Step] = STEPS, target: int = SCHEMA_VERSION
) -> int:
    """Bring the tables to version ``target``, in the caller's transaction; return what was there.

    :raises SchemaTooNew: when they are newer; they are left alone.
    """
    with _alone(conn):
        found = version_of(conn)
        if found > target:
            raise SchemaTooNew(found)
        if found == 0:
            make_tables(conn)
        else:
            for version in range(found + 1, target + 1):
                steps[version](conn)
        if found != target:
            write_fact(conn, _VERSION_FACT, str(target))
    make_hold(conn)
    return found


#: Seconds that a migration waits for another: fewer than a silent server is waited for.
MIGRATION_WAIT = 8
#: The lock that is waited for on MySQL and MariaDB, where one name is the whole server's.
MYSQL_LOCK = "CONCAT('partnerstack ', MD5(COALESCE(DATABASE(), '')))"


def _alone(conn: Connection) -> AbstractContextManager[object]:
    """Let hosts that are deployed together make the tables one after the other.

    On SQLite a writer is alone anyhow.

    :raises TimeoutError: another one is at it for too long.
    """
    if conn.dialect.name in ("mysql", "mariadb"):
        return _holding_mysql(conn)
    if conn.dialect.name == "postgresql":  # until the transaction ends
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('partnerstack'))")
    return nullcontext()


@contextmanager
def _holding_mysql(conn: Connection) -> Iterator[None]:
    # 0: it was waited for in vain. NULL: an error. https://mariadb.com/kb/en/get_lock/
    if conn.exec_driver_sql(f"SELECT GET_LOCK({MYSQL_LOCK}, {MIGRATION_WAIT})").scalar() != 1:
        raise TimeoutError("somebody else is making its tables, and is not done. Try again later")
    try:
        yield
        # So that the next one finds the version. Nothing is lost by it: there each statement that
        # changes a table commits by itself.
        conn.exec_driver_sql("COMMIT")
    finally:
        if not conn.invalidated:
            conn.exec_driver_sql(f"SELECT RELEASE_LOCK({MYSQL_LOCK})")
