"""Leaving an entry and claiming the next in one statement, where a database can: PostgreSQL.

It is a transaction by itself, and asks for nothing before: one round trip for what are seven else.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from typing import cast

from sqlalchemy import Alias
from sqlalchemy import Boolean
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Row
from sqlalchemy import bindparam
from sqlalchemy import case
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import literal_column
from sqlalchemy import select
from sqlalchemy import type_coerce
from sqlalchemy import union_all
from sqlalchemy import update

from . import terms
from .claims import claim_of
from .claims import entry_of
from .claims import same
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .entry import check_transition
from .pause import is_paused
from .tables import CurrentMoment
from .tables import Moment
from .tables import attempts
from .tables import entries

# Each part but those with data in them sees the ledger as it was before the statement, so what is
# ended must not be claimed again: https://www.postgresql.org/docs/current/queries-with.html
# Short names, because psycopg reads a statement of more than 4096 characters anew each time.

_ENTRY_ID: ColumnElement[int] = bindparam("entry_id")
_IT, _FIRST, _NEXT = (cast("Alias[Any]", entries.alias(name)) for name in ("e", "f", "n"))

# Whoever waits for a row that somebody else holds waits for so long, and no longer than this
# statement: on the app's own connection nothing may stay set.
_CLOCK = select(
    type_coerce(CurrentMoment(), Moment).label("now"),
    func.set_config("lock_timeout", "2500", literal_column("true")).label("bound"),
).cte("clock")
_NOW = select(_CLOCK.c.now).scalar_subquery()

# A ledger that lost its last rows in a failover has another one by that id.
_IS_SAME = (_IT.c.id == _ENTRY_ID) & (_IT.c.customer_digest == bindparam("customer"))
_IS_OURS = _IT.c.lease == bindparam("held")
_WAS_TAKEN = terms.is_pending(_IT) & bindparam("was_taken", type_=Boolean)
_ENDED = (
    update(_IT)
    .where(_IS_SAME, _IS_OURS | _WAS_TAKEN)
    .values(terms.left(_IT, _NOW))
    .returning(*terms.claim_columns(_IT))
    .cte("ended")
)

# The answer to somebody who was erased meanwhile is not kept.
_ANSWER = case((_ENDED.c.customer_key == "", ""), else_=terms.ANSWER)
_LINE = {"entry_id": _ENDED.c.id, **terms.tried(_NOW, _ANSWER)}
_SAID = select(*_LINE.values()).where(terms.HAS_LINE)
_TRIED = attempts.insert().from_select(list(_LINE), _SAID).cte("tried")

_OLDEST = (
    select(*terms.claim_columns(_FIRST))
    .where(terms.is_due(_FIRST, _NOW), _FIRST.c.id != _ENTRY_ID, ~is_paused)
    .where(exists().select_from(_ENDED))
    .order_by(_FIRST.c.due_at)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True)
    .cte("oldest")
)
_FOLLOWING = (
    update(_NEXT)
    .where(_NEXT.c.id == _OLDEST.c.id, terms.is_just_to_be_sent(_OLDEST))
    .values({**terms.counted(_NEXT, _NOW), "lease": bindparam("following")})
    .returning(*_OLDEST.c)
    .cte("following")
)
LEFT_FOR_NEXT = union_all(select(_ENDED), select(_FOLLOWING)).add_cte(_TRIED)


def leave_at_once(
    conn: Connection, claim: Claim, verdict: Verdict, lease: timedelta
) -> tuple[Entry, Claim | None] | None:
    """Write what came of a claim, and take what is due next when it is just to be sent.

    Returns the entry, and the next claim, whose attempt is counted. ``None``: the claim had run
    out, so that nothing was written and nothing taken.

    :param conn: one that commits each statement.
    """
    check_transition(claim.entry.status, verdict.after)
    following = secrets.token_hex(16)
    wanted = {**_bound(claim, verdict), **terms.lasting(lease), "following": following}
    rows = {row.id: row for row in conn.execute(LEFT_FOR_NEXT, wanted)}
    return _read(rows, claim.entry.id, following)


def _bound(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    return {
        **same(claim),
        "held": claim.lease,
        "was_taken": verdict.after is Status.DELIVERED,
        **terms.ending(claim, verdict),
        **terms.trying(verdict.attempt),
    }


def _read(
    rows: dict[int, Row[Any]], ended: int, following: str
) -> tuple[Entry, Claim | None] | None:
    if ended not in rows:
        return None
    entry = entry_of(rows.pop(ended))
    claims = [claim_of(row, following) for row in rows.values()]
    return entry, claims[0] if claims else None
