"""``beside``: the app's engine over a pool of the ledger's own, which leads to the same place."""

from __future__ import annotations

import os
import weakref
from typing import Any

from sqlalchemy import Engine
from sqlalchemy import Pool
from sqlalchemy import QueuePool
from sqlalchemy.engine.base import OptionEngine  # what Engine.execution_options() returns

from .collected import close_with_pools
from .connecting import POOL_WAIT
from .connecting import in_memory


class _Beside(OptionEngine):
    """The app's engine, which is told of every statement, over another pool."""

    #: OptionEngine has the app's here.
    pool: Any = None

    def __init__(self, theirs: Engine, pool: Pool) -> None:
        super().__init__(theirs, {})
        self.pool = pool
        self._closing = _closed_with(theirs.pool, pool)

    def renew(self) -> None:
        """Close what is idle, and begin another pool: nothing in this one is to be trusted."""
        theirs: Any = self._proxied.pool
        self._closing.detach()  # one for each renewal would stay for as long as theirs
        self.pool.dispose()
        self.pool = _pool_like(theirs)
        self._closing = _closed_with(theirs, self.pool)


def beside(theirs: Engine) -> Engine:
    """Return the app's engine over a pool of our own; itself where its pool cannot be used up.

    A request has one of the app's connections until it ends. With a second of the same pool for
    what it records, as many signups at once as there are connections would wait for each other.

    ``NullPool`` has as many as are asked for. ``StaticPool``, and whatever holds a database in
    memory, has one for all, on purpose: another would lead elsewhere.
    """
    if not isinstance(theirs.pool, QueuePool) or in_memory(theirs.url):
        return theirs
    return _Beside(theirs, _pool_like(theirs.pool))


def renew(engine: Engine) -> None:
    """Have none of the connections that are idle, where they are our own."""
    if isinstance(engine, _Beside):
        engine.renew()


def _pool_like(theirs: QueuePool) -> QueuePool:
    """Return a pool that connects as theirs, listeners and all, and as often at most."""
    ours = theirs.recreate()
    ours._timeout = min(ours._timeout, POOL_WAIT)
    close_with_pools(ours)
    return ours


def _closed_with(theirs: Pool, ours: Pool) -> weakref.finalize[..., Pool]:
    """Have ours closed when theirs is disposed of, which drops it, or is collected as garbage."""
    # By a weak reference: it leads to the app's engine, which would live as long as its own pool.
    return weakref.finalize(theirs, _close, weakref.ref(ours), os.getpid())


def _close(reference: weakref.ref[Pool], made_by: int) -> None:
    ours = reference()
    if ours is not None and os.getpid() == made_by:  # in a fork they are the parent's
        ours.dispose()
