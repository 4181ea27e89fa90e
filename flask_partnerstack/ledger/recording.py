"""``Recording``: the part of the ledger that a signup works with. One insert, one unique key."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import Table
from sqlalchemy import and_
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import NoResultFound

from ..conversion import Conversion
from ..errors import InvalidConversion
from ..frozen import made
from . import claims
from .clocked import Clocked
from .connecting import location_of
from .entry import Entry
from .entry import Status
from .entry import comes_again
from .entry import digest_of
from .entry import searchable
from .home import as_named
from .home import named
from .inserting import Written
from .inserting import insert
from .inserting import insert_or_not
from .inserting import revive
from .tables import entries
from .terms import writable
from .trouble import Unanswered
from .trouble import tried_again

if TYPE_CHECKING:
    from .joined import Joinable
    from .joined import Joined


class Recorded(NamedTuple):
    """What came of recording a conversion.

    :param new: ``False`` when the customer key had an entry already, which is left as it was.
    """

    entry: Entry
    new: bool


class Recording(Clocked):
    """Writes conversions down."""

    def record(
        self,
        conversion: Conversion,
        *,
        reason: str | None = None,
        skipped: bool = False,
        parked: bool = False,
    ) -> Recorded:
        """Write ``conversion`` down durably, to be delivered.

        One customer key has one entry for ever: a second call returns the first entry, unchanged,
        but for a skipped one, which becomes pending.

        :param reason: why it will not be delivered just now, when that is known already.
        :param skipped: it is never to be sent, for that reason.
        :param parked: it is not due until it is requeued, for that reason.
        :raises LedgerUnavailable: when it could not be written.
        """
        values = new_row(conversion, self._clock(), reason, skipped=skipped, parked=parked)
        try:
            return self._record(values)
        except Unanswered:  # it is there, or is not, and the customer key tells
            found = self._record(values)
            return found._replace(new=found.new or _is_of(found.entry, values))

    @tried_again
    def _record(self, values: Mapping[str, Any]) -> Recorded:
        with self._database.write() as conn:
            if conn.dialect.name not in _LOCKING_IN_VAIN:
                return _insert_or_find(conn, values)
            new, broken = _insert_if_new(conn, values)
            if new is not None:
                return Recorded(_entry_from(values, new), new=True)
        with self._database.write() as conn:
            return _found_or_revived(conn, values, broken, alone=True)

    def try_writing(self) -> None:
        """Write an entry down, and take it back: whoever returns from here can record.

        :raises LedgerUnavailable: nothing could be written.
        """
        nobody = Conversion.of(customer_key=f"nobody-{secrets.token_hex(16)}", xid="nobody")
        with contextlib.suppress(_TakenBack), self._database.write() as conn:
            insert(conn, new_row(nobody, self._clock(), None))
            raise _TakenBack

    def record_in(
        self,
        session: Joinable,
        conversion: Conversion,
        *,
        reason: str | None = None,
        skipped: bool = False,
        parked: bool = False,
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
        caller = self.join(session)
        conn = caller.connection
        home = self._database.check(conn)
        values = new_row(conversion, self._clock(), reason, skipped=skipped, parked=parked)
        with as_named(conn):
            recorded = _insert_or_find(conn, values, home)
        if recorded.new:
            written = Written(values["customer_digest"], values["recorded_at"], home)
            caller.when_committed(written, partial(then, recorded))
        return recorded

    def join(self, session: Joinable) -> Joined:
        """Return the caller's transaction. Writes nothing.

        :raises InvalidConversion: ``session`` cannot be joined, or leads to another database.
        """
        caller = _joining()(session)
        if not self._database.holds(caller.connection):
            raise InvalidConversion("session", self._elsewhere(caller.connection))
        return caller

    def _elsewhere(self, conn: Connection) -> str:
        here = self._database.location
        theirs = location_of(conn.engine.url)
        theirs = f"another {theirs}" if theirs == here else theirs  # in memory
        return (
            f"it leads to {theirs}, but the ledger is {here}, and nobody would deliver "
            "from there. Give PartnerStack your db object (db=db), or set PARTNERSTACK_LEDGER_URL "
            "to the app's database."
        )


class _TakenBack(Exception):
    """Rolls a transaction back that went well."""


@cache  # an import that was done already still takes longer than all the rest of joining
def _joining() -> Callable[[object], Joined]:
    from .joined import join  # brings the ORM, which nobody else needs

    return join


def _is_of(entry: Entry, values: Mapping[str, Any]) -> bool:
    """Say whether an entry is what was written as these values, and nobody else's."""
    return (entry.recorded_at, entry.xid) == (values["recorded_at"], values["xid"])


#: Where an insert in vain leaves a shared lock, so that two of them would wait for each other.
_LOCKING_IN_VAIN = ("mysql", "mariadb")
_OF_ATTEMPTS = ("attempts", "unclear", "first_attempt_at", "attempted_at")


def _insert_or_find(
    conn: Connection, values: Mapping[str, Any], home: str | None = None
) -> Recorded:
    """Insert an entry, or return the one that its customer key has; the transaction goes on.

    :param home: the schema to name, where the connection is not ours.
    """
    new, broken = _insert_if_new(conn, values, home)
    if new is None:
        return _found_or_revived(conn, values, broken, home=home)
    return Recorded(_entry_from(values, new), new=True)


def _insert_if_new(
    conn: Connection, values: Mapping[str, Any], home: str | None = None
) -> tuple[dict[str, Any] | None, IntegrityError | None]:
    """Return what the database made, or ``None`` and the constraint that broke, if it says so."""
    if conn.dialect.name == "postgresql":
        return insert_or_not(conn, values, home), None
    try:
        return insert(conn, values, home), None
    except IntegrityError as e:  # of the statement alone
        return None, e


def _found_or_revived(
    conn: Connection,
    values: Mapping[str, Any],
    broken: IntegrityError | None,
    *,
    alone: bool = False,
    home: str | None = None,
) -> Recorded:
    """Return the entry that a customer key has; one that was skipped becomes pending.

    So does one that was given up and then erased.

    :param broken: what is raised when there is none: it was no constraint of the key's then.
    """
    table = named(entries, home)
    entry = _locked(conn, values["customer_digest"], table, alone=alone)
    if entry is None:
        raise broken or NoResultFound(_KEPT_OUT)
    if not comes_again(entry) or values["status"] == Status.SKIPPED.value:
        return Recorded(entry, new=False)
    # What may have been taken before it was skipped still may have been.
    anew = {name: value for name, value in values.items() if name not in _OF_ATTEMPTS}
    revive(conn, entry.id, anew, home)
    return Recorded(claims.fetch(conn, entry.id, table), new=True)


def _comes_again_in(table: Table) -> ColumnElement[bool]:
    """Select what is recorded anew when its customer comes again: see :func:`comes_again`."""
    is_forgotten = and_(table.c.status == Status.DEAD.value, table.c.customer_key == "")
    return or_(table.c.status == Status.SKIPPED.value, is_forgotten)


_KEPT_OUT = "the row was not written, and is not there: does a trigger keep it out?"


def _locked(conn: Connection, digest: str, table: Table, *, alone: bool) -> Entry | None:
    """Return an entry by a locking read: as it is by now, whatever the transaction's snapshot is.

    Not alone where it is only looked at, because the caller's transaction may be long. But two
    that hold a skipped one and then revive it would wait for each other.
    """
    wanted = select(table).where(table.c.customer_digest == digest)
    if conn.dialect.name == "postgresql":
        again = wanted.where(_comes_again_in(table)).with_for_update()
        row = conn.execute(again).one_or_none()
        if row is not None:
            return claims.entry_of(row)
    row = conn.execute(wanted.with_for_update(read=not alone)).one_or_none()
    return None if row is None else claims.entry_of(row)


def new_row(
    conversion: Conversion,
    now: datetime,
    reason: str | None,
    *,
    skipped: bool = False,
    parked: bool = False,
) -> dict[str, Any]:
    """Return the row of an entry as it is recorded."""
    return {
        "customer_digest": digest_of(conversion.customer_key),
        "customer_key": conversion.customer_key,
        "xid": conversion.xid,
        "partner_key": conversion.partner_key,
        "status": _SKIPPED if skipped else _PENDING,
        "reason": None if reason is None else writable(reason),
        "test": None,
        "attempts": 0,
        "unclear": 0,
        "missing": 0,
        "recorded_at": now,
        "first_attempt_at": None,
        "attempted_at": None,
        "sending_at": None,
        "due_at": None if skipped or parked else now,
        "scheduled_at": now,
        "settled_at": now if skipped else None,
        "lease": None,
        "payload": conversion.dumps(),
        "search": searchable(conversion),
    }


def _entry_from(values: Mapping[str, Any], new: Mapping[str, Any]) -> Entry:
    content = {name: values[name] for name in _OF_ENTRY}
    return made(Entry, {**content, "status": _STATUSES[values["status"]], **new})


# A member of an enum, its value, and the way back take as long as the rest of a row.
_PENDING, _SKIPPED = Status.PENDING.value, Status.SKIPPED.value
_STATUSES = {status.value: status for status in Status}
_OF_ENTRY = tuple(name for name in Entry.__dataclass_fields__ if name not in ("id", "status"))
