"""``Deliveries``: the part of the ledger that delivers: what is due, claimed, and left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from sqlalchemy import Connection

from ..errors import LedgerUnavailable
from . import claims
from .at_once import leave_at_once
from .clocked import CLOCK_SKEW
from .clocked import Clocked
from .entry import Attempt
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .facts import hold_facts
from .following import claim_following
from .pause import Pause
from .pause import mend_pause
from .pause import read_pause
from .pause import read_resumed_at
from .trouble import tried_again


@dataclass(frozen=True)
class Outlook:
    """What there is to do.

    :param now: the ledger's time.
    :param due_in: seconds until something is due that may be taken: 0 for now, ``None`` for never.
    """

    now: datetime
    due_in: float | None
    pause: Pause | None


class Deliveries(Clocked):
    """Claims what is due, and writes what came of it."""

    _latest: datetime | None = None  # when this one was last asked for the outlook

    def outlook(self) -> Outlook:
        """Return when something is due, and whether delivery is paused."""
        try:
            return self._outlook()
        except LedgerUnavailable:
            self._latest = None  # so that a clock that was set back is seen once more
            raise

    def _outlook(self) -> Outlook:
        with self._database.read() as conn:
            now = self.now_in(conn)
            due_at = claims.next_due(conn, now)
            pause = read_pause(conn)
            is_wrong = self._was_set_back(now) and self._is_ahead(conn, now, pause)
        if is_wrong:
            self._mend_schedule()
            return self._outlook()
        return Outlook(now, claims.seconds_until(due_at, now), pause)

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
        resumed_at = read_resumed_at(conn)
        if resumed_at is not None and resumed_at > now + CLOCK_SKEW:
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

    @tried_again
    def claim(self, limit: int) -> list[Claim]:
        """Take up to ``limit`` due entries under a lease, the longest due first."""
        with self._database.write() as conn:
            return claims.claim(conn, self.now_in(conn), limit, self._lease)

    @tried_again
    def claim_one(self, entry_id: int) -> list[Claim]:
        """Take this entry under a lease; none when it is not due, or in somebody's hands."""
        with self._database.write() as conn:
            return claims.claim_one(conn, entry_id, self.now_in(conn), self._lease)

    def age(self, claim: Claim) -> timedelta:
        """Return how long ago a claimed entry was first sent, pauses left out."""
        with self._database.read() as conn:
            now, pause = self.now_in(conn), read_pause(conn)
        until = now if pause is None else min(pause.since, now)
        return max(until - (claim.first_attempt_at or until), timedelta(0))

    def silence(self, claim: Claim) -> timedelta:
        """Return how long ago a claimed entry was last sent."""
        now = self.now()
        return now - (claim.attempted_at or now)

    @tried_again
    def count_attempt(self, claim: Claim) -> bool:
        """Count an attempt and renew the lease, just before the send.

        ``False``: the entry is no longer ours, and nothing may be sent.
        """
        with self._database.write() as conn:
            return claims.count_attempt(conn, claim, self.now_in(conn), self._lease)

    @tried_again
    def renew(self, claim: Claim) -> bool:
        """Let a claim last as long as a new one; ``False``: it is somebody else's by now."""
        with self._database.write() as conn:
            return claims.renew(conn, claim, self.now_in(conn), self._lease)

    @tried_again
    def leave(self, claim: Claim, verdict: Verdict) -> Entry | None:
        """Write what came of a claim, and give it back.

        Returns the entry, or ``None`` when the claim had run out and it was somebody else's.
        """
        with self._database.write() as conn:
            return claims.leave(conn, claim, self.now_in(conn), verdict)

    def leave_taken(self, claim: Claim, verdict: Verdict) -> Entry | None:
        """Write that an entry was taken, and try it twice: what is not written is in doubt."""
        try:
            return self.leave(claim, verdict)
        except LedgerUnavailable:  # over a connection that broke, perhaps: the next is another
            return self.leave_again(claim, verdict)

    def leave_for_next(self, claim: Claim, verdict: Verdict) -> tuple[Entry | None, Claim | None]:
        """Write what came of a claim, and take the next that is to be sent, in one transaction.

        Its attempt is counted, so it is to be sent at once. Returns the entry, as :meth:`leave`,
        and that claim; ``None``: whatever is due next wants to be looked at first.
        """
        try:
            found = self._leave_for_next(claim, verdict)
        except LedgerUnavailable:  # by what was to be next, perhaps: that must not undo the end
            return self.leave_again(claim, verdict), None
        return found or (self.leave(claim, verdict), None)

    @tried_again
    def leave_again(self, claim: Claim, verdict: Verdict) -> Entry | None:
        """Write what came of a claim whose attempt was counted, unless it is written.

        Then only the word of it was lost. What was taken in the same step is found when its lease
        ends, as one whose claimer was stopped while sending.
        """
        with self._database.write() as conn:
            left = claims.find_left(conn, claim, verdict)
            return left or claims.leave(conn, claim, self.now_in(conn), verdict)

    def _leave_for_next(
        self, claim: Claim, verdict: Verdict
    ) -> tuple[Entry | None, Claim | None] | None:
        if self._database.is_postgresql:
            with self._database.at_once() as conn:
                return leave_at_once(conn, claim, verdict, self._lease)
        with self._database.write() as conn:
            now = self.now_in(conn)
            entry = claims.leave(conn, claim, now, verdict)
            return entry, claim_following(conn, now, self._lease)

    def settle(
        self,
        claim: Claim,
        after: Status,
        attempt: Attempt,
        *,
        look_up_in: timedelta | None = None,
        test: bool | None = None,
    ) -> Entry | None:
        """Write that a claimed entry was taken: delivered, or verified."""
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
