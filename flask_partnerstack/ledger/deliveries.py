"""``Deliveries``: the half of the ledger that a dispatcher works with. Claims, pauses, look-ups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import timezone

from sqlalchemy import Connection
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy import type_coerce

from ..errors import LedgerUnavailable
from . import claims
from .entry import Attempt
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .facts import erase_fact
from .facts import hold_facts
from .facts import read_fact
from .facts import write_fact
from .pause import FIRST_PROBE
from .pause import Cause
from .pause import Pause
from .pause import Streak
from .pause import end_pause
from .pause import mend_pause
from .pause import read_pause
from .pause import read_resumed_at
from .pause import read_streak
from .pause import write_pause
from .storage import Storage
from .tables import CurrentMoment
from .tables import Moment
from .tables import entries

Clock = Callable[[], datetime]

#: How far a clock may go back without anybody having set it back.
CLOCK_SKEW = timedelta(minutes=1)

_MISSES = "misses"
_UNCLEAR_MISSES = "unclear_misses"
_READ_BACK = "read_back"
_PRUNED_AT = "pruned_at"
_DATABASE_NOW = select(type_coerce(CurrentMoment(), Moment))
_NEXT_DUE = select(func.min(entries.c.due_at)).where(entries.c.due_at.is_not(None))


def utcnow() -> datetime:
    """Return the time of day, aware."""
    return datetime.now(timezone.utc)


def digest_of(customer_key: str) -> str:
    """Return the fixed-length name of a customer key: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(customer_key.encode()).hexdigest()


@dataclass(frozen=True)
class Outlook:
    """What there is to do.

    :param now: the ledger's time.
    :param due_in: seconds until something is due: 0 for now, ``None`` for never.
    """

    now: datetime
    due_in: float | None
    pause: Pause | None


class Deliveries:
    """Claims what is due, and writes what came of it.

    :param database: where the ledger lies.
    :param lease: how long a claimed entry belongs to its claimer.
    :param clock: the time of day, aware; for tests.
    """

    def __init__(self, database: Storage, *, lease: timedelta, clock: Clock = utcnow) -> None:
        self._database = database
        self._lease = lease
        self._clock = clock
        self._latest: datetime | None = None

    @property
    def storage(self) -> Storage:
        """Where the ledger lies."""
        return self._database

    @property
    def is_shared_connection(self) -> bool:
        """Whether the ledger has one connection, which the app uses as well."""
        return self._database.is_shared_connection

    # --- delivering -----------------------------------------------------------------------------

    def outlook(self) -> Outlook:
        """Return when something is due, and whether delivery is paused."""
        with self._database.read() as conn:
            now = self.now_in(conn)
            due_at = conn.scalar(_NEXT_DUE)
            pause = read_pause(conn)
            is_wrong = self._was_set_back(now) and self._is_ahead(conn, now, pause)
        if is_wrong:
            self._mend_schedule()
            return self.outlook()
        due_in = None if due_at is None else (due_at - now).total_seconds()
        return Outlook(now, None if due_in is None else max(due_in, 0.0), pause)

    def _was_set_back(self, now: datetime) -> bool:
        """Say whether the clock went back since the last look, or may have before the first."""
        before, self._latest = self._latest, now
        return before is None or now < before - CLOCK_SKEW

    def _is_ahead(self, conn: Connection, now: datetime, pause: Pause | None) -> bool:
        """Say whether anything was decided in a future that is no more.

        Looked at before it is mended: on a server that would wait for rows which others hold.
        """
        if pause is not None and pause.decided_at > now + CLOCK_SKEW:
            return True
        return claims.is_ahead(conn, now, CLOCK_SKEW)

    def _mend_schedule(self) -> None:
        """Set right what was scheduled by a clock that was ahead of what it says now.

        Each entry waits as long again as it was to wait, and so does the next probe. What was
        sent in the future was sent now.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            claims.mend_schedule(conn, now, CLOCK_SKEW)
            mend_pause(conn, now, CLOCK_SKEW)

    def now(self) -> datetime:
        """Return the time that leases and due times are held against."""
        if self._database.is_sqlite:
            return self._clock()
        with self._database.read() as conn:
            return self.now_in(conn)

    def claim(self, limit: int) -> list[Claim]:
        """Take up to ``limit`` due entries under a lease, the longest due first."""
        with self._database.write() as conn:
            return claims.claim(conn, self.now_in(conn), limit, self._lease)

    def claim_one(self, entry_id: int) -> list[Claim]:
        """Take this entry under a lease; none when it is not due, or in somebody's hands."""
        with self._database.write() as conn:
            return claims.claim_one(conn, entry_id, self.now_in(conn), self._lease)

    def age(self, claim: Claim) -> timedelta:
        """Return how long ago a claimed entry was first sent, pauses left out."""
        now = self.now()
        return now - (claim.first_attempt_at or now)

    def silence(self, claim: Claim) -> timedelta:
        """Return how long ago a claimed entry was last sent."""
        now = self.now()
        return now - (claim.attempted_at or now)

    def count_attempt(self, claim: Claim) -> bool:
        """Count an attempt and renew the lease, just before the send.

        ``False``: the entry is no longer ours, and nothing may be sent.
        """
        with self._database.write() as conn:
            return claims.count_attempt(conn, claim, self.now_in(conn), self._lease)

    def renew(self, claim: Claim) -> bool:
        """Let a claim last as long as a new one; ``False``: it is somebody else's by now."""
        with self._database.write() as conn:
            return claims.renew(conn, claim, self.now_in(conn), self._lease)

    def leave(self, claim: Claim, verdict: Verdict) -> Entry | None:
        """Write what came of a claim, and give it back.

        Returns the entry, or ``None`` when the claim had run out and it was somebody else's.
        """
        with self._database.write() as conn:
            return claims.leave(conn, claim, self.now_in(conn), verdict)

    def leave_for_next(self, claim: Claim, verdict: Verdict) -> tuple[Entry | None, Claim | None]:
        """Write what came of a claim, and take the next that is to be sent, in one transaction.

        Its attempt is counted, so it is to be sent at once. Returns the entry, as :meth:`leave`,
        and that claim; ``None``: whatever is due next wants to be looked at first.
        """
        try:
            with self._database.write() as conn:
                now = self.now_in(conn)
                entry = claims.leave(conn, claim, now, verdict)
                return entry, claims.claim_following(conn, now, self._lease)
        except LedgerUnavailable:  # by what was to be next, perhaps: that must not undo the end
            return self.leave(claim, verdict), None

    def settle(
        self,
        claim: Claim,
        after: Status,
        attempt: Attempt,
        *,
        look_up_in: timedelta | None = None,
        test: bool | None = None,
    ) -> Entry | None:
        """Write that a claimed entry was delivered or verified."""
        return self.leave(
            claim, Verdict(after=after, due_in=look_up_in, attempt=attempt, test=test)
        )

    def postpone(
        self,
        claim: Claim,
        due_in: timedelta,
        *,
        reason: str,
        attempt: Attempt | None = None,
        unclear: int = 0,
        missing: int | None = None,
    ) -> Entry | None:
        """Write that a claimed entry is due again in ``due_in``; it stays what it is."""
        return self.leave(
            claim,
            Verdict(
                after=claim.entry.status,
                due_in=due_in,
                reason=reason,
                attempt=attempt,
                unclear=unclear,
                missing=missing,
            ),
        )

    def park(self, claim: Claim, *, reason: str) -> Entry | None:
        """Write that a claimed entry stays pending and is not due until it is requeued.

        One whose sending was interrupted may have been taken, and that is not forgotten.
        """
        unclear = int(claim.interrupted)
        return self.leave(claim, Verdict(after=claim.entry.status, reason=reason, unclear=unclear))

    def bury(
        self, claim: Claim, *, reason: str, attempt: Attempt | None = None, unclear: int = 0
    ) -> Entry | None:
        """Write that a claimed entry is given up, for a person to look at.

        :param unclear: how many unclear answers to add; with any, it is looked up first when it
            is requeued.
        """
        return self.leave(
            claim, Verdict(after=Status.DEAD, reason=reason, attempt=attempt, unclear=unclear)
        )

    # --- pruning --------------------------------------------------------------------------------

    def begin_pruning(self, every: timedelta) -> bool:
        """Say whether it is time to prune: no process has begun to for so long."""
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            before = read_fact(conn, _PRUNED_AT)
            if before is not None and _is_within(now - datetime.fromisoformat(before), every):
                return False
            write_fact(conn, _PRUNED_AT, now.isoformat())
            return True

    # --- pauses ---------------------------------------------------------------------------------

    def streak(self) -> Streak:
        """Return what happened to deliveries since the last one that succeeded."""
        with self._database.read() as conn:
            return read_streak(conn)

    def resumed_at(self) -> datetime | None:
        """Return when the last pause ended; ``None`` when there was none."""
        with self._database.read() as conn:
            return read_resumed_at(conn)

    def begin_pause(self, cause: Cause, reason: str, *, wish: timedelta = FIRST_PROBE) -> bool:
        """Stop all delivery, for every process; ``False`` when it was paused already.

        A pause that a move keeps on stays what it is.

        :param wish: when to send the first probe, at the earliest.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            before = read_pause(conn)
            if before is not None and before.is_held(now):
                return False
            if before is None:
                probe_at = now + max(wish, FIRST_PROBE)
                after = Pause(
                    cause=cause, reason=reason, since=now, probe_at=probe_at, decided_at=now
                )
            else:
                later = max(before.probe_at, now + wish)
                after = replace(before, cause=cause, reason=reason, probe_at=later, decided_at=now)
            write_pause(conn, after)
            return before is None

    def claim_probe(self, *, at_once: bool) -> list[Claim]:
        """Take the entry that shall show whether a pause is over; none when it is not yet time.

        :param at_once: this process has not tried yet, and its deploy may be the cure.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            if pause is None or pause.is_held(now) or (pause.probe_at > now and not at_once):
                return []
            write_pause(conn, pause.probed(now))
            return claims.claim_probe(conn, now, self._lease)

    def end_pause(self) -> Pause | None:
        """Deliver again: what waited is due now. Returns the pause, if one was on.

        One that a move keeps on does not end here.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            return None if pause is None or pause.is_held(now) else end_pause(conn, now)

    # --- verification ---------------------------------------------------------------------------

    def knows_pair(self, public_key: str) -> bool:
        """Say whether this key pair has ever found a customer of this ledger."""
        with self._database.read() as conn:
            return read_fact(conn, _pair_fact(public_key)) is not None

    def note_found(
        self, public_key: str, *, took: timedelta = timedelta(0), late: bool = False
    ) -> None:
        """Remember that this key pair finds our customers; the misses in a row are over.

        :param took: how long after it was sent the customer was found.
        :param late: an earlier look did not find it, so that it really took about as long.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            write_fact(conn, _pair_fact(public_key), self.now_in(conn).isoformat())
            erase_fact(conn, _MISSES)
            erase_fact(conn, _UNCLEAR_MISSES)
            before = _read_back(conn)
            _write_read_back(conn, max(before, took) if late else min(before, took))

    def misses(self) -> int:
        """Return how many look-ups of delivered entries in a row found nobody."""
        with self._database.read() as conn:
            return int(read_fact(conn, _MISSES) or 0)

    def note_miss(self, at_least: timedelta) -> None:
        """Count one more look-up that found nobody.

        :param at_least: how long after it was sent the customer will be looked for again: as long,
            for all we know, may others take to appear.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            _count(conn, _MISSES)
            _write_read_back(conn, max(_read_back(conn), at_least))

    def note_unclear_miss(self) -> None:
        """Count one more unclear entry that a look-up did not find."""
        with self._database.write() as conn:
            hold_facts(conn)
            _count(conn, _UNCLEAR_MISSES)

    def unclear_misses(self) -> int:
        """Return how many unclear entries were not found since anything was."""
        with self._database.read() as conn:
            return int(read_fact(conn, _UNCLEAR_MISSES) or 0)

    def read_back(self) -> timedelta:
        """Return how long after it was sent a customer may take to appear, as seen lately."""
        with self._database.read() as conn:
            return _read_back(conn)

    def has_real_customers(self) -> bool:
        """Say whether any entry was found as a customer that is not a test."""
        with self._database.read() as conn:
            found = select(entries.c.id).where(entries.c.test.is_(False)).limit(1)
            return conn.scalar(found) is not None

    def claim_delivered(self, *, after_id: int = 0, customer_key: str | None = None) -> list[Claim]:
        """Take the next delivered entry after that one, due or not, to look it up by hand."""
        digest = None if customer_key is None else digest_of(customer_key)
        with self._database.write() as conn:
            return claims.claim_delivered(
                conn, self.now_in(conn), self._lease, after_id=after_id, digest=digest
            )

    def give_back(self, claim: Claim, attempt: Attempt) -> Entry | None:
        """Write down what was tried, and leave the entry as it was before it was claimed."""
        entry = claim.entry
        with self._database.write() as conn:
            now = self.now_in(conn)
            due_in = None if entry.due_at is None else max(entry.due_at - now, timedelta(0))
            verdict = Verdict(
                after=entry.status, due_in=due_in, reason=entry.reason, attempt=attempt
            )
            return claims.leave(conn, claim, now, verdict)

    def now_in(self, conn: Connection) -> datetime:
        """Return the time that leases and due times are held against, in an open transaction.

        On a server the database's, because the clocks of many machines never agree.
        """
        if self._database.is_sqlite:
            return self._clock()
        return conn.scalars(_DATABASE_NOW).one()


def _is_within(passed: timedelta, every: timedelta) -> bool:
    # A clock that was set back makes it negative, and nobody would prune for as long.
    return timedelta(0) <= passed < every


def _count(conn: Connection, name: str) -> None:
    write_fact(conn, name, str(int(read_fact(conn, name) or 0) + 1))


def _read_back(conn: Connection) -> timedelta:
    return timedelta(seconds=float(read_fact(conn, _READ_BACK) or 0))


def _write_read_back(conn: Connection, lasts: timedelta) -> None:
    if lasts != _read_back(conn):
        write_fact(conn, _READ_BACK, str(lasts.total_seconds()))


def _pair_fact(public_key: str) -> str:
    return f"found_by:{digest_of(public_key)[:16]}"
