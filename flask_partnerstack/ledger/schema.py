"""Makes the ledger's tables, and brings older ones up to date."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import Connection
from sqlalchemy import inspect

from .facts import read_fact
from .facts import write_fact
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


def version_of(conn: Connection) -> int:
    """Return the version of the tables that are there; 0 when there are none."""
    if not inspect(conn).has_table(facts.name):
        return 0
    return int(read_fact(conn, _VERSION_FACT) or 0)


def check(conn: Connection) -> None:
    """Make sure that the tables are those that this package knows.

    :raises SchemaMissing: none, or older ones.
    :raises SchemaTooNew: newer ones.
    """
    version = version_of(conn)
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
    found = version_of(conn)
    if found > target:
        raise SchemaTooNew(found)
    if found == 0:
        metadata.create_all(conn)
    else:
        for version in range(found + 1, target + 1):
            steps[version](conn)
    if found != target:
        write_fact(conn, _VERSION_FACT, str(target))
    return found
