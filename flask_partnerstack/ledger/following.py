"""Claiming what is due next, in the transaction that ends what was before it."""

from __future__ import annotations

import secrets
from datetime import datetime
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy import bindparam

from .claims import COUNTED
from .claims import DUE
from .claims import claim_of
from .claims import is_to_be_sent
from .entry import Claim
from .pause import is_paused
from .prepared import Prepared
from .tables import entries
from .terms import lasting

_OLDEST = Prepared(DUE.where(~is_paused))
_CLAIMED = COUNTED.values(lease=bindparam("held"))
_CLAIMED_IT = Prepared(_CLAIMED.where(entries.c.id == bindparam("entry_id")))


def claim_following(conn: Connection, now: datetime, lease: timedelta) -> Claim | None:
    """Take the entry that is due next and count its attempt, when nothing else is to be done first.

    ``None`` when nothing is due, when delivery is paused, and when what is due has to be looked
    up or looked at.
    """
    rows = _OLDEST.run(conn, {"now": now, "most": 1})
    if not rows or not is_to_be_sent(rows[0]):
        return None
    (row,) = rows
    held = secrets.token_hex(16)
    counted = {"entry_id": row.id, "now": now, "held": held, **lasting(lease)}
    _CLAIMED_IT.run(conn, counted)
    return claim_of(row, held)
