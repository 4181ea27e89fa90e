"""``LogWatch``: reads every log record of the suite, at DEBUG, for what must not be in any."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote

#: E-mail addresses; masked ones, j***@acme.com, are allowed. Of all loggers.
_EMAIL = re.compile(r"[\w.+%-]*[\w+%-]@[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
#: Key pairs by their shape, and whole credentials of a request.
_KEYS = re.compile(r"\b[ps]k_[0-9A-Za-z]+|\b(?:Bearer|Basic) [0-9A-Za-z+/=._-]{5,}")
#: The tokens of the tests that cannot be a word of a sentence.
TOKENS = (
    "sandbox-token",
    "the-real-token",
    "an-old-token",
    "last-years-token",
    "s3cr3t",
    "t0ken",
    "Vq7ZpTn3Wc9LrXk2",
)


class LogWatch(logging.Handler):
    """Collects what a log line gave away."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.read = 0
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Read one record with its traceback, as it stands and percent-decoded."""
        self.read += 1
        text = self.format(record)
        found = {secret for way in (text, unquote(text)) for secret in secrets_in(way)}
        self.found += [f"{record.name}: {secret}" for secret in sorted(found)]

    def taken(self) -> list[str]:
        """Return what was found since the last time."""
        found, self.found = self.found, []
        return found


def secrets_in(text: str) -> list[str]:
    """Return the addresses, keys and tokens in a text."""
    spelled = [token for token in TOKENS if token in text]
    return [*_EMAIL.findall(text), *_KEYS.findall(text), *spelled]


class AsByDefault(logging.Filter):
    """Lets a test see what it would see if nobody read along at DEBUG.

    :param handler: the test's; it has a level of its own once the test asks for one.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record's logger would have let it through."""
        if self._handler.level:
            return True
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and not logger.level:
            logger = logger.parent
        is_root = logger is None or logger is logging.getLogger()
        return record.levelno >= logging.WARNING if is_root else True
