"""What becomes of another ledger's entries in this one: new, brought up to date, or there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Row
from sqlalchemy import select

from .claims import TAKEN
from .entry import Status
from .privacy import is_erased
from .tables import attempts
from .tables import entries

#: The further one of two entries of one customer stays.
_RANKS = (Status.SKIPPED, Status.PENDING, Status.DEAD, Status.DELIVERED, Status.VERIFIED)
_RANK = {status.value: rank for rank, status in enumerate(_RANKS)}
_LINE = ("at", "judged", "status", "reason", "answer")
#: What tells two lines apart. Not the answer: it is emptied when a customer is erased.
_SAME_LINE = _LINE[:-1]
#: What names a customer, and is empty for good in an erased entry.
_PERSONAL = ("customer_key", "payload", "search")


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What came of a move, so far.

    :param copied: entries that were new to the target.
    :param updated: entries that the target had, but not as far.
    :param there: entries that the target had as far, or further.
    :param sending: sends under way in the source, which are waited for.
    """

    copied: int = 0
    updated: int = 0
    there: int = 0
    sending: int = 0

    def plus(self, other: Moved) -> Moved:
        """Return both together."""
        return replace(
            self,
            copied=self.copied + other.copied,
            updated=self.updated + other.updated,
            there=self.there + other.there,
        )


@dataclass(frozen=True)
class Batch:
    """Entries as they are in their ledger, and their trails, each in the order of their ids."""

    rows: Sequence[Row[Any]]
    lines: Sequence[Row[Any]]


@dataclass(frozen=True, kw_only=True)
class Merging:
    """How entries of one ledger, the source, are written to another.

    :param origin: the source's name, if it has one.
    :param paused_since: since when the source is paused.
    :param aging: how much later the target's pause began.
    """

    origin: str | None
    paused_since: datetime
    aging: timedelta

    def put(self, conn: Connection, batch: Batch) -> Moved:
        """Write a batch to the target; of one customer's two entries the further one stays.

        :raises sqlalchemy.exc.IntegrityError: one of its customers was recorded there just now.
        """
        by_digest = {row.customer_digest: row for row in batch.rows}
        before = _ids_of(conn, by_digest)
        new = [self._values_of(row) for row in batch.rows if row.customer_digest not in before]
        if new:
            conn.execute(entries.insert(), new)
        rows_before = _rows_of(conn, before.values())
        updated = sum(
            self._bring_up_to_date(conn, ours, by_digest[ours.customer_digest])
            for ours in rows_before
        )
        ids = {by_digest[digest].id: here for digest, here in _ids_of(conn, by_digest).items()}
        _add_lines(conn, batch.lines, ids, known_of=rows_before)
        return Moved(copied=len(new), updated=updated, there=len(before) - updated)

    def _bring_up_to_date(self, conn: Connection, ours: Row[Any], theirs: Row[Any]) -> bool:
        if not self._supersedes(theirs, ours):
            return False
        values = self._values_of(theirs)
        if is_erased(ours):
            values.update({name: ours._mapping[name] for name in _PERSONAL}, due_at=None)
        conn.execute(entries.update().where(entries.c.id == ours.id), values)
        return True

    def _supersedes(self, theirs: Row[Any], ours: Row[Any]) -> bool:
        """Say whether the source's entry of a customer stays, and not the target's."""
        if is_erased(ours) and theirs.status == Status.PENDING.value:
            return False  # whoever is to be forgotten is not sent
        if self.origin is not None and ours.lease == TAKEN + self.origin:
            return True  # it went there from here, and comes back
        if theirs.status == Status.DEAD.value and _may_be_taken(ours):
            return False  # its answer is on its way, or it is to be looked up
        return _progress(theirs) > _progress(ours)

    def _values_of(self, row: Row[Any]) -> dict[str, Any]:
        values = {**row._mapping, "lease": None}
        del values["id"]
        first = row.first_attempt_at
        if first is not None and row.status == Status.PENDING.value:
            # Nobody grows older in a pause. The target's, when it ends, lets all grow younger by
            # as long as it lasted; this makes up for the other one.
            values["first_attempt_at"] = min(first, self.paused_since) + self.aging
        return values


def trail_of(conn: Connection, ids: Iterable[int]) -> Sequence[Row[Any]]:
    """Return the trails of some entries, in the order in which they were written."""
    wanted = select(attempts).where(attempts.c.entry_id.in_(list(ids))).order_by(attempts.c.id)
    return conn.execute(wanted).all()


def _progress(row: Row[Any]) -> tuple[int, int, int]:
    # What may have been taken goes before what was tried more often: it is looked up first.
    return _RANK[row.status], _doubts(row), row.attempts


def _doubts(row: Row[Any]) -> int:
    return int(row.unclear) + (row.sending_at is not None)


def _may_be_taken(row: Row[Any]) -> bool:
    return row.status == Status.PENDING.value and _doubts(row) > 0


def _ids_of(conn: Connection, digests: Iterable[str]) -> dict[str, int]:
    # No locking read: on MariaDB it would lock the gaps that signups write into.
    wanted = select(entries.c.customer_digest, entries.c.id)
    found = conn.execute(wanted.where(entries.c.customer_digest.in_(list(digests))))
    return {row.customer_digest: row.id for row in found}


def _rows_of(conn: Connection, ids: Iterable[int]) -> Sequence[Row[Any]]:
    found = select(entries).where(entries.c.id.in_(list(ids))).with_for_update()
    return conn.execute(found).all()


def _add_lines(
    conn: Connection,
    lines: Iterable[Row[Any]],
    ids: Mapping[int, int],
    *,
    known_of: Sequence[Row[Any]],
) -> None:
    """Add the lines that are not there yet.

    :param ids: the target's id of each entry of the source.
    :param known_of: entries that may have lines already.
    """
    known: dict[int, set[tuple[Any, ...]]] = defaultdict(set)
    for line in trail_of(conn, [row.id for row in known_of]):
        known[line.entry_id].add(_content(line))
    erased = {row.id for row in known_of if is_erased(row)}
    new = [
        _line_for(ids[line.entry_id], line, erased)
        for line in lines
        if _content(line) not in known[ids[line.entry_id]]
    ]
    if new:
        conn.execute(attempts.insert(), new)


def _content(line: Row[Any]) -> tuple[Any, ...]:
    return tuple(line._mapping[name] for name in _SAME_LINE)


def _line_for(entry_id: int, line: Row[Any], erased: set[int]) -> dict[str, Any]:
    values = {"entry_id": entry_id, **{name: line._mapping[name] for name in _LINE}}
    return {**values, "answer": ""} if entry_id in erased else values
