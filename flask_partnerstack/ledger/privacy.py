"""Erasing one customer's personal data, and pruning everybody's who was settled long ago.

That there was a conversion stays: its state, its times, the click, the partner, and the digest of
the customer key, so that nobody is credited twice.
"""

from __future__ import annotations

import json
from datetime import datetime
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Row
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import func
from sqlalchemy import or_
from sqlalchemy import select

from ..conversion import Conversion
from ..errors import EntryClaimed
from ..errors import EntryNotFound
from . import claims
from .entry import PRUNED
from .entry import Entry
from .entry import Status
from .entry import searchable
from .tables import attempts
from .tables import entries
from .tables import erased
from .tables import unpruned

#: Why an entry that was pending is not sent any more.
ERASED = "erased"
#: Why a delivered entry waits for a look-up that may never be made: its keys were taken away.
NO_PAIR = "not looked up: no key pair is set"
#: Look-ups that can tell have told within two days; no data is kept for those that cannot.
LONGEST_LOOKED_FOR = timedelta(days=7)


def is_erased(entry: Entry | Row[Any]) -> bool:
    """Say whether the customer of an entry was erased: no key can be empty otherwise."""
    return not entry.customer_key


def erase(conn: Connection, digest: str, named: str, now: datetime) -> Entry:
    """Empty what is known of a customer, in the entry and in its trail; a second time as well.

    One that is pending is skipped first, and one that waits to be looked up is not any more.

    :param digest: the customer key's.
    :param named: the customer, in the words of an error.
    :raises EntryNotFound: there is no entry with that digest.
    :raises EntryClaimed: somebody is dealing with it just now, and may be sending it.
    """
    row = conn.execute(
        select(entries).where(entries.c.customer_digest == digest).with_for_update()
    ).one_or_none()
    if row is None:
        raise EntryNotFound(named)
    if _is_claimed(row, now):
        raise EntryClaimed(row.id, row.due_at)
    conn.execute(entries.update().where(entries.c.id == row.id), _emptied(row, now))
    conn.execute(attempts.update().where(attempts.c.entry_id == row.id), {"answer": ""})
    return claims.fetch(conn, row.id)


def _is_claimed(row: Row[Any], now: datetime) -> bool:
    if row.lease is None or row.due_at is None or row.lease.startswith(claims.TAKEN):
        return False  # what went to another ledger is dealt with there
    return bool(row.due_at > now)


def _emptied(row: Row[Any], now: datetime) -> dict[str, Any]:
    was_pending = row.status == Status.PENDING.value
    return {
        "customer_key": "",
        "payload": json.dumps({"v": 1, "customer_key": "", "xid": row.xid}),
        "search": "",
        "due_at": None,
        "scheduled_at": now,
        "lease": None,
        "sending_at": None,
        # Whoever had it last was stopped while sending: it may have been taken.
        "unclear": row.unclear + (row.sending_at is not None),
        "status": Status.SKIPPED.value if was_pending else row.status,
        "reason": row.reason if row.status == Status.DEAD.value else ERASED,
        "settled_at": now if was_pending else row.settled_at,
    }


# --- what was settled long ago ------------------------------------------------------------------


def prunable(before: datetime) -> ColumnElement[bool]:
    """Select entries settled before then, of which nothing more is expected, that hold data.

    A delivered one may wait for a look-up that nobody will ever have keys for, or that never can
    tell. It goes on waiting, if its customer key stays.
    """
    too_long = entries.c.settled_at <= before - LONGEST_LOOKED_FOR
    waits_in_vain = and_(or_(entries.c.reason == NO_PAIR, too_long), entries.c.lease.is_(None))
    return and_(
        entries.c.settled_at <= before,
        unpruned,
        or_(entries.c.due_at.is_(None), waits_in_vain),
        ~erased,
    )


def count_prunable(conn: Connection, before: datetime) -> int:
    """Return how many entries there are to prune."""
    return conn.scalar(select(func.count()).select_from(entries).where(prunable(before))) or 0


def find_prunable(conn: Connection, before: datetime, limit: int) -> list[int]:
    """Return the ids of up to ``limit`` entries to prune. Looked for before anything is locked."""
    # By when they were settled, as the index is that holds them alone.
    ordered = select(entries.c.id).where(prunable(before)).order_by(entries.c.settled_at)
    wanted = ordered.limit(limit)
    return list(conn.scalars(wanted))


def prune(conn: Connection, ids: list[int], before: datetime) -> int:
    """Empty what those entries know of their customers but the key; return how many still did.

    A key that is an e-mail address goes, too.
    """
    found = select(entries).where(entries.c.id.in_(ids), prunable(before)).with_for_update()
    rows = conn.execute(found).all()
    if rows:
        conn.execute(_PRUNE, [_pruned(row) for row in rows])
        told = attempts.c.entry_id.in_([row.id for row in rows])
        conn.execute(attempts.update().where(told, attempts.c.answer != ""), {"answer": ""})
    return len(rows)


_PRUNE = entries.update().where(entries.c.id == bindparam("entry"))


def _pruned(row: Row[Any]) -> dict[str, Any]:
    key = "" if "@" in row.customer_key else row.customer_key
    left = Conversion(customer_key=key, xid=row.xid, partner_key=row.partner_key)
    return {
        "entry": row.id,
        "customer_key": key,
        "payload": PRUNED,
        "search": searchable(left),
        "due_at": row.due_at if key else None,  # nobody can be asked for without a key
    }
