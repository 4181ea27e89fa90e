"""Claiming and leaving entries: who may deal with one, for how long, and what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final

from sqlalchemy import BigInteger
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Integer
from sqlalchemy import Row
from sqlalchemy import Select
from sqlalchemy import Table
from sqlalchemy import Update
from sqlalchemy import bindparam
from sqlalchemy import literal
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import type_coerce

from ..errors import Judgement
from ..frozen import made
from . import terms
from .changing import change
from .entry import Attempt
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .entry import check_transition
from .entry import digest_of
from .prepared import Prepared
from .silence import is_silent
from .silence import silent_until
from .tables import Moment
from .tables import attempts
from .tables import entries
from .tables import erased
from .tables import of_status

#: How the lease begins of an entry that a move takes, or took, to another ledger.
TAKING, TAKEN = "moving:", "moved:"
#: Whether an entry went to another ledger.
went_away: Final[ColumnElement[bool]] = terms.went_away(entries)


def entry_of(row: Any) -> Entry:
    """Return the entry in a row of the table, or in one that a :class:`Prepared` has read."""
    values = {name: getattr(row, name) for name in Entry.__dataclass_fields__}
    return made(Entry, {**values, "status": Status(values["status"])})


# --- statements, built once: building one costs SQLAlchemy more than running it ------------------
# DUE takes ``now`` and ``most``, COUNTED takes ``now`` and what :func:`terms.lasting` binds.

_NOW = bindparam("now", type_=Moment)
_IS_DUE = terms.is_due(entries, _NOW)
DUE = (
    select(entries)
    .where(_IS_DUE)
    .order_by(entries.c.due_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
# The state in words that the index knows, so that a look-up which is due is passed over in it.
_DUE_TO_BE_SENT = DUE.where(of_status(Status.PENDING), terms.is_just_to_be_sent(entries))
_IS_IT = entries.c.id == bindparam("entry_id")
_DUE_ONE = select(entries).where(_IS_IT, _IS_DUE).with_for_update(skip_locked=True)
_IS_PENDING = terms.is_pending(entries)
_IDLE = entries.c.lease.is_(None) & (entries.c.unclear == 0) & entries.c.due_at.is_not(None)
_WAITING = (
    select(entries)
    .where(_IS_PENDING, _IDLE | _IS_DUE, ~went_away)
    .limit(1)
    .with_for_update(skip_locked=True)
)
# What a look-up may tell of that sends nothing: a pending one that was missed once is sent next.
_MAY_BE_FOUND = or_(
    entries.c.status == Status.DELIVERED.value,
    _IS_PENDING
    & (entries.c.unclear > 0)
    & (entries.c.missing == 0)
    & entries.c.sending_at.is_(None),
)
_LOOK_UP = DUE.where(_MAY_BE_FOUND, entries.c.status == bindparam("status"))
#: When the first is due. Not its minimum, for which MariaDB would read all that is ever due.
NEXT_DUE = (
    select(entries.c.due_at)
    .where(entries.c.due_at.is_not(None), ~went_away)
    .order_by(entries.c.due_at)
    .limit(1)
)
NEXT_LOOK_UP = NEXT_DUE.where(_MAY_BE_FOUND)
_FIRST_DUE = NEXT_DUE.add_columns(terms.is_just_to_be_sent(entries))
_NEXT_SEND = NEXT_DUE.where(of_status(Status.PENDING), terms.is_just_to_be_sent(entries))
_IN_TURN = (entries.c.attempted_at.is_not(None), entries.c.attempted_at, entries.c.id)
_PROBE = _WAITING.order_by(*_IN_TURN)
_PROBE_SPARING = _WAITING.order_by(entries.c.unclear == 0, *_IN_TURN)
_TAKEN = entries.update().where(entries.c.id.in_(bindparam("ids", expanding=True)))
_OURS = entries.c.lease == bindparam("held")
_MINE = entries.update().where(_IS_IT)
# A ledger that was begun anew, or lost its last rows in a failover, has another one by that id.
_IS_SAME = _IS_IT & (entries.c.customer_digest == bindparam("customer"))
COUNTED = entries.update().values(terms.counted(entries, _NOW))
_COUNTED_OURS = COUNTED.where(_IS_IT, _OURS, _IS_PENDING)
_RENEWED = _MINE.where(_OURS).values(
    due_at=bindparam("lease_ends", type_=Moment), scheduled_at=_NOW
)
_ENDED = entries.update().where(_IS_SAME).values(terms.left(entries, _NOW))
_LEFT = _ENDED.where(_OURS)
_LEFT_DELIVERED = _ENDED.where(_OURS | _IS_PENDING)
_RETURNING = {
    left: Prepared(left.returning(*terms.entry_columns(entries)))
    for left in (_LEFT, _LEFT_DELIVERED)
}
_TRIED = Prepared(
    attempts.insert()
    .inline()  # nobody asks for its id
    .values(entry_id=bindparam("whose"), **terms.tried(_NOW, terms.ANSWER))
)
_ONE = select(*terms.entry_columns(entries)).where(_IS_IT)
_SAME = select(*terms.entry_columns(entries)).where(_IS_SAME)
_IS_LEFT = _SAME.where(
    entries.c.lease.is_(None),
    entries.c.status == bindparam("after"),
    entries.c.attempts == bindparam("counted"),
)


def claim(conn: Connection, now: datetime, limit: int, lease: timedelta) -> list[Claim]:
    """Take up to ``limit`` due entries, oldest first, for as long as ``lease``.

    But what is just to be sent comes before what is looked up, so that it waits for no answer to
    that; and while there is none, few are looked up.

    Two claimers never get the same one: SQLite's write lock is held from the transaction's
    beginning, other databases lock the rows and skip those that are locked.
    """
    rows = conn.execute(DUE, {"now": now, "most": limit}).all()
    others = [row for row in rows if not is_to_be_sent(row)]
    if others:  # else there is nothing that would have to give way
        sends = conn.execute(_DUE_TO_BE_SENT, {"now": now, "most": limit}).all()
        rows = [*sends, *_looked_up(conn, others, now)][:limit]
    return _take(conn, rows, now, lease)


def _looked_up(conn: Connection, others: list[Row[Any]], now: datetime) -> list[Row[Any]]:
    if silent_until(conn, now) > now:
        return []
    return others[:1] if is_silent(conn) else others


def next_due(conn: Connection, now: datetime) -> datetime | None:
    """Return when the first is due that :func:`claim` may take; ``None``: nothing ever is.

    While look-ups are not answered, one that is due waits for its turn: who looked for it meanwhile
    would find it due, and take nothing, again and again.
    """
    first = conn.execute(_FIRST_DUE).one_or_none()
    if first is None:
        return None
    due_at, is_send = first
    if due_at > now or is_send:
        return due_at  # type: ignore[no-any-return]  # a row's
    moments = (silent_until(conn, now), conn.scalar(_NEXT_SEND))
    return min(moment for moment in moments if moment is not None)


def is_to_be_sent(row: Row[Any]) -> bool:
    """Say whether an entry is to be sent, and nobody can have taken it before."""
    return row.status == Status.PENDING.value and row.sending_at is None and row.unclear == 0


def claim_one(conn: Connection, entry_id: int, now: datetime, lease: timedelta) -> list[Claim]:
    """Take this entry for as long as ``lease``, when it is due and in nobody's hands."""
    return _take(conn, conn.execute(_DUE_ONE, {"now": now, "entry_id": entry_id}).all(), now, lease)


def claim_probe(
    conn: Connection, now: datetime, lease: timedelta, *, sparing: bool = False
) -> list[Claim]:
    """Take the pending entry that was not tried for the longest time, due or not.

    But one that may have been taken keeps its time, and one in somebody's hands is left there.

    :param sparing: one that may have been taken comes first, once it is due.
    """
    wanted = _PROBE_SPARING if sparing else _PROBE
    return _take(conn, conn.execute(wanted, {"now": now}).all(), now, lease)


def claim_look_up(conn: Connection, now: datetime, lease: timedelta, status: Status) -> list[Claim]:
    """Take the longest due entry of that status that a look-up may tell of, and sends not."""
    if silent_until(conn, now) > now:
        return []
    wanted = {"now": now, "most": 1, "status": status.value}
    return _take(conn, conn.execute(_LOOK_UP, wanted).all(), now, lease)


def seconds_until(due_at: datetime | None, now: datetime) -> float | None:
    """Return the seconds until then: 0 when it was, ``None`` for never."""
    return None if due_at is None else max((due_at - now).total_seconds(), 0.0)


def claim_next(
    conn: Connection,
    now: datetime,
    lease: timedelta,
    status: Status,
    *,
    after_id: int,
    digest: str | None,
) -> list[Claim]:
    """Take the next entry of that status that is in nobody's hands, due or not, by id.

    :param digest: only this customer's.
    """
    idle = entries.c.lease.is_(None) | entries.c.due_at.is_(None) | (entries.c.due_at <= now)
    wanted = (
        select(entries)
        .where(of_status(status), ~erased, idle, ~went_away)
        .where(entries.c.id > after_id)
        .order_by(entries.c.id)
        .limit(1)
    )
    if digest is not None:
        wanted = wanted.where(entries.c.customer_digest == digest)
    found = conn.execute(wanted.with_for_update(skip_locked=True)).all()
    # For one that is not due, a parked one, the end of a lease would be the time to send it.
    is_ever_due = all(row.due_at is not None for row in found)
    return _take(conn, found, now, lease if is_ever_due else None)


def _take(
    conn: Connection, rows: Sequence[Row[Any]], now: datetime, lease: timedelta | None
) -> list[Claim]:
    token = secrets.token_hex(16)
    ids = [row.id for row in rows]
    if ids:
        ends = None if lease is None else now + lease
        values = {"lease": token, "due_at": ends, "scheduled_at": now}
        conn.execute(_TAKEN, {"ids": ids, **values})
    return [claim_of(row, token) for row in rows]


def claim_of(row: Any, token: str) -> Claim:
    """Return the claim on the entry in a row, as the row was before it."""
    return Claim(
        entry=entry_of(row),
        payload=row.payload,
        lease=token,
        interrupted=row.sending_at is not None,
        unclear=row.unclear,
        missing=row.missing,
        first_attempt_at=row.first_attempt_at,
        attempted_at=row.attempted_at,
    )


def count_attempt(conn: Connection, claim: Claim, now: datetime, lease: timedelta) -> bool:
    """Count the attempt that is about to be made and renew the lease, in one statement.

    ``False``: the lease is somebody else's by now, and nothing may be sent.
    """
    ours = {"entry_id": claim.entry.id, "held": claim.lease}
    counted = {**ours, "now": now, **terms.lasting(lease)}
    return conn.execute(_COUNTED_OURS, counted).rowcount == 1


def renew(conn: Connection, claim: Claim, now: datetime, lease: timedelta) -> bool:
    """Let a claim last ``lease`` from now; ``False``: it is somebody else's by now."""
    ours = {"entry_id": claim.entry.id, "held": claim.lease}
    return conn.execute(_RENEWED, {**ours, "now": now, "lease_ends": now + lease}).rowcount == 1


def leave(conn: Connection, claim: Claim, now: datetime, verdict: Verdict) -> Entry | None:
    """Write what came of a claim, and give it back; ``None`` when it was no longer ours.

    That an entry was delivered is written even then, as long as it is pending: we know that
    PartnerStack took it, and whoever has it now must not send it again.
    """
    check_transition(claim.entry.status, verdict.after)
    left = _LEFT_DELIVERED if verdict.after is Status.DELIVERED else _LEFT
    ours = {**same(claim), "held": claim.lease}
    entry = _changed(conn, left, {**ours, "now": now, **terms.ending(claim, verdict)})
    found = entry or _found(conn, _SAME, same(claim))
    if verdict.attempt is not None and found is not None:
        # The answer to somebody who was erased meanwhile is not kept.
        kept = verdict.attempt if found.customer_key else replace(verdict.attempt, answer="")
        write_attempt(conn, claim.entry.id, kept, now)
    return entry


def find_left(conn: Connection, claim: Claim, verdict: Verdict) -> Entry | None:
    """Return the entry of a claim whose attempt was counted, when it was left in that way.

    By us: nobody else has sent it since.
    """
    counted = {**same(claim), "counted": claim.entry.attempts + 1}
    return _found(conn, _IS_LEFT, {**counted, "after": verdict.after.value})


def same(claim: Claim) -> dict[str, Any]:
    """Return what is bound to select the entry of a claim, and not another one by its id."""
    return {"entry_id": claim.entry.id, "customer": digest_of(claim.entry.customer_key)}


def _found(conn: Connection, wanted: Select[Any], values: dict[str, Any]) -> Entry | None:
    row = conn.execute(wanted, values).one_or_none()
    return None if row is None else entry_of(row)


def _changed(conn: Connection, change: Update, values: dict[str, Any]) -> Entry | None:
    """Change one entry and return it; ``None`` when no row was it."""
    if conn.dialect.update_returning:  # MySQL and MariaDB cannot
        rows = _RETURNING[change].run(conn, values)
        return entry_of(rows[0]) if rows else None
    changed = conn.execute(change, values).rowcount
    return fetch(conn, values["entry_id"]) if changed else None


def mend_schedule(conn: Connection, now: datetime, skew: timedelta) -> None:
    """Let what was scheduled in a future that is no more wait from now on, as long as it was to."""
    due_at, decided_at = (type_coerce(entries.c[n], BigInteger) for n in ("due_at", "scheduled_at"))
    again = literal(now, Moment) + type_coerce(due_at - decided_at, BigInteger)
    ahead = entries.c.due_at.is_not(None) & (entries.c.scheduled_at > now + skew)
    change(conn, ahead, {"due_at": type_coerce(again, Moment), "scheduled_at": now})
    for moment in _PAST:
        ahead = entries.c.due_at.is_not(None) & (moment > now + skew)
        change(conn, ahead, {moment: now})


#: Moments of what was done; what was done in the future was done now.
_PAST = (entries.c.first_attempt_at, entries.c.attempted_at)


def is_ahead(conn: Connection, now: datetime, skew: timedelta) -> bool:
    """Say whether anything open was scheduled, or done, in a future that is no more."""
    ahead = or_(*(moment > now + skew for moment in (entries.c.scheduled_at, *_PAST)))
    found = select(entries.c.id).where(entries.c.due_at.is_not(None), ahead).limit(1)
    return conn.scalar(found) is not None


def write_attempt(conn: Connection, entry_id: int, attempt: Attempt, now: datetime) -> None:
    """Add one line to an entry's trail."""
    _TRIED.run(conn, {"whose": entry_id, "now": now, **terms.trying(attempt)})


def fetch(conn: Connection, entry_id: int, table: Table = entries) -> Entry:
    """Return one entry by its id, which is known to be there."""
    one = _ONE if table is entries else select(table).where(table.c.id == bindparam("entry_id"))
    return entry_of(conn.execute(one, {"entry_id": entry_id}).one())


def read_trail(conn: Connection, entry_id: int) -> list[Attempt]:
    """Return an entry's trail, oldest first."""
    ordered = select(attempts).where(attempts.c.entry_id == entry_id).order_by(attempts.c.id)
    return [
        Attempt(
            at=row.at,
            judged=Judgement(row.judged),
            status=row.status,
            reason=row.reason,
            answer=row.answer,
        )
        for row in conn.execute(ordered)
    ]
