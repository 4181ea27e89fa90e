"""``Survey``: what an operator asks of many entries at once, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta

from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy import union_all

from ..conversion import Conversion
from . import claims
from . import reports
from .clocked import Clocked
from .entry import Entry
from .entry import Status
from .entry import known_conversion
from .reports import Filter
from .tables import entries
from .tables import pending
from .tables import settled

#: Entries that are in memory at once while all of them are read.
CHUNK = 500


class Survey(Clocked):
    """Reads many entries."""

    def newest(self, wanted: Filter, *, limit: int) -> Sequence[Entry]:
        """Return up to ``limit`` entries, newest first."""
        chosen = select(entries).where(*wanted.conditions()).order_by(entries.c.id.desc())
        with self._database.read() as conn:
            return [claims.entry_of(row) for row in conn.execute(chosen.limit(limit))]

    def count(self, wanted: Filter) -> int:
        """Return how many entries there are."""
        counted = select(func.count()).select_from(entries).where(*wanted.conditions())
        with self._database.read() as conn:
            return conn.scalar(counted) or 0

    def stream(self, wanted: Filter) -> Iterator[tuple[Entry, Conversion]]:
        """Yield entries with what is reported of them, oldest first, a few in memory at once.

        Each few are read in a transaction of their own, so that no writer waits for the reader.
        One whose conversion is damaged comes with what the entry itself knows.
        """
        last = 0
        while chunk := self._chunk(wanted, last):
            yield from chunk
            last = chunk[-1][0].id

    def _chunk(self, wanted: Filter, last: int) -> list[tuple[Entry, Conversion]]:
        chosen = select(entries).where(entries.c.id > last, *wanted.conditions())
        with self._database.read() as conn:
            rows = conn.execute(chosen.order_by(entries.c.id).limit(CHUNK)).all()
        found = [(claims.entry_of(row), row.payload) for row in rows]
        return [(entry, known_conversion(entry, payload)) for entry, payload in found]

    def looked_up(self, *, limit: int) -> Sequence[Entry]:
        """Return the newest entries that were found at PartnerStack, newest first."""
        found = select(entries).where(entries.c.test.is_not(None)).order_by(entries.c.id.desc())
        with self._database.read() as conn:
            return [claims.entry_of(row) for row in conn.execute(found.limit(limit))]

    def reported(self, *, limit: int) -> list[Conversion]:
        """Return what was recorded last, newest first."""
        chosen = select(entries).order_by(entries.c.id.desc()).limit(limit)
        with self._database.read() as conn:
            rows = conn.execute(chosen).all()
        return [known_conversion(claims.entry_of(row), row.payload) for row in rows]

    def overdue(self) -> timedelta:
        """Return how long the first due entry has waited for somebody to deal with it."""
        with self._database.read() as conn:
            due_at = conn.scalar(claims.NEXT_DUE)
            waited = timedelta(0) if due_at is None else self.now_in(conn) - due_at
        return max(waited, timedelta(0))

    def is_idle(self) -> bool:
        """Say whether no entry waits for a delivery or a look-up, now or later."""
        with self._database.read() as conn:
            return conn.scalar(claims.NEXT_DUE) is None

    def clock_lead(self) -> timedelta:
        """Return how far the database's clock is ahead of ours; nothing where it has none."""
        before = self._clock()
        return self.now() - before

    def days(self, last: timedelta) -> list[reports.Day]:
        """Return how many conversions were recorded on each of the last days, oldest first."""
        with self._database.read() as conn:
            now = self.now_in(conn)
            return reports.read_days(conn, now - last, now)

    def partners(self, last: timedelta, *, limit: int = 10) -> list[reports.PartnerShare]:
        """Return the partners who brought most in the last days, the busiest first."""
        with self._database.read() as conn:
            return reports.read_partners(conn, self.now_in(conn) - last, limit)

    def stretch(self, after: int, *, lag: timedelta, steps: Sequence[float]) -> reports.Stretch:
        """Return what happened at attempts since the line ``after`` of all trails.

        :param lag: leave out what is newer than that: another process may be writing before it.
        :param steps: seconds from a signup to its delivery, by which those are sorted.
        """
        with self._database.read() as conn:
            return reports.read_stretch(conn, after, self.now_in(conn) - lag, steps)

    def counts(self) -> dict[Status, int]:
        """Return how many entries are in each state. They add up to the conversions recorded."""
        counted = select(entries.c.status, func.count()).group_by(entries.c.status)
        with self._database.read() as conn:
            rows = conn.execute(union_all(counted.where(settled), counted.where(pending))).all()
        found = {Status(row[0]): row[1] for row in rows}
        return {status: found.get(status, 0) for status in Status}

    def oldest_pending(self) -> datetime | None:
        """Return when the oldest entry that waits for its delivery was recorded."""
        oldest = select(func.min(entries.c.recorded_at)).where(pending)
        with self._database.read() as conn:
            found: datetime | None = conn.scalar(oldest)
        return found
