"""What a person asks of the whole ledger: how many, when, by whom, and one customer among them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from math import inf

from sqlalchemy import BigInteger
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Integer
from sqlalchemy import Subquery
from sqlalchemy import and_
from sqlalchemy import case
from sqlalchemy import cast
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy import type_coerce
from sqlalchemy import union_all

from ..errors import Judgement
from . import claims
from .entry import Entry
from .entry import Status
from .tables import Exactly
from .tables import attempts
from .tables import entries
from .tables import of_partner
from .tables import of_status
from .tables import pending
from .tables import settled

#: Microseconds of a day, which moments are counted in.
_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1)
#: Characters of a search; more would be a mistake.
LONGEST_SEARCH = 200


@dataclass(frozen=True)
class Day:
    """The conversions recorded on one day, in UTC, by the state that they are in now."""

    day: date
    counts: Mapping[Status, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class PartnerShare:
    """How many conversions one partner brought, and how many of these PartnerStack took.

    :param partner_key: ``None`` where a click came without one.
    """

    partner_key: str | None
    total: int
    credited: int


@dataclass(frozen=True)
class Page:
    """Some entries, newest first, and where the next and the previous ones begin.

    :param older: ask for those ``before_id`` this one; ``None``: there are none.
    :param newer: ask for those ``after_id`` this one; ``None``: there are none.
    """

    entries: Sequence[Entry]
    older: int | None
    newer: int | None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entries somebody wants to see.

    :param search: words that must all be in the customer key, e-mail address, name, click or
        partner key, in whatever case.
    :param since: recorded then or later.
    :param until: recorded before then.
    """

    status: Status | None = None
    partner_key: str | None = None
    search: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        """Yield what must be true of an entry."""
        yield from _conditions(self.status, self.partner_key, self.search)
        if self.since is not None:
            yield entries.c.recorded_at >= self.since
        if self.until is not None:
            yield entries.c.recorded_at < self.until


def read_page(
    conn: Connection,
    *,
    status: Status | None = None,
    partner_key: str | None = None,
    search: str = "",
    before_id: int | None = None,
    after_id: int | None = None,
    limit: int = 50,
) -> Page:
    """Return one page of entries, newest first; see :meth:`.reading.Reading.page`."""
    wanted = and_(True, *_conditions(status, partner_key, search))
    forward = after_id is None
    column = entries.c.id
    chosen = select(entries).where(wanted)
    if after_id is not None:
        chosen = chosen.where(column > after_id).order_by(column)
    else:
        chosen = chosen.order_by(column.desc())
        if before_id is not None:
            chosen = chosen.where(column < before_id)
    rows = conn.execute(chosen.limit(limit + 1)).all()
    found = [claims.entry_of(row) for row in rows[:limit]]
    more = len(rows) > limit
    if forward:
        return _page(found, older=more, newer=before_id is not None)
    return _page(found[::-1], older=True, newer=more)


def _page(found: Sequence[Entry], *, older: bool, newer: bool) -> Page:
    return Page(
        found,
        found[-1].id if found and older else None,
        found[0].id if found and newer else None,
    )


def _conditions(
    status: Status | None, partner_key: str | None, search: str
) -> Iterable[ColumnElement[bool]]:
    if status is not None:
        yield _in(status)
    if partner_key is not None:
        yield of_partner(partner_key)
    for word in search[:LONGEST_SEARCH].casefold().split():
        yield entries.c.search.contains(word, autoescape=True)


def _in(status: Status) -> ColumnElement[bool]:
    if status is not Status.PENDING:
        return of_status(status)
    # Theirs is the index of what is due, which has another order: SQLite would read all the rows.
    return entries.c.id.in_(select(entries.c.id).where(pending))


def read_days(conn: Connection, since: datetime, until: datetime) -> list[Day]:
    """Return each day from ``since`` to ``until`` with what was recorded on it, oldest first."""
    recorded = _recorded_since(since)
    day = (type_coerce(recorded.c.recorded_at, BigInteger) // _DAY).label("day")
    counted = select(day, recorded.c.status, func.count()).group_by(day, recorded.c.status)
    counts: dict[int, dict[Status, int]] = {}
    for number, status, count in conn.execute(counted):
        counts.setdefault(int(number), {})[Status(status)] = count
    first, last = _number(since), _number(until)
    return [Day(_EPOCH + timedelta(days=n), counts.get(n, {})) for n in range(first, last + 1)]


def _recorded_since(since: datetime) -> Subquery:
    """Return when they came, by whom, and what became of them, in two parts.

    Each has its index, and would lose it in a query of both.
    """
    facts = (entries.c.recorded_at, entries.c.partner_key, entries.c.status)
    recent = select(*facts).where(entries.c.recorded_at >= _midnight(since))
    return union_all(recent.where(settled), recent.where(pending)).subquery()


def _number(moment: datetime) -> int:
    return (moment.astimezone(timezone.utc).date() - _EPOCH).days


def _midnight(moment: datetime) -> datetime:
    utc = moment.astimezone(timezone.utc)
    return utc.replace(hour=0, minute=0, second=0, microsecond=0)


def read_partners(conn: Connection, since: datetime, limit: int) -> list[PartnerShare]:
    """Return the partners who brought most since then, the busiest first."""
    recorded = _recorded_since(since)
    total = func.count().label("total")
    credited = func.sum(
        cast(
            recorded.c.status.in_([Status.DELIVERED.value, Status.VERIFIED.value]),
            Integer,
        )
    )
    counted = (
        select(recorded.c.partner_key, total, credited)
        .group_by(recorded.c.partner_key, Exactly(recorded.c.partner_key))
        .order_by(total.desc(), recorded.c.partner_key)
        .limit(limit)
    )
    return [PartnerShare(key, count, int(took)) for key, count, took in conn.execute(counted)]


@dataclass(frozen=True)
class Stretch:
    """A stretch of all trails together, in the order in which they were written.

    :param upto: the id of its last line; the next stretch begins after it.
    :param judged: how many lines were judged how.
    :param delays: ``(step, how many, their seconds together)`` of the conversions that were taken
        within so many seconds from the signup, and longer than within the step before.
    """

    upto: int
    judged: Mapping[Judgement, int]
    delays: Sequence[tuple[float, int, float]]


def read_stretch(conn: Connection, after: int, until: datetime, steps: Sequence[float]) -> Stretch:
    """Return what happened after the line ``after``, up to ``until``. See :class:`Stretch`."""
    upto = conn.scalar(
        select(func.max(attempts.c.id)).where(attempts.c.id > after, attempts.c.at <= until)
    )
    if upto is None:
        return Stretch(after, {}, ())
    here = attempts.c.id.between(after + 1, upto)
    counted = select(attempts.c.judged, func.count()).where(here).group_by(attempts.c.judged)
    judged = {Judgement(row[0]): row[1] for row in conn.execute(counted)}
    return Stretch(upto, judged, _delays(conn, here, steps))


def _delays(
    conn: Connection, here: ColumnElement[bool], steps: Sequence[float]
) -> list[tuple[float, int, float]]:
    at, recorded_at = (
        type_coerce(column, BigInteger) for column in (attempts.c.at, entries.c.recorded_at)
    )
    waited = at - recorded_at
    bounds = [(waited <= int(step * 1_000_000), index) for index, step in enumerate(steps)]
    index = case(*bounds, else_=len(steps)).label("step")
    counted = (
        select(index, func.count(), func.sum(waited))
        .join_from(attempts, entries)
        .where(here, attempts.c.judged == Judgement.ACCEPTED.value)
        .group_by(index)
    )
    named = [*steps, inf]
    return [(named[i], n, max(float(total), 0.0) / 1e6) for i, n, total in conn.execute(counted)]
