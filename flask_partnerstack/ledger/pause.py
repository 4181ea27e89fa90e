"""``Pause``: nothing is delivered for now. Kept in the ledger, so that every process knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from enum import Enum
from typing import Final

from sqlalchemy import BigInteger
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import and_
from sqlalchemy import case
from sqlalchemy import exists
from sqlalchemy import literal
from sqlalchemy import select
from sqlalchemy import type_coerce

from ..errors import Judgement
from .changing import change
from .entry import INTERRUPTED
from .entry import UNREADABLE
from .facts import erase_fact
from .facts import read_fact
from .facts import write_fact
from .tables import Moment
from .tables import attempts
from .tables import entries
from .tables import facts
from .tables import pending

#: The first wait for a probe; each further one is half as long again, up to the last. So nobody
#: waits longer than half of what an outage lasted.
FIRST_PROBE = timedelta(seconds=2)
GROWTH = 1.5
LAST_PROBE = timedelta(minutes=5)
#: Set-ups that are remembered of a pause; where so many were tried, no other is the cure.
MOST_TRIED = 20


def probe_wait(probes: int, longest: timedelta = LAST_PROBE) -> timedelta:
    """Return the wait for the next probe after so many."""
    return min(FIRST_PROBE * GROWTH ** min(probes, 20), longest)


_FACT = "pause"
#: Whether one is on, as part of a statement.
is_paused: Final[ColumnElement[bool]] = exists().where(facts.c.name == _FACT)
_RESUMED = "resumed_at"
#: How far back the trail is read for what happened since the last success.
_STREAK = 200
_OF_DELIVERY = [
    judgement.value
    for judgement in (
        Judgement.ACCEPTED,
        Judgement.REFUSED,
        Judgement.NOT_SENT,
        Judgement.DENIED,
        Judgement.UNCLEAR,
        Judgement.REJECTED,
    )
]
#: An attempt that says something of the service: it was made, and its end was seen.
_WAS_MADE = and_(
    attempts.c.judged.in_(_OF_DELIVERY),
    attempts.c.reason != INTERRUPTED,
    ~attempts.c.reason.startswith(UNREADABLE),
)


class Cause(str, Enum):
    """Why nothing is delivered."""

    DENIED = "denied"  #: the token is not accepted
    UNAVAILABLE = "unavailable"  #: the service refuses, or cannot be reached
    REJECTING = "rejecting"  #: everything is turned away for good: a wrong address, perhaps
    NO_TOKEN = "no token"  # noqa: S105 - a reason, no secret
    MOVING = "moving"  #: entries are being copied here from another ledger
    MOVED = "moved"  #: the entries went to another ledger, and are delivered from there

    __str__ = str.__str__


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Nothing is delivered for now.

    :param since: when it began. Until it ends, no entry grows older.
    :param probe_at: when the next entry is sent to see whether it is over.
    :param decided_at: when that was decided: a clock that is set back shows in it.
    :param probes: how many were.
    :param not_before: when the service, or an answer that was unclear, lets a probe be made at the
        earliest, whoever makes it.
    :param tried: the set-ups that were tried in it, each by its mark.
    """

    cause: Cause
    reason: str
    since: datetime
    probe_at: datetime
    decided_at: datetime
    probes: int = 0
    not_before: datetime | None = None
    tried: tuple[str, ...] = ()

    @property
    def is_probed(self) -> bool:
        """Whether something is sent now and then, to see whether it is over."""
        return self.cause not in (Cause.NO_TOKEN, Cause.MOVING, Cause.MOVED)

    def is_held(self, now: datetime) -> bool:
        """Say whether a move keeps it on, so that nothing is probed and no success ends it.

        For ever in the ledger that was left. In the other one until ``probe_at``, which the move
        puts off as long as it lives.
        """
        return self.cause is Cause.MOVED or (self.cause is Cause.MOVING and now < self.probe_at)

    def is_cure(self, mark: str, now: datetime) -> bool:
        """Say whether a set-up that was not tried in it may be the cure, and may be tried now."""
        is_new = mark not in self.tried and len(self.tried) < MOST_TRIED
        return is_new and (self.not_before is None or self.not_before <= now)

    def tried_with(self, mark: str | None) -> Pause:
        """Return the pause after one more set-up was tried in it."""
        if mark is None or mark in self.tried:
            return self
        return replace(self, tried=(*self.tried, mark)[:MOST_TRIED])

    def put_off(self, until: datetime, *, binding: bool) -> Pause:
        """Return the pause with no probe before then; ``binding``: nor by a set-up that is new."""
        later = max(self.probe_at, until)
        bound = max(self.not_before or until, until) if binding else self.not_before
        return replace(self, probe_at=later, not_before=bound)

    def probed(self, now: datetime) -> Pause:
        """Return the pause after one more probe, with a longer wait for the next."""
        wait = probe_wait(self.probes + 1)
        return replace(self, probe_at=now + wait, decided_at=now, probes=self.probes + 1)

    def mended(self, now: datetime) -> Pause:
        """Return the pause as it is when ``now`` was long past by the clock that decided it."""
        ahead = now - self.decided_at
        return replace(
            self,
            since=min(self.since, now),
            probe_at=self.probe_at + ahead,
            decided_at=now,
            not_before=None if self.not_before is None else self.not_before + ahead,
        )

    def dumps(self) -> str:
        """Return the fact's text."""
        content = {
            "cause": self.cause.value,
            "reason": self.reason,
            "since": self.since.isoformat(),
            "probe_at": self.probe_at.isoformat(),
            "decided_at": self.decided_at.isoformat(),
            "probes": self.probes,
            "not_before": None if self.not_before is None else self.not_before.isoformat(),
            "tried": self.tried,
        }
        return json.dumps(content)

    @classmethod
    def loads(cls, text: str) -> Pause:
        """Read what :meth:`dumps` wrote, perhaps in an older version."""
        content = json.loads(text)
        not_before = content.get("not_before")
        return cls(
            cause=Cause(content["cause"]),
            reason=content["reason"],
            since=datetime.fromisoformat(content["since"]),
            probe_at=datetime.fromisoformat(content["probe_at"]),
            decided_at=datetime.fromisoformat(content["decided_at"]),
            probes=content["probes"],
            not_before=None if not_before is None else datetime.fromisoformat(not_before),
            tried=tuple(content.get("tried", ())),
        )


@dataclass(frozen=True)
class Streak:
    """What happened to deliveries since the last one that succeeded.

    :param last_success: when that was; ``None`` when none is in sight.
    :param failures: ``(entry id, judgement, HTTP status)``, newest first.
    """

    last_success: datetime | None
    failures: tuple[tuple[int, Judgement, int | None], ...]

    def entries(self, *judgements: Judgement) -> set[int]:
        """Return the ids of the entries that failed in one of these ways."""
        return {entry_id for entry_id, judged, _ in self.failures if judged in judgements}

    def count(self, entry_id: int, judgement: Judgement) -> int:
        """Return how often one entry failed in this way."""
        return sum(failure[:2] == (entry_id, judgement) for failure in self.failures)

    def total(self, judgement: Judgement) -> int:
        """Return how often any entry failed in this way."""
        return sum(failure[1] is judgement for failure in self.failures)

    @property
    def is_unclear(self) -> bool:
        """Whether the last of them may have been taken."""
        return bool(self.failures) and self.failures[0][1] is Judgement.UNCLEAR


def read_pause(conn: Connection) -> Pause | None:
    """Return the pause that is on."""
    text = read_fact(conn, _FACT)
    return None if text is None else Pause.loads(text)


def write_pause(conn: Connection, pause: Pause) -> None:
    """Begin or prolong a pause."""
    write_fact(conn, _FACT, pause.dumps())


def mend_pause(conn: Connection, now: datetime, skew: timedelta) -> None:
    """Set a pause right, and the end of one, that are in a future that is no more."""
    pause = read_pause(conn)
    if pause is not None and pause.decided_at > now + skew:
        write_pause(conn, pause.mended(now))
    resumed_at = read_resumed_at(conn)
    if resumed_at is not None and resumed_at > now + skew:
        write_fact(conn, _RESUMED, now.isoformat())


def end_pause(conn: Connection, now: datetime) -> Pause | None:
    """End the pause, if one is on, and return it.

    What waited is due now, and is no older than it was when the pause began. What may have been
    taken keeps its time; and all does when a token was missing: that says nothing of PartnerStack.
    """
    pause = read_pause(conn)
    if pause is None or not erase_fact(conn, _FACT):
        return None
    _shift_ages(conn, now, now - pause.since)
    if pause.cause is not Cause.NO_TOKEN:
        write_fact(conn, _RESUMED, now.isoformat())
        idle = entries.c.lease.is_(None) & (entries.c.unclear == 0) & (entries.c.due_at > now)
        change(conn, pending & idle, {"due_at": now, "scheduled_at": now})
    return pause


def _shift_ages(conn: Connection, now: datetime, by: timedelta) -> None:
    lasted = by // timedelta(microseconds=1)
    if lasted > 0:
        tried = entries.c.first_attempt_at.is_not(None)
        moved = type_coerce(type_coerce(entries.c.first_attempt_at, BigInteger) + lasted, Moment)
        present = literal(now, Moment)
        # What was first tried during the pause is as old as if it were tried now.
        shifted = case((moved > present, present), else_=moved)
        change(conn, pending & tried, {"first_attempt_at": shifted})


def read_where_moved(conn: Connection) -> str | None:
    """Return where the entries went, in a pause's words; ``None`` when they are here."""
    pause = read_pause(conn)
    return pause.reason if pause is not None and pause.cause is Cause.MOVED else None


def read_resumed_at(conn: Connection) -> datetime | None:
    """Return when the last pause ended."""
    text = read_fact(conn, _RESUMED)
    return None if text is None else datetime.fromisoformat(text)


def read_last_sent(conn: Connection) -> datetime | None:
    """Return when anybody was last answered, or not, whose token was asked for."""
    at: datetime | None = conn.scalar(
        select(attempts.c.at).where(_WAS_MADE).order_by(attempts.c.id.desc()).limit(1)
    )
    return at


def read_streak(conn: Connection, *, until: datetime) -> Streak:
    """Return what happened to deliveries since the last success.

    :param until: a success after that is by a clock that was set back: nobody knows when it was.
    """
    recent = (
        select(attempts.c.entry_id, attempts.c.judged, attempts.c.status, attempts.c.at)
        .where(_WAS_MADE)
        .order_by(attempts.c.id.desc())
        .limit(_STREAK)
    )
    failures: list[tuple[int, Judgement, int | None]] = []
    for row in conn.execute(recent):
        if row.judged == Judgement.ACCEPTED.value:
            return Streak(row.at if row.at <= until else None, tuple(failures))
        failures.append((row.entry_id, Judgement(row.judged), row.status))
    return Streak(None, tuple(failures))
