"""``open_source``: opens the ledger that an app had before, for a move."""

from __future__ import annotations

from datetime import timedelta

from ..errors import ConfigurationError
from ..errors import LedgerUnavailable
from . import schema
from .clocked import Clock
from .clocked import Clocked
from .clocked import utcnow
from .connecting import in_memory
from .database import Database
from .place import Place

#: How whoever runs the command names the source.
FROM = "--from"


def open_source(text: str, folder: str, *, lease: timedelta, clock: Clock = utcnow) -> Clocked:
    """Open the ledger that entries are to be taken from.

    :param text: its URL; a relative SQLite path is one below ``folder``, as in ``LEDGER_URL``.
    :raises ConfigurationError: there is none, or it cannot be used; naming ``--from``.
    """
    try:
        place = Place.of(text, folder)
        _check_file(place)
        source = Clocked(_opened(place), lease=lease, clock=clock)
    except ConfigurationError as e:
        raise ConfigurationError(FROM, e.expected) from e
    except LedgerUnavailable as e:
        raise ConfigurationError(FROM, str(e)) from e
    return source


def _check_file(place: Place) -> None:
    if place.url is not None and in_memory(place.url):
        raise ConfigurationError(FROM, "a ledger in memory is its process's own. Expected a file.")
    if place.path is not None and not place.path.is_file():  # SQLite would make one
        raise ConfigurationError(FROM, f"there is no file {place.path}. Expected a ledger's URL.")


def _opened(place: Place) -> Database:
    assert place.url is not None  # noqa: S101 - a place by URL has one
    database = Database(place.url, embedded=False)
    try:
        with database.read():
            pass
    except LedgerUnavailable as e:
        if not isinstance(e.__cause__, schema.SchemaMissing):
            raise
        if e.__cause__.args[0] == 0:
            raise ConfigurationError(
                FROM, f"there is no ledger at {database.location}: it has none of the tables."
            ) from e
        database.migrate()
    return database
