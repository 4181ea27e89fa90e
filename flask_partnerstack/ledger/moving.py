"""``Move``: takes every entry, with state and trail, from one ledger to another.

An entry is taken over like a claim whose lease ran out: the source's lease on it becomes the
move's, so nobody there can count an attempt at it any more, and what is not counted is not sent.
Only then it is written to the target, and only then it is marked as gone. So a move may be cut
off at any moment and be run again.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from datetime import timedelta

from sqlalchemy import ColumnElement
from sqlalchemy import func
from sqlalchemy import select

from ..errors import ConfigurationError
from .claims import TAKEN
from .claims import TAKING
from .claims import went_away
from .clocked import Clocked
from .clocked import utcnow
from .entry import Status
from .facts import hold_facts
from .facts import read_fact
from .facts import write_fact
from .merging import Batch
from .merging import Merging
from .merging import Moved
from .merging import trail_of
from .named import NAME
from .pause import Cause
from .pause import Pause
from .pause import end_pause
from .pause import read_pause
from .pause import write_pause
from .source import FROM
from .tables import entries
from .tables import facts
from .trouble import ConstraintBroken

#: Entries that are taken at once. A signup at the source waits for one batch at most.
BATCH = 200
#: How long the target stays paused when nobody renews it, and after which time it is renewed.
HOLD = timedelta(seconds=30)
RENEW_AFTER = 5.0
#: Seconds between two looks at what other processes do, who have nothing to wake a move with.
LOOK_AGAIN = 0.2
#: How often a batch is written again because the app recorded one of its customers just then.
MOST_COLLISIONS = 5
#: How often the source is gone through: what comes or is settled meanwhile is found by the next.
MOST_ROUNDS = 10

_IDENTITY = "identity"
#: Facts that are each ledger's own. The rest is known of PartnerStack, and goes along.
_OWN_FACTS = (_IDENTITY, NAME, "hold", "pause", "resumed_at", "schema_version")

Tell = Callable[[Moved], object]


class Move:
    """Takes the entries of ``source`` to ``target``, once; to be run again until nothing is left.

    The source delivers nothing from then on, for ever. The target pauses while this runs.

    :param tell: told how far it is, after each batch and while it waits.
    :param anew: though entries went to another ledger before, because that one is gone.
    """

    def __init__(
        self,
        source: Clocked,
        target: Clocked,
        *,
        tell: Tell = lambda _moved: None,
        anew: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._tell = tell
        self._anew = anew
        self._done = Moved()
        self._renewed = 0.0
        self._merging = Merging(origin=None, paused_since=utcnow(), aging=timedelta(0))
        self._name = ""

    def run(self) -> Moved:
        """Take over all that was not taken before, and return what came of it.

        :raises ConfigurationError: the source is the target, or went to another ledger before;
            naming ``--from``.
        :raises LedgerUnavailable: either cannot be used. What was taken stays taken.
        """
        self._meet()
        self._check_untaken()
        self._wait_for_another()
        try:
            self._pause_both()
            self._take_facts()
            self._take_rounds()
        finally:
            self._let_go()
        return self._done

    # --- who is who -----------------------------------------------------------------------------

    def _meet(self) -> None:
        """Give the target a name, by which the source remembers what went there."""
        with self._source.storage.read() as conn:
            if self._target.storage.holds(conn):
                raise ConfigurationError(FROM, _SAME)
        with self._target.storage.write() as conn:
            hold_facts(conn)
            name = read_fact(conn, _IDENTITY) or secrets.token_hex(12)
            write_fact(conn, _IDENTITY, name)
        with self._source.storage.read() as conn:
            origin = read_fact(conn, _IDENTITY)
        if origin == name:  # by another road: a symbolic link, another name of the host
            raise ConfigurationError(FROM, _SAME)
        self._name = name
        self._merging = replace(self._merging, origin=origin)

    def _check_untaken(self) -> None:
        """Refuse a source whose entries another ledger may be delivering."""
        elsewhere = went_away & entries.c.lease.not_in([TAKING + self._name, TAKEN + self._name])
        with self._source.storage.read() as conn:
            found = conn.scalar(select(entries.c.id).where(elsewhere).limit(1))
            pause = read_pause(conn)
        if found is not None and not self._anew:
            raise ConfigurationError(FROM, _ELSEWHERE.format(pause.reason if pause else "moved"))

    # --- pauses ---------------------------------------------------------------------------------

    def _wait_for_another(self) -> None:
        """Wait until no other move into the target is under way, or a killed one is forgotten."""
        while self._is_taken():
            self._tell(self._done)
            time.sleep(LOOK_AGAIN)  # for other processes, which cannot wake this one

    def _is_taken(self) -> bool:
        with self._target.storage.read() as conn:
            pause = read_pause(conn)
            now = self._target.now_in(conn)
        return pause is not None and pause.cause is Cause.MOVING and pause.is_held(now)

    def _pause_both(self) -> None:
        there = self._target.storage.location
        reason = f"moved to {there}. Run flask partnerstack move there for what came here since"
        paused = _begin(self._source, Cause.MOVED, reason)
        self._merging = replace(self._merging, paused_since=paused.since)
        self._renew()

    def _renew(self) -> None:
        """Put off the end of the target's pause: it ends by itself when this process is killed."""
        if time.monotonic() - self._renewed < RENEW_AFTER:
            return
        reason = f"entries are on their way from {self._source.storage.location}"
        paused = _begin(self._target, Cause.MOVING, reason, lasts=HOLD)
        self._merging = replace(self._merging, aging=paused.since - self._merging.paused_since)
        self._renewed = time.monotonic()

    def _let_go(self) -> None:
        with self._target.storage.write() as conn:
            hold_facts(conn)
            pause = read_pause(conn)
            if pause is not None and pause.cause is Cause.MOVING:
                end_pause(conn, self._target.now_in(conn))

    # --- facts ----------------------------------------------------------------------------------

    def _take_facts(self) -> None:
        """Take over what was learnt of PartnerStack, where the target has not learnt it itself."""
        with self._source.storage.read() as conn:
            wanted = select(facts).where(facts.c.name.not_in(_OWN_FACTS))
            known = [(row.name, row.value) for row in conn.execute(wanted)]
        with self._target.storage.write() as conn:
            hold_facts(conn)
            for name, value in known:
                if read_fact(conn, name) is None:
                    write_fact(conn, name, value)

    # --- entries --------------------------------------------------------------------------------

    def _take_rounds(self) -> None:
        for _ in range(MOST_ROUNDS):
            found = self._take_all()
            waited = self._wait_for_sends()
            if not found and not waited:
                break

    def _take_all(self) -> bool:
        """Take what was not taken, or is not what it was then; say whether there was any."""
        after = 0
        while ids := self._next_ids(after):
            self._renew()
            batch = self._take(ids)
            self._done = self._done.plus(self._write(batch))
            self._mark(ids)
            self._tell(self._done)
            after = ids[-1]
        return after > 0

    def _next_ids(self, after: int) -> list[int]:
        gone = func.coalesce(entries.c.lease, "") == TAKEN + self._name
        wanted = select(entries.c.id).where(entries.c.id > after, ~gone)
        with self._source.storage.read() as conn:
            free = ~_is_sending(self._source.now_in(conn))
            found = conn.scalars(wanted.where(free).order_by(entries.c.id).limit(BATCH))
            return list(found)

    def _take(self, ids: Sequence[int]) -> Batch:
        """Take entries out of the source's hands, and read them.

        By their ids: a locking search would, on MariaDB, lock the gap that signups write into.
        """
        taking = TAKING + self._name
        mine = entries.c.id.in_(ids) & (entries.c.lease == taking)
        with self._source.storage.write() as conn:
            free = ~_is_sending(self._source.now_in(conn))
            conn.execute(entries.update().where(entries.c.id.in_(ids), free).values(lease=taking))
            rows = conn.execute(select(entries).where(mine).order_by(entries.c.id)).all()
            taken = [row.id for row in rows]
            return Batch(rows, trail_of(conn, taken))

    def _write(self, batch: Batch) -> Moved:
        """Write a batch to the target, again when the app recorded one of its customers just then.

        Then there is an entry to compare with. A constraint of the app's own stays broken, and is
        told in the database's words.
        """
        for _ in range(MOST_COLLISIONS):
            with contextlib.suppress(ConstraintBroken):
                return self._put(batch)
        return self._put(batch)

    def _put(self, batch: Batch) -> Moved:
        with self._target.storage.write() as conn:
            return self._merging.put(conn, batch)

    def _mark(self, ids: Sequence[int]) -> None:
        """Note in the source that entries are in the target, unless they were settled since."""
        mine = entries.c.id.in_(ids) & (entries.c.lease == TAKING + self._name)
        with self._source.storage.write() as conn:
            conn.execute(entries.update().where(mine).values(lease=TAKEN + self._name))

    # --- what is being sent ---------------------------------------------------------------------

    def _wait_for_sends(self) -> bool:
        """Wait for sends under way, until their leases end; ``False``: there were none.

        Nothing else is sent from the source by then.
        """
        waited = False
        while count := self._sending():
            self._tell(replace(self._done, sending=count))
            self._renew()
            time.sleep(LOOK_AGAIN)  # for other processes, which cannot wake this one
            waited = True
        return waited

    def _sending(self) -> int:
        with self._source.storage.read() as conn:
            sending = _is_sending(self._source.now_in(conn))
            return conn.scalar(select(func.count()).select_from(entries).where(sending)) or 0


_SAME = "it leads to the ledger that the app has now. Expected the one that it had before."
_ELSEWHERE = (
    "entries of it went to another ledger before ({}). Expected that one: it may have delivered "
    "them. If it is gone and delivered none, add --anew."
)


def _begin(ledger: Clocked, cause: Cause, reason: str, *, lasts: timedelta = timedelta(0)) -> Pause:
    """Begin a pause whatever pause is on, which goes on in it."""
    with ledger.storage.write() as conn:
        hold_facts(conn)
        now = ledger.now_in(conn)
        before = read_pause(conn)
        pause = Pause(
            cause=cause,
            reason=reason,
            since=now if before is None else min(before.since, now),
            probe_at=now + lasts,
            decided_at=now,
        )
        write_pause(conn, pause)
        return pause


def _is_sending(now: datetime) -> ColumnElement[bool]:
    """Whether an entry is in the hands of somebody who sends it just now.

    Where the lease ran out it may have been taken: that shows in ``sending_at``, which goes along.
    """
    counted = entries.c.sending_at.is_not(None) & (entries.c.status == Status.PENDING.value)
    leased = entries.c.lease.is_not(None) & ~went_away & (entries.c.due_at > now)
    # Not NULL for a settled entry, so that its contrary is true of it.
    return entries.c.due_at.is_not(None) & counted & leased
