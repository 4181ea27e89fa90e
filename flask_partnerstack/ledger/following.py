"""Claiming what is due next, in the transaction that ends what was before it."""

from __future__ import annotations

import secrets
from datetime import datetime
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Row
from sqlalchemy import bindparam

from .claims import COUNTED
from .claims import DUE
from .claims import claim_of
from .entry import Claim
from .entry import Status
from .pause import is_paused
from .tables import entries

_OLDEST = DUE.where(~is_paused)
_CLAIMED = COUNTED.values(lease=bindparam("held"))
_CLAIMED_IT = _CLAIMED.where(entries.c.id == bindparam("entry_id"))
# Both in one, where a statement can return what it found before it changed it. A part with FOR
# UPDATE is run once and by itself: https://www.postgresql.org/docs/current/queries-with.html
_FOUND = _OLDEST.cte("oldest")
_CLAIMED_AT_ONCE = _CLAIMED.where(
    entries.c.id == _FOUND.c.id,
    _FOUND.c.status == Status.PENDING.value,
    _FOUND.c.sending_at.is_(None),
    _FOUND.c.unclear == 0,
).returning(*_FOUND.c)


def claim_following(conn: Connection, now: datetime, lease: timedelta) -> Claim | None:
    """Take the entry that is due next and count its attempt, when nothing else is to be done first.

    ``None`` when nothing is due, when delivery is paused, and when what is due has to be looked
    up or looked at.
    """
    held = secrets.token_hex(16)
    wanted = {"now": now, "most": 1, "held": held, "lease_ends": now + lease}
    take = _take_at_once if conn.dialect.name == "postgresql" else _take
    row = take(conn, wanted)
    return None if row is None else claim_of(row, held)


def _take_at_once(conn: Connection, wanted: dict[str, Any]) -> Row[Any] | None:
    return conn.execute(_CLAIMED_AT_ONCE, wanted).one_or_none()


def _take(conn: Connection, wanted: dict[str, Any]) -> Row[Any] | None:
    row = conn.execute(_OLDEST, wanted).one_or_none()
    if row is None or not _is_to_be_sent(row):
        return None
    conn.execute(_CLAIMED_IT, {**wanted, "entry_id": row.id})
    return row


def _is_to_be_sent(row: Row[Any]) -> bool:
    """Say whether an entry is to be sent, and nobody can have taken it before."""
    return row.status == Status.PENDING.value and row.sending_at is None and row.unclear == 0
