"""Every error of the package, as one tree.

::

    PartnerStackError
    ├── ConfigurationError      a PARTNERSTACK_* key has a value we cannot work with
    ├── NotInitialized          the app was never given to PartnerStack.init_app
    ├── InvalidConversion       a field cannot be reported as it is
    ├── LedgerUnavailable       the ledger cannot be opened, read or written
    ├── LedgerMoved             its entries went to another ledger, and are dealt with there
    ├── EntryNotFound           the ledger has no such entry
    ├── EntryClaimed            somebody is dealing with that entry just now
    ├── IllegalTransition       an entry cannot go from its state to that one
    └── DeliveryError           one attempt did not deliver; it knows how it is judged
        ├── NotSent             no connection came about
        ├── Refused             turned away for now
        │   └── Redirected      sent elsewhere, and not followed
        ├── Denied              the credential was not accepted
        ├── Unclear             it may have been taken
        └── Rejected            turned away for good

A delivery error carries its :class:`Judgement`, so that whoever catches one asks it and keeps no
list of statuses.
"""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from enum import Enum
from typing import Any
from typing import ClassVar


class Judgement(str, Enum):
    """What one answer, or the lack of one, means for the conversion."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    DENIED = "denied"
    UNCLEAR = "unclear"
    REJECTED = "rejected"
    # Of a look-up:
    FOUND = "found"
    MISSING = "missing"
    CANNOT_TELL = "cannot tell"

    __str__ = str.__str__


class PartnerStackError(Exception):
    """Anything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception's own calls the class with the message, where ours take the evidence: who
        # waits for a process pool would get a TypeError, or wait for ever.
        return _remade, (type(self), self.args), vars(self)


def _remade(kind: type[PartnerStackError], args: tuple[Any, ...]) -> PartnerStackError:
    """Return an error without its evidence, which pickle and copy add."""
    return kind.__new__(kind, *args)


class ConfigurationError(PartnerStackError, ValueError):
    """A configuration value that we cannot work with, found at start-up.

    :param key: the key as it stands in ``app.config``, or the argument's name.
    :param expected: what would have been right, and the way out.
    """

    def __init__(self, key: str, expected: str) -> None:
        super().__init__(f"{key}: {expected}")
        self.key = key
        self.expected = expected


class NotInitialized(PartnerStackError, RuntimeError):
    """The current app has no PartnerStack state."""


class InvalidConversion(PartnerStackError, ValueError):
    """A field of a conversion that cannot be reported as it is.

    :param field: the argument's name, as the caller wrote it.
    :param expected: what would have been right. The value itself is left out on purpose: it may
        be a customer's e-mail address, and errors end up in logs.
    """

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class LedgerUnavailable(PartnerStackError):
    """The ledger cannot be opened, read or written.

    :param ledger: where it lies, without its password.
    :param reason: what the database said, or the command that puts it right.
    """

    def __init__(self, ledger: str, reason: str) -> None:
        super().__init__(f"The ledger at {ledger} cannot be used: {reason}")
        self.ledger = ledger
        self.reason = reason


class LedgerMoved(PartnerStackError):
    """The ledger's entries went to another one, and are dealt with there.

    :param ledger: where the one lies that they left, without its password.
    :param reason: where they went, and what takes along what came since.
    :param wanted: what was done here, or was not, and is to be done there.
    """

    def __init__(self, ledger: str, reason: str, wanted: str) -> None:
        super().__init__(f"The ledger at {ledger} was {reason}. {wanted}")
        self.ledger = ledger
        self.reason = reason
        self.wanted = wanted


class EntryNotFound(PartnerStackError, LookupError):
    """The ledger has no entry for that customer key or id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"The ledger has no entry {wanted}.")
        self.wanted = wanted


class EntryClaimed(PartnerStackError):
    """Somebody is dealing with that entry just now, and may be sending it.

    :param until: when that is over at the latest, by the ledger's time.
    """

    def __init__(self, entry_id: int, until: datetime) -> None:
        super().__init__(
            f"Entry {entry_id} is being dealt with just now, until {until:%H:%M:%S} UTC at the "
            "latest. Try again then."
        )
        self.entry_id = entry_id
        self.until = until


class IllegalTransition(PartnerStackError):
    """An entry was asked to go from its state to one that does not follow it."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"An entry that is {before} cannot become {after}.")
        self.before = before
        self.after = after


class DeliveryError(PartnerStackError):
    """One attempt did not deliver.

    :param reason: what happened, in words that go into the trail.
    :param status: the HTTP status, where there was one.
    :param answer: the answer's body, shortened.
    :param retry_after: how long the service asked us to wait.
    """

    judged: ClassVar[Judgement]

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        answer: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.answer = answer
        self.retry_after = retry_after


class NotSent(DeliveryError):
    """No connection came about, so nothing can have been taken."""

    judged = Judgement.NOT_SENT


class Refused(DeliveryError):
    """The service turned it away for now, and said so before it could have taken it."""

    judged = Judgement.REFUSED


class Redirected(Refused):
    """The service sent us elsewhere; we stay, because the token belongs to one host only."""


class Denied(DeliveryError):
    """The credential was not accepted. That says nothing about the conversion."""

    judged = Judgement.DENIED


class Unclear(DeliveryError):
    """It may have been taken: it was sent, and no answer says yes or no."""

    judged = Judgement.UNCLEAR


class Rejected(DeliveryError):
    """The service turned this very conversion away, for good."""

    judged = Judgement.REJECTED
