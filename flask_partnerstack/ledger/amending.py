"""``Amending``: the part of the ledger that a person works with. Requeue, erase, prune."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final

from sqlalchemy import Connection
from sqlalchemy import and_
from sqlalchemy import case
from sqlalchemy import literal

from ..errors import EntryNotFound
from ..errors import IllegalTransition
from ..errors import LedgerMoved
from ..errors import LedgerUnavailable
from ..masking import masked
from . import claims
from . import privacy
from . import tables
from .changing import change
from .clocked import Clocked
from .entry import Entry
from .entry import Status
from .entry import check_transition
from .entry import digest_of
from .facts import erase_fact
from .facts import hold_facts
from .facts import read_fact
from .facts import write_fact
from .pause import read_where_moved
from .reading import find_customer
from .tables import Moment
from .tables import entries
from .trouble import tried_again

log: Final = logging.getLogger("flask_partnerstack")

_PRUNED_AT = "pruned_at"
_OLD_PAGES = "old_pages"
_NOT_SENT = "Nothing is sent from here: requeue there."
_ERASED_HERE = "The customer is erased here only. Expected: erase there as well."
_NEVER_HERE = "The customer is not in here. Expected: erase there."


class Amending(Clocked):
    """Changes what was recorded, as a person says."""

    @tried_again
    def requeue(self, customer_key: str) -> Entry:
        """Make a dead, skipped or parked entry due now.

        One that may have been taken just before is sent when it has waited for its time.

        :raises LedgerMoved: the entries went to another ledger, and nothing is sent from here.
        :raises EntryNotFound: there is none with that key.
        :raises IllegalTransition: it was delivered, and must never be sent again; or erased, and
            cannot be; or it is pending and has its time, which it keeps.
        """
        with self._database.write() as conn:
            self._check_here(conn)
            entry = find_customer(conn, customer_key)
            if privacy.is_erased(entry):
                raise IllegalTransition(privacy.ERASED, Status.PENDING.value)
            if entry.status is Status.PENDING and entry.due_at is not None:
                raise IllegalTransition("pending until its time comes", "due before")
            check_transition(entry.status, Status.PENDING)
            wanted = entries.c.id == entry.id
            conn.execute(entries.update().where(wanted).values(_requeued(self.now_in(conn))))
            return claims.fetch(conn, entry.id)

    @tried_again
    def requeue_all(
        self,
        *,
        status: Status = Status.DEAD,
        partner_key: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Make every dead (or skipped, or parked) entry due now; return how many.

        :param status: ``pending`` means those that are parked.
        :param partner_key: only this partner's.
        :param reason: only those whose reason contains this text.
        :raises LedgerMoved: the entries went to another ledger, and nothing is sent from here.
        :raises IllegalTransition: for delivered or verified ones.
        """
        check_transition(status, Status.PENDING)
        wanted = [tables.of_status(status), ~tables.erased]  # there is nobody to send
        if status is Status.PENDING:
            wanted.append(entries.c.due_at.is_(None))
        if partner_key is not None:
            wanted.append(tables.of_partner(partner_key))
        if reason is not None:
            wanted.append(entries.c.reason.contains(reason, autoescape=True))
        with self._database.write() as conn:
            self._check_here(conn)
            return change(conn, and_(*wanted), _requeued(self.now_in(conn)))

    def _check_here(self, conn: Connection) -> None:
        """Refuse what would change nothing; a move that begins just now takes it along."""
        hold_facts(conn)
        moved = read_where_moved(conn)
        if moved is not None:
            raise LedgerMoved(self._database.location, moved, _NOT_SENT)

    def erase(self, customer_key: str) -> Entry:
        """Empty what is known of a customer, and return what is left of the entry.

        Key, e-mail, name, IP address, agent and stored answers are gone for good; the digest of
        the key stays, so that nobody is credited twice, and so do the click, the partner and the
        times. One that is pending becomes skipped ("erased"), one that is delivered is not
        looked up any more. A signup of the same customer later is recorded like a new one where
        this one was skipped, and is this one, credited already, where it was taken.

        :raises EntryNotFound: there is none with that key.
        :raises EntryClaimed: somebody is dealing with it just now, and may be sending it.
        :raises LedgerMoved: the entries went to another ledger. What is here is erased all the
            same, but is to be erased there as well.
        """
        with self._database.write() as conn:
            hold_facts(conn)
            self._overwrite(conn)
            moved = read_where_moved(conn)
            erased = self._erased_in(conn, customer_key, moved)
        self._forget_old_pages()
        if moved is not None:
            raise LedgerMoved(self._database.location, moved, _ERASED_HERE)
        return erased

    def _erased_in(self, conn: Connection, customer_key: str, moved: str | None) -> Entry:
        named = f"for the customer key {masked(customer_key)!r}"
        try:
            return privacy.erase(conn, digest_of(customer_key), named, self.now_in(conn))
        except EntryNotFound as e:
            if moved is None:
                raise
            raise LedgerMoved(self._database.location, moved, _NEVER_HERE) from e

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

    def prune(self, older_than: timedelta, *, limit: int = 500) -> int:
        """Remove the personal data of up to ``limit`` entries; return how many had any.

        Those that were settled so long ago, and of which nothing more is expected: one that waits
        to be looked up is left alone for a week more, while there is a key pair. E-mail address,
        name, IP address, agent, custom fields and stored answers are gone for good, and so is a
        customer key that is an e-mail address. Any other key, the click, the partner, state and
        times stay.
        """
        with self._database.read() as conn:
            before = self.now_in(conn) - older_than
            found = privacy.find_prunable(conn, before, limit)
        if not found:
            return 0
        with self._database.write() as conn:
            self._overwrite(conn)
            count = privacy.prune(conn, found, before)
        self._forget_old_pages()
        return count

    def _overwrite(self, conn: Connection) -> None:
        if self._database.overwrite_what_is_deleted(conn):
            # Noted before, so that it is seen to also where this process ends just after.
            write_fact(conn, _OLD_PAGES, secrets.token_hex(8))

    def _forget_old_pages(self) -> None:
        """See to it at once; what does not work is tried again by whoever delivers."""
        try:
            self.forget_what_stayed()
        except LedgerUnavailable as e:  # what was changed is committed, and that is said
            log.warning("What is gone may be in SQLite's log for an hour more: %s", e)

    def forget_what_stayed(self) -> bool:
        """Try again what a reader kept from being forgotten; say whether nothing of it stays.

        What was erased or pruned is in SQLite's log until that is emptied, and whoever reads just
        then is in the way. Asked now and then, by whichever process delivers.
        """
        with self._database.read() as conn:
            stayed = read_fact(conn, _OLD_PAGES)
        if stayed is None:
            return True
        if not self._database.forget_old_pages():
            return False
        with self._database.write() as conn:
            if read_fact(conn, _OLD_PAGES) == stayed:  # else more was erased meanwhile
                erase_fact(conn, _OLD_PAGES)
        return True

    def prunable(self, older_than: timedelta) -> int:
        """Return how many entries :meth:`prune` would find."""
        with self._database.read() as conn:
            return privacy.count_prunable(conn, self.now_in(conn) - older_than)


def _is_within(passed: timedelta, every: timedelta) -> bool:
    # A clock that was set back makes it negative, and nobody would prune for as long.
    return timedelta(0) <= passed < every


def _requeued(now: datetime) -> dict[str, Any]:
    # Its count of unclear answers stays: they are why it is looked up before it is sent again.
    # As nothing is sent while a look-up cannot tell, its age begins here and not with a send.
    begun = case((entries.c.unclear > 0, literal(now, Moment)), else_=None)
    return {
        "status": Status.PENDING.value,
        "reason": None,
        "due_at": now,
        "scheduled_at": now,
        # Whoever looks it up by hand just now would park it again. A move that has it keeps it.
        "lease": case((claims.went_away, entries.c.lease), else_=None),
        "settled_at": None,
        "first_attempt_at": begun,
    }
