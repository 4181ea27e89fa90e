"""``Reading``: the part of the ledger that shows entries: one with its trail, or a page."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy import select

from ..conversion import Conversion
from ..errors import EntryNotFound
from ..masking import masked
from . import claims
from . import reports
from .clocked import Clocked
from .entry import Attempt
from .entry import Entry
from .entry import Status
from .entry import digest_of
from .entry import known_conversion
from .tables import entries


class Reading(Clocked):
    """Shows entries."""

    def get(self, customer_key: str) -> Entry:
        """Return a customer's entry.

        :raises EntryNotFound: there is none.
        """
        with self._database.read() as conn:
            return find_customer(conn, customer_key)

    def conversion_of(self, entry: Entry) -> Conversion:
        """Return all that will be reported of an entry; of a damaged one, what it knows itself."""
        with self._database.read() as conn:
            wanted = select(entries.c.payload).where(entries.c.id == entry.id)
            return known_conversion(entry, conn.scalars(wanted).one())

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
        page = self.page(status=status, partner_key=partner_key, before_id=before_id, limit=limit)
        return page.entries

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


def find_customer(conn: Connection, customer_key: str) -> Entry:
    """Return a customer's entry, in an open transaction.

    :raises EntryNotFound: there is none.
    """
    wanted = select(entries).where(entries.c.customer_digest == digest_of(customer_key))
    row = conn.execute(wanted).one_or_none()
    if row is None:
        raise EntryNotFound(f"for the customer key {masked(customer_key)!r}")
    return claims.entry_of(row)
