"""``Pausing``: the part of the ledger that stops all delivery, and lets it go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from datetime import timedelta

from . import claims
from .clocked import CLOCK_SKEW
from .clocked import Clocked
from .entry import Claim
from .facts import hold_facts
from .pause import FIRST_PROBE
from .pause import Cause
from .pause import Pause
from .pause import Streak
from .pause import end_pause
from .pause import read_last_sent
from .pause import read_pause
from .pause import read_resumed_at
from .pause import read_streak
from .pause import write_pause
from .trouble import tried_again


class Pausing(Clocked):
    """Begins and ends the pause that all processes keep to."""

    def streak(self) -> Streak:
        """Return what happened to deliveries since the last one that succeeded."""
        with self._database.read() as conn:
            return read_streak(conn, until=self.now_in(conn) + CLOCK_SKEW)

    def resumed_at(self) -> datetime | None:
        """Return when the last pause ended; ``None`` when there was none, or none that is past."""
        with self._database.read() as conn:
            at = read_resumed_at(conn)
            is_past = at is not None and at <= self.now_in(conn) + CLOCK_SKEW
            return at if is_past else None

    def was_sent_within(self, span: timedelta) -> bool:
        """Say whether anything was sent so lately, by a process that has a token."""
        with self._database.read() as conn:
            at = read_last_sent(conn)
            return at is not None and abs(self.now_in(conn) - at) < span

    def begin_pause(
        self,
        cause: Cause,
        reason: str,
        *,
        wish: timedelta = FIRST_PROBE,
        binding: bool = False,
        mark: str | None = None,
    ) -> bool:
        """Stop all delivery, for every process; ``False`` when it was paused already.

        A pause that a move keeps on stays what it is.

        :param wish: when to send the first probe, at the earliest.
        :param binding: nor does a set-up that was not tried yet send one before.
        :param mark: the set-up that was tried just now.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            before = read_pause(conn)
            if before is not None and before.is_held(now):
                return False
            if before is None:
                wish = max(wish, FIRST_PROBE)
                pause = Pause(cause=cause, reason=reason, since=now, probe_at=now, decided_at=now)
            else:
                pause = replace(before, cause=cause, reason=reason, decided_at=now)
            pause = pause.put_off(now + wish, binding=binding)
            write_pause(conn, pause.tried_with(mark))
            return before is None

    @tried_again
    def claim_probe(self, *, mark: str | None = None, sparing: bool = False) -> list[Claim]:
        """Take the entry that shall show whether a pause is over; none when it is not yet time.

        :param mark: the set-up of this process, which is new: where it was not tried in this pause,
            its deploy may be the cure.
        :param sparing: after an unclear answer take rather one that may have been taken already,
            whose time has come, so that no more become so than must.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            if pause is None or pause.is_held(now):
                return []
            if pause.probe_at > now and not (mark and pause.is_cure(mark, now)):
                return []
            write_pause(conn, pause.probed(now).tried_with(mark))
            spares = sparing and read_streak(conn, until=now).is_unclear
            return claims.claim_probe(conn, now, self._lease, sparing=spares)

    @tried_again
    def end_pause(self) -> Pause | None:
        """Deliver again: what waited is due now. Returns the pause, if one was on.

        One that a move keeps on does not end here.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            return None if pause is None or pause.is_held(now) else end_pause(conn, now)
