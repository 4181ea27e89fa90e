"""``rescue``: what is done when the ledger's file was taken away, and what is said of it."""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from sqlalchemy import Engine

from .guard import Guard

log: Final = logging.getLogger("flask_partnerstack")


def rescue(engine: Engine, guard: Guard) -> None:
    """Write down what the file held that is gone, from a connection that has it open.

    :raises TimeoutError: another thread has the only one, and keeps it for long.
    """
    pool: Any = engine.pool
    if pool.checkedin():
        _write_down(engine, guard)
    elif pool.checkedout():  # a new connection would open another file
        raise TimeoutError("its file was taken away, and another thread has it open for long")
    else:
        guard.give_up()
        log.error(_LOST, guard.path)


def _write_down(engine: Engine, guard: Guard) -> None:
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if guard.restore(driver):
            log.error(_RESTORED, guard.path)
        else:
            log.error(_REPLACED, guard.path, guard.save(driver))
    finally:
        connection.close()


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
_REPLACED = (
    "The ledger %s was replaced by another file, which is used from now on. What the old one held "
    "is in %s."
)
_SET_ASIDE = (
    "What lies in the place of the ledger %s is no database. It is set aside as %s. If it was the "
    "ledger, what it held and was not delivered yet is to be had from a backup, which would send "
    "again what was delivered since, or perhaps by sqlite3 %s .recover"
)
