"""``rescue``: what is done when the ledger's file was taken away, and what is said of it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from typing import Final

from sqlalchemy import Engine

from .guard import Condition
from .guard import Guard

log: Final = logging.getLogger("flask_partnerstack")


def set_right(engine: Engine, guard: Guard, open_anew: Callable[[], object]) -> None:
    """Have what the ledger held in the file that is found from now on, and say what was done.

    Nobody else may be at work with the engine's connections.

    :param open_anew: closes them all, and opens the file that is in the ledger's place then.
    :raises TimeoutError: another thread has the only one, and keeps it for long.
    """
    condition = guard.look()
    if condition is Condition.STRIPPED and not _is_open(engine):
        guard.watch_beside()  # the last who had it open took them away, as is right
    elif condition is not Condition.WELL:
        aside = _save(engine, guard, condition)
        open_anew()
        if aside is not None:
            _look_into(aside, guard.path)


def _is_open(engine: Engine) -> bool:
    pool: Any = engine.pool
    return bool(pool.checkedin() or pool.checkedout())


def _save(engine: Engine, guard: Guard, condition: Condition) -> Path | None:
    if condition is Condition.DAMAGED or guard.is_foreign():
        set_aside(guard)
    return None if condition is Condition.DAMAGED else _rescue(engine, guard)


def _rescue(engine: Engine, guard: Guard) -> Path | None:
    """Write down what the file held that is gone, from a connection that has it open.

    Return what :func:`_look_into` is to look into when all connections are closed.
    """
    pool: Any = engine.pool
    if guard.is_there(guard.watched) and guard.has_its_log():
        log.warning(_INDEX, guard.path, guard.path)  # it is made anew from the log
    elif pool.checkedin():
        return _write_down(engine, guard)
    elif pool.checkedout():  # a new connection would open another file
        raise TimeoutError("its file was taken away, and another thread has it open for long")
    else:
        guard.give_up()
        log.error(_LOST, guard.path)
    return None


def _write_down(engine: Engine, guard: Guard) -> Path | None:
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if aside := guard.complete(driver):
            return aside
        if guard.restore(driver):
            log.error(_RESTORED, guard.path)
        else:
            log.error(_REPLACED, guard.path, guard.save(driver))
        return None
    finally:
        connection.close()


def _look_into(aside: Path, ledger: Path) -> None:
    """Say what is in the file that was without its log, and remove it where that is nothing new.

    When every connection to it is closed: SQLite would have it share what they had of it.
    """
    if _has_more(aside, ledger):
        log.error(f"{_COMPLETED} {_BEGUN}", ledger, aside, aside)
        return
    log.error(_COMPLETED, ledger)
    for file in aside.parent.glob(f"{aside.name}*"):
        file.unlink()


def _has_more(aside: Path, ledger: Path) -> bool:
    with closing(sqlite3.connect(aside)) as found:
        try:
            found.execute("ATTACH ? AS ledger", (str(ledger),))
            return found.execute(_MORE).fetchone() is not None
        except sqlite3.Error as e:  # it cannot be told, but where all was in the log
            return "no such table" not in str(e)


_MORE = (
    "SELECT 1 FROM main.partnerstack_entry WHERE customer_digest NOT IN "
    "(SELECT customer_digest FROM ledger.partnerstack_entry)"
)


def set_aside(guard: Guard) -> None:
    """Move what is no database out of the ledger's place, unless another process did so."""
    aside = guard.set_aside()
    if aside is not None:
        log.error(_SET_ASIDE, guard.path, aside, aside)


_LOST = (
    "The ledger %s was taken away, and nobody here had it open. Restore it from a backup, at first "
    "without PARTNERSTACK_TOKEN: it has forgotten what was delivered since, and would send it "
    "again. A new one is begun where there is none."
)
_RESTORED = "The ledger %s was taken away. It is written back, whole."
_COMPLETED = (
    "The file %s-wal was taken away, and with it what was in no other file of the ledger's yet. It "
    "is written back, whole. Let no deploy and no clean-up delete it, nor -shm."
)
_BEGUN = (
    "What another process recorded without it, if any, is in %s, and is taken over by: flask "
    "partnerstack move --from sqlite:///%s"
)
_INDEX = (
    "The file %s-shm was taken away. Nothing is lost, but let no deploy and no clean-up delete it, "
    "nor %s-wal, which has conversions in it."
)
_REPLACED = (
    "The ledger %s was replaced by another file, which is used from now on. What the old one held "
    "is in %s."
)
_SET_ASIDE = (
    "What lies in the place of the ledger %s is no database. It is set aside as %s. If it was the "
    "ledger, what it held and was not delivered yet is to be had from a backup, which would send "
    "again what was delivered since, or perhaps by sqlite3 %s .recover"
)
