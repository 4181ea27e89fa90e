"""Whether look-ups are answered at all, as the trails of all processes tell."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy import select

from ..errors import Judgement
from .tables import attempts

#: Look-ups in a row without any answer, after which the next has to wait.
MOST_SILENT = 3
#: The wait after so many; it doubles with each more, up to the last.
FIRST_WAIT = timedelta(seconds=30)
LAST_WAIT = timedelta(minutes=15)
_RECENT = (
    select(attempts.c.judged, attempts.c.status, attempts.c.at)
    .order_by(attempts.c.id.desc())
    .limit(50)
)
_TOLD = (Judgement.FOUND.value, Judgement.MISSING.value)


def is_silent(conn: Connection) -> bool:
    """Say whether the last look-ups had no answer, so that no more than one is made at once."""
    return len(_unanswered(conn)) >= MOST_SILENT


def silent_until(conn: Connection, now: datetime) -> datetime:
    """Return when the next look-up may be made, which is now when they are answered.

    Each takes as long as a time-out, and whoever makes it sends nothing meanwhile.
    """
    unanswered = _unanswered(conn)
    if len(unanswered) < MOST_SILENT or unanswered[0] > now:  # by a clock that was set back
        return now
    doublings = min(len(unanswered) - MOST_SILENT, 10)
    return unanswered[0] + min(FIRST_WAIT * (1 << doublings), LAST_WAIT)


def _unanswered(conn: Connection) -> list[datetime]:
    """Return when look-ups were made since the last that had an answer, newest first."""
    moments: list[datetime] = []
    for judged, status, at in conn.execute(_RECENT):
        if judged == Judgement.CANNOT_TELL.value and status is None:
            moments.append(at)
        elif judged in (*_TOLD, Judgement.CANNOT_TELL.value):
            break
    return moments
