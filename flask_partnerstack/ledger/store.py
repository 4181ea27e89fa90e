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
from ..errors import InvalidConversion
from . import claims
from .deliveries import Deliveries
from .deliveries import digest_of
from .entry import Attempt
from .entry import Entry
from .entry import Status
from .entry import check_transition
from .inserting import insert
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


class Ledger(Deliveries):
    """The durable record of every conversion, and all that is done with it."""

    @property
    def location(self) -> str:
        """Where the ledger lies, as a URL without its password."""
        return self._database.location

    # --- recording ------------------------------------------------------------------------------

    def record(self, conversion: Conversion, *, reason: str | None = None) -> Recorded:
        """Write ``conversion`` down durably, to be delivered.

        One customer key has one entry for ever: a second call returns the first entry, unchanged,
        but for a skipped one, which becomes pending.

        :param reason: why it will not be delivered just now, when that is known already.
        :raises LedgerUnavailable: when it could not be written.
        """
        now = self._clock()
        values = _new_row(conversion, now, reason)
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
        recorded = _insert_or_find(conn, _new_row(conversion, self._clock(), reason))
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
        :raises IllegalTransition: it was delivered, and must never be sent again.
        """
        with self._database.write() as conn:
            entry = _find(conn, customer_key)
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
        if status is Status.PENDING:
            wanted = wanted.where(entries.c.due_at.is_(None))
        if partner_key is not None:
            wanted = wanted.where(entries.c.partner_key == partner_key)
        if reason is not None:
            wanted = wanted.where(entries.c.reason.contains(reason, autoescape=True))
        with self._database.write() as conn:
            return conn.execute(wanted, _requeued(self.now_in(conn))).rowcount

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
            return Conversion.loads(conn.scalars(wanted).one())

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
    if entry.status is not Status.SKIPPED:
        return Recorded(entry, new=False)
    conn.execute(entries.update().where(entries.c.id == entry.id), values)
    return Recorded(claims.fetch(conn, entry.id), new=True)


def _new_row(conversion: Conversion, now: datetime, reason: str | None) -> dict[str, Any]:
    return {
        "customer_digest": digest_of(conversion.customer_key),
        "customer_key": conversion.customer_key,
        "xid": conversion.xid,
        "partner_key": conversion.partner_key,
        "status": Status.PENDING.value,
        "reason": reason,
        "test": None,
        "attempts": 0,
        "unclear": 0,
        "missing": 0,
        "recorded_at": now,
        "first_attempt_at": None,
        "attempted_at": None,
        "sending_at": None,
        "due_at": now,
        "scheduled_at": now,
        "settled_at": None,
        "lease": None,
        "payload": conversion.dumps(),
    }


def _entry_from(values: Mapping[str, Any], entry_id: int) -> Entry:
    wanted = {name: values[name] for name in Entry.__dataclass_fields__ if name != "id"}
    return Entry(id=entry_id, **{**wanted, "status": Status.PENDING})


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
