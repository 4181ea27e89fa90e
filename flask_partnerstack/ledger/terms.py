"""Terms: what a statement asks of an entry, and what it makes of one. No statements.

Each takes the table that it is about, perhaps under another name, and what the time is: a value
handed in, or the database's own within the statement.
"""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final

from sqlalchemy import BigInteger
from sqlalchemy import Boolean
from sqlalchemy import ColumnElement
from sqlalchemy import FromClause
from sqlalchemy import Integer
from sqlalchemy import String
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import case
from sqlalchemy import func
from sqlalchemy import type_coerce

from .entry import Attempt
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .tables import Moment
from .tables import span_to_number

Now = ColumnElement[datetime]
Values = dict[str, Any]

_CLAIMED = ("payload", "sending_at", "unclear", "missing", "first_attempt_at", "attempted_at")


def writable(words: str) -> str:
    """Return somebody else's words as any database takes them, where there is room for 1000.

    PostgreSQL refuses a NUL, and no driver encodes half a pair of surrogates, which JSON may hold.
    """
    return words[:1000].replace("\x00", "\ufffd").encode(errors="replace").decode()


def entry_columns(entry: FromClause) -> tuple[ColumnElement[Any], ...]:
    """Return what an :class:`Entry` is made of."""
    return tuple(entry.c[name] for name in Entry.__dataclass_fields__)


def claim_columns(entry: FromClause) -> tuple[ColumnElement[Any], ...]:
    """Return what a :class:`Claim` is made of."""
    return (*entry_columns(entry), *(entry.c[name] for name in _CLAIMED))


def went_away(entry: FromClause) -> ColumnElement[bool]:
    """Say whether it went to another ledger: it is that one's to send, and no longer ours."""
    return func.coalesce(entry.c.lease, "").like("mov%")


def is_due(entry: FromClause, now: Now) -> ColumnElement[bool]:
    """Say whether it is to be dealt with, and in nobody's hands."""
    return (entry.c.due_at <= now) & ~went_away(entry)


def is_pending(entry: FromClause) -> ColumnElement[bool]:
    """Say whether it is to be delivered."""
    return entry.c.status == Status.PENDING.value


def is_just_to_be_sent(entry: FromClause) -> ColumnElement[bool]:
    """Say whether it is to be sent, and nobody can have taken it before."""
    return and_(is_pending(entry), entry.c.sending_at.is_(None), entry.c.unclear == 0)


def _later(now: Now, by: str) -> ColumnElement[datetime | None]:
    """Return the moment that is so many microseconds from now; none when nothing is bound."""
    then = type_coerce(now, BigInteger) + bindparam(by, type_=BigInteger)
    return type_coerce(then, Moment)


def counted(entry: FromClause, now: Now) -> Values:
    """Return what it becomes when an attempt is counted, in terms of :func:`lasting`."""
    return {
        "attempts": entry.c.attempts + 1,
        "first_attempt_at": func.coalesce(entry.c.first_attempt_at, now),
        "attempted_at": now,
        "sending_at": now,
        "due_at": _later(now, "lasts"),
        "scheduled_at": now,
        "missing": 0,
    }


def lasting(lease: timedelta) -> Values:
    """Return what is bound in :func:`counted`."""
    return {"lasts": span_to_number(lease)}


def left(entry: FromClause, now: Now) -> Values:
    """Return what it becomes when a claim is given back, in terms of :func:`ending`."""
    settled_at = case(
        (bindparam("settles", type_=Boolean), now), else_=bindparam("settled_before", type_=Moment)
    )
    return {
        "status": bindparam("after"),
        "reason": bindparam("why"),
        "due_at": _later(now, "due_in"),
        "scheduled_at": now,
        "lease": None,
        "sending_at": None,
        "unclear": bindparam("unclear_by_now"),
        # Counting an attempt has set it to 0 by then; the claim is older than that.
        "missing": func.coalesce(bindparam("missing_by_now", type_=Integer), entry.c.missing),
        "settled_at": settled_at,
        "test": bindparam("is_test"),
    }


def ending(claim: Claim, verdict: Verdict) -> Values:
    """Return what is bound in :func:`left`."""
    entry = claim.entry
    return {
        "after": verdict.after.value,
        "why": None if verdict.reason is None else writable(verdict.reason),
        "due_in": None if verdict.due_in is None else span_to_number(verdict.due_in),
        "unclear_by_now": claim.unclear + verdict.unclear,
        "missing_by_now": verdict.missing,
        "settles": entry.status is Status.PENDING and verdict.after is not Status.PENDING,
        "settled_before": entry.settled_at,
        "is_test": entry.test if verdict.test is None else verdict.test,
    }


ANSWER: Final = bindparam("answered", type_=String)
HAS_LINE: Final = bindparam("judged", type_=String).is_not(None)


def tried(now: Now, answer: ColumnElement[str]) -> Values:
    """Return one line of a trail, but for whose it is, in terms of :func:`trying`."""
    return {
        "at": now,
        "judged": bindparam("judged", type_=String),
        "status": bindparam("http_status", type_=Integer),
        "reason": bindparam("said", type_=String),
        "answer": answer,
    }


def trying(attempt: Attempt | None) -> Values:
    """Return what is bound in :func:`tried`, in ``ANSWER`` and in ``HAS_LINE``."""
    if attempt is None:
        return dict.fromkeys(("judged", "http_status", "said", "answered"))
    return {
        "judged": attempt.judged.value,
        "http_status": attempt.status,
        "said": writable(attempt.reason),
        "answered": writable(attempt.answer),
    }
