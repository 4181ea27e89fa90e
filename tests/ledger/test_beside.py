"""The app's engine over a pool of the ledger's own, which is renewed when its server fails over."""

from __future__ import annotations

import gc
import weakref

from sqlalchemy import create_engine
from sqlalchemy import event

from flask_partnerstack.ledger.beside import beside
from flask_partnerstack.ledger.beside import renew
from tests.servers import Servers


def test_a_pool_that_is_renewed_leaves_nothing(servers: Servers) -> None:
    """A server that takes no writes for an hour costs each signup a pool, and no memory."""
    theirs = create_engine(servers.empty("postgresql"))
    ours = beside(theirs)
    pools = [weakref.ref(ours.pool)]
    gc.collect()
    before = len(weakref.finalize._registry)  # type: ignore[attr-defined]  # what it keeps alive
    for _ in range(20):
        renew(ours)
        pools.append(weakref.ref(ours.pool))
    gc.collect()
    assert [pool() for pool in pools if pool() is not None] == [ours.pool]
    assert len(weakref.finalize._registry) <= before  # type: ignore[attr-defined]
    theirs.dispose()


def test_what_is_in_use_when_a_pool_is_renewed_is_closed(servers: Servers) -> None:
    """It comes back to a pool that nobody has any more, and ends with that one."""
    theirs = create_engine(servers.empty("postgresql"))
    ours = beside(theirs)
    used = ours.connect()
    driver = used.connection.driver_connection
    renew(ours)
    used.close()
    del used
    gc.collect()
    assert driver is not None
    assert driver.closed
    theirs.dispose()


def test_a_renewed_pool_ends_with_the_apps(servers: Servers) -> None:
    """Whoever disposes of the app's engine closes what the ledger has, also after a renewal."""
    theirs = create_engine(servers.empty("postgresql"))
    ours = beside(theirs)
    renew(ours)
    closed: list[object] = []
    event.listen(ours.pool, "close", lambda driver, _record: closed.append(driver))
    ours.connect().close()
    theirs.dispose()
    gc.collect()
    assert len(closed) == 1
