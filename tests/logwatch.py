"""``LogWatch``: reads every log record of the suite, at DEBUG, for what must not be in any.

The fixtures and the hook that use it are in the ``conftest.py`` of the project's root, so that the
tests of the examples are read as well.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import unquote

if TYPE_CHECKING:  # it is a good part of the start of each process that tests start
    import pytest

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
#: Just below DEBUG, so that it can be told from a level that a test asks for.
EVERYTHING: Final = logging.DEBUG - 1
#: Just above it: of a logger whose own filter drops what comes at DEBUG, so that nothing is lost.
ALL_BUT_DEBUG: Final = logging.DEBUG + 1
#: The ledger's own engine. At DEBUG SQLAlchemy makes a record of each row that it fetches, and the
#: package drops it: making them took half of the time of a test that asks the ledger much.
ENGINE_OF_THE_LEDGER: Final = "sqlalchemy.engine.Engine.partnerstack"
#: The loggers whose level is lowered, and what they let through without the watch.
LEVELS: Final = {
    "root": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    ENGINE_OF_THE_LEDGER: logging.WARNING,
}
#: The engine of an app that keeps the ledger in its own database: it is made by the app, which
#: says whether parameters are hidden, and speaks of the app's tables. The ledger's own engine has
#: a name behind this, and is read.
_ENGINE_OF_AN_APP: Final = "sqlalchemy.engine.Engine"
_OF_ANY_RECORD: Final = vars(logging.makeLogRecord({})).keys()


class LogWatch(logging.Handler):
    """Collects what a log line gave away."""

    def __init__(self) -> None:
        super().__init__(EVERYTHING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Read one record with its traceback."""
        if record.name != _ENGINE_OF_AN_APP:
            self.look_through(record.name, self.format(record) + extra_of(record))

    def look_through(self, where: str, text: str) -> None:
        """Read what was said somewhere, as it stands and percent-decoded."""
        ways = {text, unquote(text), unquote(unquote(text))} if "%" in text else {text}
        found = {secret for way in ways for secret in secrets_in(way)}
        self.found += [f"{where}: {secret}" for secret in sorted(found)]

    def look_into(self, log: Path) -> None:
        """Read what processes wrote into a file, if they did."""
        if log.exists():
            self.look_through(log.name, log.read_text(errors="replace"))

    def taken(self) -> list[str]:
        """Return what was found since the last time."""
        found, self.found = self.found, []
        return found


def secrets_in(text: str) -> list[str]:
    """Return the addresses, keys and tokens in a text."""
    addresses = _EMAIL.findall(text) if "@" in text else []
    spelled = [token for token in TOKENS if token in text]
    return [*addresses, *_KEYS.findall(text), *spelled]


@contextmanager
def reading_along(watch: logging.Handler) -> Iterator[None]:
    """Let a watch read all that is logged in this process, whatever its level, for a block."""
    before = {name: logging.getLogger(name).level for name in LEVELS}
    logging.getLogger().addHandler(watch)
    for name in LEVELS:
        logging.getLogger(name).setLevel(_lowest_of(logging.getLogger(name)))
    yield
    logging.getLogger().removeHandler(watch)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def _lowest_of(logger: logging.Logger) -> int:
    """Return the lowest level at which a logger lets anything through, as its filters say."""
    is_let_through = logger.filter(logging.makeLogRecord({"levelno": logging.DEBUG}))
    return EVERYTHING if is_let_through else ALL_BUT_DEBUG


def extra_of(record: logging.LogRecord) -> str:
    """Return what a record of ours says beside its words."""
    more = vars(record).keys() - _OF_ANY_RECORD  # most have none, and there are very many
    ours = {name: vars(record)[name] for name in sorted(more) if name.startswith("partnerstack_")}
    return f" {ours}" if ours else ""


class AsByDefault(logging.Filter):
    """Lets a handler of pytest's take what it would take if nobody read along."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record's logger would have let it through."""
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and not logger.level:
            logger = logger.parent
        if logger is None or logger.level not in (EVERYTHING, ALL_BUT_DEBUG):
            return True
        return record.levelno >= LEVELS[logger.name]


def let_tests_see_what_they_would(config: pytest.Config) -> None:
    """Keep what is logged for the watch alone out of ``caplog``, a failure's report and a file."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    assert plugin is not None, "pytest's own, which brings caplog"
    for handler in (plugin.caplog_handler, plugin.report_handler, plugin.log_file_handler):
        handler.addFilter(AsByDefault())


def watch_this_process() -> None:
    """Say on stderr what a log line of this process gives away: whoever started it reads that.

    Its levels are lowered but for SQLAlchemy's, because the processes are timed; what that says
    at DEBUG is read where the same code runs in the tests' own process.
    """
    root = logging.getLogger()
    if not root.handlers and logging.lastResort is not None:
        root.addHandler(logging.lastResort)  # which steps aside where there is any other
    if not any(isinstance(handler, _Tells) for handler in root.handlers):
        root.addHandler(_Tells())
        root.setLevel(EVERYTHING)


class _Tells(LogWatch):
    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        for line in self.taken():
            # Celery's worker has put a logger in the place of sys.stderr.
            os.write(2, f"given away by a log line of {line}\n".encode())
