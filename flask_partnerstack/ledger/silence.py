"""Whether look-ups are answered at all, as the trails of all processes tell, or have to wait.

Whoever is asked too often says how long to wait. All processes keep to that.
"""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy import select

from ..errors import Judgement
from .facts import read_fact
from .facts import write_fact
from .tables import attempts

#: Look-ups in a row without any answer, after which the next has to wait.
MOST_SILENT = 3
#: The wait after so many; it doubles with each more, up to the last.
FIRST_WAIT = timedelta(seconds=30)
LAST_WAIT = timedelta(minutes=15)
_REST = "look_ups_rest"
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

    Each takes as long as a time-out, and whoever makes it sends nothing meanwhile. And none is made
    before PartnerStack lets us.
    """
    return max(rests_until(conn, now), _answered_again(conn, now))


def rests_until(conn: Connection, now: datetime) -> datetime:
    """Return until when PartnerStack wants no look-up; now, when it said nothing, or that is over.

    What a clock said that was set back since is forgotten.
    """
    decided_at, until = _read_rest(conn) or (now, now)
    return max(until, now) if decided_at <= now else now


def rest(conn: Connection, now: datetime, lasts: timedelta) -> None:
    """Let nobody make a look-up for so long, or as long as was said before."""
    until = max(now + lasts, rests_until(conn, now))
    write_fact(conn, _REST, f"{now.isoformat()} {until.isoformat()}")


def _read_rest(conn: Connection) -> tuple[datetime, datetime] | None:
    decided_at, _, until = (read_fact(conn, _REST) or "").partition(" ")
    return (datetime.fromisoformat(decided_at), datetime.fromisoformat(until)) if until else None


def _answered_again(conn: Connection, now: datetime) -> datetime:
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
