"""``Lookups``: the part of the ledger that verifies: what look-ups found, and may be believed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy import select

from . import claims
from .clocked import Clocked
from .entry import Attempt
from .entry import Claim
from .entry import Entry
from .entry import Status
from .entry import Verdict
from .entry import digest_of
from .facts import erase_fact
from .facts import hold_facts
from .facts import read_fact
from .facts import write_fact
from .silence import rest
from .silence import rests_until
from .silence import silent_until
from .tables import entries
from .trouble import tried_again

_MISSES = "misses"
_UNCLEAR_MISSES = "unclear_misses"
_READ_BACK = "read_back"


class Lookups(Clocked):
    """Remembers which customers were found, and which were missed, by whose keys."""

    def knows_pair(self, public_key: str, kinds: Collection[str] = ()) -> bool:
        """Say whether this key pair has ever found a customer of this ledger.

        :param kinds: what else must have been found: a customer key of each of these kinds.
        """
        with self._database.read() as conn:
            facts = (read_fact(conn, name) for name in _pair_facts(public_key, kinds))
            return all(fact is not None for fact in facts)

    def note_found(
        self,
        public_key: str,
        *,
        took: timedelta | None = timedelta(0),
        late: bool = False,
        kinds: Collection[str] = (),
    ) -> None:
        """Remember that this key pair finds our customers; the misses in a row are over.

        :param took: how long after it was sent the customer was found; ``None``: nobody here knows
            when it was sent.
        :param late: an earlier look did not find it, so that it really took about as long.
        :param kinds: of which kinds its customer key is.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            for name in _pair_facts(public_key, kinds):
                write_fact(conn, name, self.now_in(conn).isoformat())
            erase_fact(conn, _MISSES)
            erase_fact(conn, _UNCLEAR_MISSES)
            if took is not None:
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

    def let_look_ups_rest(self, lasts: timedelta) -> None:
        """Let no process look anybody up for so long, because PartnerStack asks for it."""
        with self._database.write() as conn:
            hold_facts(conn)
            rest(conn, self.now_in(conn), lasts)

    def look_ups_rest(self) -> timedelta:
        """Return how long nobody may be looked up yet; nothing: PartnerStack lets us."""
        with self._database.read() as conn:
            now = self.now_in(conn)
            return rests_until(conn, now) - now

    def has_real_customers(self) -> bool:
        """Say whether any entry was found as a customer that is not a test."""
        with self._database.read() as conn:
            found = select(entries.c.id).where(entries.c.test.is_(False)).limit(1)
            return conn.scalar(found) is not None

    @tried_again
    def claim_next(
        self, status: Status, *, after_id: int = 0, customer_key: str | None = None
    ) -> list[Claim]:
        """Take the next entry of that status after that one, due or not, to look it up by hand."""
        digest = None if customer_key is None else digest_of(customer_key)
        with self._database.write() as conn:
            return claims.claim_next(
                conn, self.now_in(conn), self._lease, status, after_id=after_id, digest=digest
            )

    @tried_again
    def claim_look_up(self, status: Status) -> list[Claim]:
        """Take one due entry of that status that a look-up may tell of, though delivery is paused.

        A pending one that may have been taken, and was not missed since; or a delivered one.
        """
        with self._database.write() as conn:
            return claims.claim_look_up(conn, self.now_in(conn), self._lease, status)

    def next_look_up(self) -> float | None:
        """Return the seconds until there is one to be taken so: 0 for now, ``None`` for never."""
        with self._database.read() as conn:
            now, due_at = self.now_in(conn), conn.scalar(claims.NEXT_LOOK_UP)
            due_at = None if due_at is None else max(due_at, silent_until(conn, now))
            return claims.seconds_until(due_at, now)

    def note_missing(self, claim: Claim, attempt: Attempt) -> None:
        """Write down that a look-up did not find an entry, which stays claimed."""
        with self._database.write() as conn:
            claims.write_attempt(conn, claim.entry.id, attempt, self.now_in(conn))

    @tried_again
    def give_back(self, claim: Claim, attempt: Attempt) -> Entry | None:
        """Write down what was tried, and leave the entry as it was before it was claimed.

        One whose sending was interrupted may have been taken, and that is not forgotten.
        """
        entry, unclear = claim.entry, int(claim.interrupted)
        with self._database.write() as conn:
            now = self.now_in(conn)
            due_in = None if entry.due_at is None else max(entry.due_at - now, timedelta(0))
            verdict = Verdict(
                after=entry.status,
                due_in=due_in,
                reason=entry.reason,
                attempt=attempt,
                unclear=unclear,
            )
            return claims.leave(conn, claim, now, verdict)


def _count(conn: Connection, name: str) -> None:
    write_fact(conn, name, str(int(read_fact(conn, name) or 0) + 1))


def _read_back(conn: Connection) -> timedelta:
    return timedelta(seconds=float(read_fact(conn, _READ_BACK) or 0))


def _write_read_back(conn: Connection, lasts: timedelta) -> None:
    if lasts != _read_back(conn):
        write_fact(conn, _READ_BACK, str(lasts.total_seconds()))


def _pair_facts(public_key: str, kinds: Collection[str]) -> list[str]:
    pair = f"found_by:{digest_of(public_key)[:16]}"
    return [pair, *(f"{pair}:{kind}" for kind in sorted(kinds))]
