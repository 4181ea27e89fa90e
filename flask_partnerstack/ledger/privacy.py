"""Erasing one customer's personal data. That there was a conversion stays, and whose is forgotten.

What stays of an entry is its state, its times, the click, the partner, and the digest of the
customer key, so that nobody is credited twice.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Row
from sqlalchemy import select

from ..errors import EntryClaimed
from ..errors import EntryNotFound
from . import claims
from .entry import Entry
from .entry import Status
from .tables import attempts
from .tables import entries

#: Why an entry that was pending is not sent any more.
ERASED = "erased"


def is_erased(entry: Entry) -> bool:
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
    if row.lease is not None and row.due_at is not None and row.due_at > now:
        raise EntryClaimed(row.id, row.due_at)
    conn.execute(entries.update().where(entries.c.id == row.id), _emptied(row, now))
    conn.execute(attempts.update().where(attempts.c.entry_id == row.id), {"answer": ""})
    return claims.fetch(conn, row.id)


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
