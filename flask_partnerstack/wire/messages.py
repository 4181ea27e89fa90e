"""``Request`` and ``Response``: what is carried, as plain values, and what headers say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from email.utils import parsedate_to_datetime

from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from ..backoff import LONGEST_WISH
from ..masking import without_addresses
from .credentials import without_secrets

#: Characters of an answer that are kept in the trail.
LONGEST_ANSWER = 500


@dataclass(frozen=True)
class Request:
    """One HTTP request, ready to be carried. Its headers hold a secret and stay out of reprs."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Response:
    """One HTTP answer, read to a bound.

    :param elapsed: from the first byte sent to the last byte read; connecting is not in it.
    :param secrets: what is masked where the answer is kept: a service may echo the request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    elapsed: timedelta = timedelta(0)
    secrets: Sequence[bytes] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """The body as one short printable line, for the trail and the log.

        Neither a secret of ours nor an e-mail address is in it, whoever echoes one.
        """
        if not self.body:
            return ""
        line = without_secrets(self.body, self.secrets)
        return without_addresses(line)[:LONGEST_ANSWER]  # not before, or half of one would be left

    def header(self, name: str) -> str | None:
        """Return a header, whichever case its name was written in, or ``None``."""
        wanted = name.lower()
        return next((value for n, value in self.headers.items() if n.lower() == wanted), None)


def retry_after(response: Response) -> timedelta | None:
    """Return how long ``Retry-After`` asks us to wait, in seconds or until a date, a day at most.

    Garbage is forgiven. Of several, which a proxy added or joined to one, the longest is obeyed.
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    value = response.header("Retry-After") or ""
    if len(value) > 64:
        return None
    wishes = map(_wish_of, _BETWEEN_WISHES.split(value))
    return max((wish for wish in wishes if wish is not None), default=None)


def _wish_of(value: str) -> timedelta | None:
    try:
        seconds = _RETRY.parse_retry_after(value)
        return timedelta(seconds=min(seconds, _RETRY.retry_after_max))
    except (InvalidHeader, ValueError, OverflowError):
        return None


#: Not the comma within a date.
_BETWEEN_WISHES = re.compile(r",(?!\s*\d+[ -])")
_RETRY = Retry()
_RETRY.retry_after_max = int(LONGEST_WISH.total_seconds())  # newer urllib3 stops at six hours else


def date_of(response: Response) -> datetime | None:
    """Return what the time was where an answer came from, if it says so.

    https://www.rfc-editor.org/rfc/rfc9110#field.date
    """
    try:
        date = parsedate_to_datetime(response.header("Date") or "")
        # Without a zone it is UTC; with one, it may be beyond the first or the last year there is.
        return date.astimezone(timezone.utc) if date.tzinfo else date.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
