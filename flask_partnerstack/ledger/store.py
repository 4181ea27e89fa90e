"""``Ledger``: the durable record of every conversion, and what happens to it.

A transactional outbox: recorded in one insert under a unique customer key, delivered later,
claimed under a lease, settled one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from ..conversion import Conversion
from ..errors import EntryNotFound
from ..errors import IllegalTransition
from ..errors import InvalidConversion
from . import claims
from . import privacy
from . import reports
from .deliveries import digest_of
from .entry import Attempt
from .entry import Entry
from .entry import Status
from .entry import check_transition
from .entry import read_payload
from .inserting import insert
from .survey import Survey
from .tables import entries

if TYPE_CHECKING:
    from .joined import Joinable


@dataclass(frozen=True)
class Recorded:
    """What came of recording a conversion.

    :param new: ``False`` when the customer key had an entry already, which is left as it was.
    """

    entry: Entry
    new: bool


class Ledger(Survey):
    """The durable record of every conversion, and all that is done with it."""

    @property
    def location(self) -> str:
        """Where the ledger lies, as a URL without its password."""
        return self._database.location

    # --- recording ------------------------------------------------------------------------------

    def record(
        self, conversion: Conversion, *, reason: str | None = None, skipped: bool = False
    ) -> Recorded:
        """Write ``conversion`` down durably, to be delivered.

        One customer key has one entry for ever: a second call returns the first entry, unchanged,
        but for a skipped one, which becomes pending.

        :param reason: why it will not be delivered just now, when that is known already.
        :param skipped: it is never to be sent, for that reason.
        :raises LedgerUnavailable: when it could not be written.
        """
        now = self._clock()
        values = _new_row(conversion, now, reason, skipped=skipped)
        try:
            with self._database.write() as conn:
                entry_id = insert(conn, values)
            return Recorded(_entry_from(values, entry_id), new=True)
        except IntegrityError:
            return self._recorded_before(values)

    def _recorded_before(self, values: Mapping[str, Any]) -> Recorded:
        with self._database.write() as conn:
            return _found_or_revived(conn, values)

    def record_in(
        self,
        session: Joinable,
        conversion: Conversion,
        *,
        reason: str | None = None,
        skipped: bool = False,
        then: Callable[[Recorded], object] = lambda _recorded: None,
    ) -> Recorded:
        """Write ``conversion`` down in the caller's transaction: both are committed, or neither.

        :param session: a SQLAlchemy ``Session``, ``scoped_session`` or ``Connection``.
        :param then: called once the outermost transaction is committed, when the entry is new.
        :raises InvalidConversion: ``session`` cannot be joined, or leads to another database.
        :raises LedgerUnavailable: the ledger's tables are not there.
        :raises sqlalchemy.exc.DBAPIError: whatever the database says, unchanged: a deadlock, or
            a serialization failure, is to be tried again by whoever began the transaction.
        """
        from . import joined  # brings the ORM, which nobody else needs

        conn = self.join(session)
        self._database.check(conn)
        values = _new_row(conversion, self._clock(), reason, skipped=skipped)
        recorded = _insert_or_find(conn, values)
        if recorded.new:
            joined.when_committed(session, conn, recorded.entry.id, partial(then, recorded))
        return recorded

    def join(self, session: Joinable) -> Connection:
        """Return the connection of the caller's transaction. Writes nothing.

        :raises InvalidConversion: ``session`` cannot be joined, or leads to another database.
        """
        from . import joined

        conn = joined.connection_of(session)
        if not self._database.holds(conn):
            raise InvalidConversion("session", self._elsewhere(conn))
        return conn

    def _elsewhere(self, conn: Connection) -> str:
        theirs = conn.engine.url.render_as_string(hide_password=True)
        return (
            f"it leads to {theirs}, but the ledger is {self.location}, and nobody would deliver "
            "from there. Give PartnerStack your db object (db=db), or set PARTNERSTACK_LEDGER_URL "
            "to the app's database."
        )

    # --- by a person ----------------------------------------------------------------------------

    def requeue(self, customer_key: str) -> Entry:
        """Make a dead, skipped or parked entry due now.

        :raises EntryNotFound: there is none with that key.
        :raises IllegalTransition: it was delivered, and must never be sent again; or erased, and
            cannot be.
        """
        with self._database.write() as conn:
            entry = _find(conn, customer_key)
            if privacy.is_erased(entry):
                raise IllegalTransition(privacy.ERASED, Status.PENDING.value)
            check_transition(entry.status, Status.PENDING)
            wanted = entries.c.id == entry.id
            conn.execute(entries.update().where(wanted), _requeued(self.now_in(conn)))
            return claims.fetch(conn, entry.id)

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
        :raises IllegalTransition: for delivered or verified ones.
        """
        check_transition(status, Status.PENDING)
        wanted = entries.update().where(entries.c.status == status.value)
        wanted = wanted.where(entries.c.customer_key != "")  # erased: there is nobody to send
        if status is Status.PENDING:
            wanted = wanted.where(entries.c.due_at.is_(None))
        if partner_key is not None:
            wanted = wanted.where(entries.c.partner_key == partner_key)
        if reason is not None:
            wanted = wanted.where(entries.c.reason.contains(reason, autoescape=True))
        with self._database.write() as conn:
            return conn.execute(wanted, _requeued(self.now_in(conn))).rowcount

    def erase(self, customer_key: str) -> Entry:
        """Empty what is known of a customer, and return what is left of the entry.

        Key, e-mail, name, IP address, agent and stored answers are gone for good; the digest of
        the key stays, so that nobody is credited twice, and so do the click, the partner and the
        times. One that is pending becomes skipped ("erased"), one that is delivered is not
        looked up any more. A signup of the same customer later is recorded like a new one where
        this one was skipped, and is this one, credited already, where it was taken.

        :raises EntryNotFound: there is none with that key.
        :raises EntryClaimed: somebody is dealing with it just now, and may be sending it.
        """
        with self._database.write() as conn:
            self._database.overwrite_what_is_deleted(conn)
            named = f"for the customer key {customer_key!r}"
            erased = privacy.erase(conn, digest_of(customer_key), named, self.now_in(conn))
        self._database.forget_old_pages()
        return erased

    def prune(self, older_than: timedelta, *, limit: int = 500) -> int:
        """Remove the personal data of up to ``limit`` entries; return how many had any.

        Those that were settled so long ago, and of which nothing more is expected: one that waits
        to be looked up is left alone, while there is a key pair. E-mail address, name, IP address,
        agent, custom fields and stored answers are gone for good, and so is a customer key that is
        an e-mail address. Any other key, the click, the partner, state and times stay.
        """
        with self._database.read() as conn:
            before = self.now_in(conn) - older_than
            found = privacy.find_prunable(conn, before, limit)
        if not found:
            return 0
        with self._database.write() as conn:
            self._database.overwrite_what_is_deleted(conn)
            count = privacy.prune(conn, found, before)
        self._database.forget_old_pages()
        return count

    def prunable(self, older_than: timedelta) -> int:
        """Return how many entries :meth:`prune` would find."""
        with self._database.read() as conn:
            return privacy.count_prunable(conn, self.now_in(conn) - older_than)

    # --- looking --------------------------------------------------------------------------------

    def get(self, customer_key: str) -> Entry:
        """Return a customer's entry.

        :raises EntryNotFound: there is none.
        """
        with self._database.read() as conn:
            return _find(conn, customer_key)

    def conversion_of(self, entry: Entry) -> Conversion:
        """Return all that will be reported of an entry."""
        with self._database.read() as conn:
            wanted = select(entries.c.payload).where(entries.c.id == entry.id)
            return read_payload(entry, conn.scalars(wanted).one())

    def has(self, entry_id: int) -> bool:
        """Say whether there is an entry with this id."""
        with self._database.read() as conn:
            return conn.scalar(select(entries.c.id).where(entries.c.id == entry_id)) is not None

    def trail(self, entry: Entry) -> list[Attempt]:
        """Return every attempt at an entry, oldest first."""
        with self._database.read() as conn:
            return claims.read_trail(conn, entry.id)

    def entries(
        self,
        *,
        status: Status | None = None,
        partner_key: str | None = None,
        limit: int = 50,
        before_id: int | None = None,
    ) -> Sequence[Entry]:
        """Return entries, newest first.

        :param before_id: go on after the entry with this id.
        """
        wanted = select(entries).order_by(entries.c.id.desc()).limit(limit)
        if status is not None:
            wanted = wanted.where(entries.c.status == status.value)
        if partner_key is not None:
            wanted = wanted.where(entries.c.partner_key == partner_key)
        if before_id is not None:
            wanted = wanted.where(entries.c.id < before_id)
        with self._database.read() as conn:
            return [claims.entry_of(row) for row in conn.execute(wanted)]

    def find(self, entry_id: int) -> Entry:
        """Return the entry with this id.

        :raises EntryNotFound: there is none.
        """
        with self._database.read() as conn:
            row = conn.execute(select(entries).where(entries.c.id == entry_id)).one_or_none()
        if row is None:
            raise EntryNotFound(str(entry_id))
        return claims.entry_of(row)

    def page(
        self,
        *,
        status: Status | None = None,
        partner_key: str | None = None,
        search: str = "",
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> reports.Page:
        """Return a page of entries, newest first.

        :param search: words that must all be in the customer key, e-mail address, name, click or
            partner key, in whatever case.
        :param before_id: those older than the entry with this id.
        :param after_id: those newer, the ones next to it.
        """
        with self._database.read() as conn:
            return reports.read_page(
                conn,
                status=status,
                partner_key=partner_key,
                search=search,
                before_id=before_id,
                after_id=after_id,
                limit=limit,
            )

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
            found = {Status(row[0]): row[1] for row in conn.execute(counted)}
        return {status: found.get(status, 0) for status in Status}

    def oldest_pending(self) -> datetime | None:
        """Return when the oldest entry that waits for its delivery was recorded."""
        oldest = select(func.min(entries.c.recorded_at)).where(
            entries.c.status == Status.PENDING.value
        )
        with self._database.read() as conn:
            found: datetime | None = conn.scalar(oldest)
        return found

    # --- the storage ----------------------------------------------------------------------------

    def init(self) -> int:
        """Make or migrate the tables; return the schema version that was there before."""
        return self._database.migrate()

    def close(self) -> None:
        """Close idle connections."""
        self._database.close()


_INSERT_OR_NOT = (
    postgresql.insert(entries).on_conflict_do_nothing(index_elements=[entries.c.customer_digest])
).returning(entries.c.id)
_OF_ATTEMPTS = ("attempts", "unclear", "attempted_at")


def _insert_or_find(conn: Connection, values: Mapping[str, Any]) -> Recorded:
    """Insert an entry, or return the one that its customer key has; the transaction goes on."""
    entry_id = _insert_if_new(conn, values)
    if entry_id is None:
        return _found_or_revived(conn, values)
    return Recorded(_entry_from(values, entry_id), new=True)


def _insert_if_new(conn: Connection, values: Mapping[str, Any]) -> int | None:
    if conn.dialect.name == "postgresql":
        # There a broken constraint ends the whole transaction.
        found: int | None = conn.scalar(_INSERT_OR_NOT, values)
        return found
    try:
        return insert(conn, values)
    except IntegrityError:  # of the statement alone
        return None


def _found_or_revived(conn: Connection, values: Mapping[str, Any]) -> Recorded:
    """Return the entry that a customer key has; a skipped one becomes pending.

    A locking read, which sees what is committed by now whatever the transaction's snapshot is.
    """
    wanted = entries.c.customer_digest == values["customer_digest"]
    found = select(entries).where(wanted).with_for_update(read=True)
    entry = claims.entry_of(conn.execute(found).one())
    if entry.status is not Status.SKIPPED or values["status"] == Status.SKIPPED.value:
        return Recorded(entry, new=False)
    # What may have been taken before it was skipped still may have been.
    anew = {name: value for name, value in values.items() if name not in _OF_ATTEMPTS}
    conn.execute(entries.update().where(entries.c.id == entry.id), anew)
    return Recorded(claims.fetch(conn, entry.id), new=True)


def _new_row(
    conversion: Conversion, now: datetime, reason: str | None, *, skipped: bool = False
) -> dict[str, Any]:
    return {
        "customer_digest": digest_of(conversion.customer_key),
        "customer_key": conversion.customer_key,
        "xid": conversion.xid,
        "partner_key": conversion.partner_key,
        "status": (Status.SKIPPED if skipped else Status.PENDING).value,
        "reason": reason,
        "test": None,
        "attempts": 0,
        "unclear": 0,
        "missing": 0,
        "recorded_at": now,
        "first_attempt_at": None,
        "attempted_at": None,
        "sending_at": None,
        "due_at": None if skipped else now,
        "scheduled_at": now,
        "settled_at": now if skipped else None,
        "lease": None,
        "payload": conversion.dumps(),
        "search": reports.searchable(conversion),
    }


def _entry_from(values: Mapping[str, Any], entry_id: int) -> Entry:
    wanted = {name: values[name] for name in Entry.__dataclass_fields__ if name != "id"}
    return Entry(id=entry_id, **{**wanted, "status": Status(values["status"])})


def _requeued(now: datetime) -> dict[str, Any]:
    # Its count of unclear answers stays: they are why it is looked up before it is sent again.
    return {
        "status": Status.PENDING.value,
        "reason": None,
        "due_at": now,
        "scheduled_at": now,
        "settled_at": None,
        "first_attempt_at": None,
    }


def _find(conn: Connection, customer_key: str) -> Entry:
    wanted = select(entries).where(entries.c.customer_digest == digest_of(customer_key))
    row = conn.execute(wanted).one_or_none()
    if row is None:
        raise EntryNotFound(f"for the customer key {customer_key!r}")
    return claims.entry_of(row)
