"""``Entry`` and ``Status``: one conversion's life in the ledger, and the table of its steps.

Nothing about which state may follow which lives anywhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from enum import Enum

from ..conversion import Conversion
from ..errors import IllegalTransition
from ..errors import Judgement
from ..masking import log_extra


def digest_of(customer_key: str) -> str:
    """Return the fixed-length name of a customer key: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(customer_key.encode()).hexdigest()


def searchable(conversion: Conversion) -> str:
    """Return what a conversion is found by, in lower case: key, e-mail, name, click, partner."""
    words = (
        conversion.customer_key,
        conversion.email,
        conversion.name,
        conversion.xid,
        conversion.partner_key,
    )
    return "\n".join(filter(None, words)).casefold()


class Status(str, Enum):
    """The state of an entry. Every recorded conversion is in exactly one."""

    PENDING = "pending"  #: recorded, and to be delivered
    DELIVERED = "delivered"  #: PartnerStack said that it took it
    VERIFIED = "verified"  #: looked up, and found there
    DEAD = "dead"  #: given up, with its reason, for a person to look at
    SKIPPED = "skipped"  #: never to be sent, with its reason

    __str__ = str.__str__


#: What may follow what.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.DELIVERED, Status.VERIFIED, Status.DEAD, Status.SKIPPED}),
    Status.DELIVERED: frozenset({Status.VERIFIED, Status.DEAD}),
    Status.VERIFIED: frozenset(),
    Status.DEAD: frozenset({Status.PENDING}),
    Status.SKIPPED: frozenset({Status.PENDING}),
}


def check_transition(before: Status, after: Status) -> None:
    """Let an entry go from ``before`` to ``after``; staying where it is is no transition.

    :raises IllegalTransition: when ``after`` does not follow ``before``.
    """
    if before is not after and after not in TRANSITIONS[before]:
        raise IllegalTransition(before.value, after.value)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One conversion in the ledger, as it was when it was read.

    :param reason: why it is where it is, when that is not plain from its status.
    :param attempts: how often it was sent, counted before each send.
    :param due_at: when it is dealt with next; while it is being dealt with, when the lease
        ends. ``None``: nothing more happens by itself.
    :param settled_at: when it left ``pending``.
    :param test: whether PartnerStack has it as a test customer; ``None`` until looked up.
    """

    id: int
    customer_key: str
    xid: str
    partner_key: str | None
    status: Status
    reason: str | None
    attempts: int
    recorded_at: datetime
    due_at: datetime | None
    settled_at: datetime | None
    test: bool | None

    @property
    def log_extra(self) -> dict[str, object]:
        """What a log record of this entry says beside its words."""
        return log_extra(self.customer_key, self.xid, self.id)


def comes_again(entry: Entry) -> bool:
    """Say whether an entry is recorded anew when its customer comes again.

    It was skipped; or given up, and is nobody's any more, so that no person can requeue it.
    """
    is_forgotten = entry.status is Status.DEAD and not entry.customer_key
    return entry.status is Status.SKIPPED or is_forgotten


def is_parked(entry: Entry) -> bool:
    """Say whether an entry waits, and for nothing that comes by itself: a person requeues it."""
    return entry.status is Status.PENDING and entry.due_at is None


def is_stuck(entry: Entry) -> bool:
    """Say whether an entry is never sent by itself, though it was not delivered."""
    return is_parked(entry) or entry.status in (Status.SKIPPED, Status.DEAD)


#: What stands in the place of a conversion whose personal data was pruned.
PRUNED = "{}"


def read_payload(entry: Entry, payload: str) -> Conversion:
    """Return the conversion of an entry; of one that was pruned, what the entry itself knows.

    :raises ValueError: the ledger's form was tampered with.
    """
    return _known_of(entry) if payload == PRUNED else Conversion.loads(payload)


def known_conversion(entry: Entry, payload: str) -> Conversion:
    """Return the same to be looked at: of one that was tampered with, too, what the entry knows."""
    try:
        return read_payload(entry, payload)
    except ValueError:
        return _known_of(entry)


def _known_of(entry: Entry) -> Conversion:
    return Conversion(customer_key=entry.customer_key, xid=entry.xid, partner_key=entry.partner_key)


#: What the trail says of an attempt that nobody settled. It says nothing of the service.
INTERRUPTED = "stopped while sending: it may have been taken"
#: How it begins for an entry whose conversion cannot be read, so that nothing was sent. Likewise.
UNREADABLE = "unreadable: "


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One line of an entry's trail: what was tried, what was answered, how it is judged.

    :param at: ``None`` until the ledger has written it.
    """

    judged: Judgement
    reason: str
    status: int | None = None
    answer: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a claim: where the entry goes, and when it is dealt with next.

    :param due_in: ``None``: nothing more happens by itself.
    :param attempt: the line for the trail.
    :param unclear: how many unclear answers to add to its count.
    :param missing: its count of "no such customer" answers from now on; ``None`` leaves it.
    :param test: whether PartnerStack has it as a test customer, when that was seen.
    """

    after: Status
    due_in: timedelta | None = None
    reason: str | None = None
    attempt: Attempt | None = None
    unclear: int = 0
    missing: int | None = None
    test: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An entry that is ours for a while.

    :param payload: the ledger's form of the conversion.
    :param lease: the claimer's secret; whoever comes with another changes nothing.
    :param interrupted: an attempt was counted and never settled: whoever had it before us was
        stopped while sending, and it may have been taken.
    :param unclear: unclear answers so far.
    :param missing: clean "no such customer" answers since it was last sent.
    :param first_attempt_at: when it was first sent.
    :param attempted_at: when it was last sent.
    """

    entry: Entry
    payload: str = field(repr=False)
    lease: str
    interrupted: bool
    unclear: int
    missing: int
    first_attempt_at: datetime | None
    attempted_at: datetime | None

    @property
    def conversion(self) -> Conversion:
        """What is to be reported.

        :raises ValueError: the ledger's form was tampered with.
        """
        return read_payload(self.entry, self.payload)
