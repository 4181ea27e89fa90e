"""``close_with_pools``: no connection outlives its pool, whatever drops that one, and when.

A pool that is disposed of forgets what is in use just then: that comes back later to a pool that
nobody has, and is left to the collector, which warns of it.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine
from sqlalchemy import Pool
from sqlalchemy import event

#: Under which a pooled connection's ``info`` has the set that it is in.
_MADE = "flask_partnerstack.made"


def close_with_pools(owner: Engine | Pool) -> None:
    """Close what a pool has connected when it is collected, whatever is collected with it.

    :param owner: a pool, or an engine, for each of the pools that it has one after the other.
    """
    owned = weakref.ref(owner)
    made: weakref.WeakKeyDictionary[Pool, set[Any]] = weakref.WeakKeyDictionary()

    def note(driver: Any, record: Any) -> None:
        pool = _pool_of(owned())
        if pool is None:
            return
        if pool not in made:
            made[pool] = _closed_with(pool)
        record.info[_MADE] = made[pool]
        made[pool].add(driver)

    event.listen(owner, "connect", note)
    event.listen(owner, "close", _forget)


def _forget(driver: Any, record: Any) -> None:
    # Not by a look through all of them, which another thread may add to just then.
    record.info.get(_MADE, set()).discard(driver)


def _pool_of(owner: Engine | Pool | None) -> Pool | None:
    return owner.pool if isinstance(owner, Engine) else owner


def _closed_with(pool: Pool) -> set[Any]:
    """Return a set of the driver's own connections, which lead to no pool and no engine."""
    drivers: set[Any] = set()
    weakref.finalize(pool, _close_all, drivers, os.getpid()).atexit = False
    return drivers


def _close_all(drivers: set[Any], made_by: int) -> None:
    if os.getpid() != made_by:  # in a fork they are the parent's
        return
    for driver in drivers:
        with suppress(Exception):  # SQLite's, by another thread than the one that opened it
            driver.close()
