"""``Pausing``: the part of the ledger that stops all delivery, and lets it go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from datetime import timedelta

from . import claims
from .clocked import Clocked
from .entry import Claim
from .facts import hold_facts
from .pause import FIRST_PROBE
from .pause import Cause
from .pause import Pause
from .pause import Streak
from .pause import end_pause
from .pause import read_pause
from .pause import read_resumed_at
from .pause import read_streak
from .pause import write_pause


class Pausing(Clocked):
    """Begins and ends the pause that all processes keep to."""

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

    def claim_probe(self, *, at_once: bool, sparing: bool = False) -> list[Claim]:
        """Take the entry that shall show whether a pause is over; none when it is not yet time.

        :param at_once: this process has not tried yet, and its deploy may be the cure.
        :param sparing: after an unclear answer take rather one that may have been taken already,
            whose time has come, so that no more become so than must.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            if pause is None or pause.is_held(now) or (pause.probe_at > now and not at_once):
                return []
            write_pause(conn, pause.probed(now))
            spares = sparing and read_streak(conn).is_unclear
            return claims.claim_probe(conn, now, self._lease, sparing=spares)

    def end_pause(self) -> Pause | None:
        """Deliver again: what waited is due now. Returns the pause, if one was on.

        One that a move keeps on does not end here.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            now = self.now_in(conn)
            pause = read_pause(conn)
            return None if pause is None or pause.is_held(now) else end_pause(conn, now)
