"""``RequestEngine``: for uWSGI without threads, where nothing runs between two requests.

uWSGI keeps the interpreter's lock while it waits for a request, unless it is told that there are
threads. https://uwsgi-docs.readthedocs.io/en/latest/ThingsToKnow.html

And it forks without a word to the interpreter, which ``is_to_be_forked`` sees before.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any
from typing import Final

from ..errors import LedgerUnavailable
from .base import AFTER_FAILURE
from .base import POLL
from .base import WHILE_HELD
from .base import Work
from .inline import InlineEngine

log: Final = logging.getLogger("flask_partnerstack")

#: Any of these lets threads run: gevent gives the lock back by itself.
_THREADED = ("threads", "enable-threads", "gevent")
_OFF = ("false", "off", "no", "0")


def threads_stand_still() -> bool:
    """Say whether this is a uWSGI process whose threads run only while it serves a request."""
    # Looked up and not imported: outside of uWSGI it would be a file of that name, if any.
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if not isinstance(options, Mapping):
        return False
    return not any(_is_on(options.get(name, False)) for name in _THREADED)


def is_to_be_forked() -> bool:
    """Say whether this is the uWSGI process that loads the app and forks the workers then.

    A thread of its would be in none of them, and what it holds at a fork would be held for ever.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    if not hasattr(uwsgi, "masterpid") or not hasattr(uwsgi, "worker_id"):
        return False
    # Mules and spoolers are no workers either, but have a master. Without one all else are.
    return uwsgi.worker_id() == 0 and uwsgi.masterpid() in (0, os.getpid())


def engine_here(wanted: str) -> str:
    """Return the engine that was asked for, or the one that can do its work here."""
    return "request" if wanted == "thread" and threads_stand_still() else wanted


def _is_on(value: object) -> bool:
    # A flag is True, or the bytes after the "="; given more than once, a list.
    last = value[-1] if isinstance(value, list) else value
    return last.decode().lower() not in _OFF if isinstance(last, bytes) else bool(last)


class RequestEngine:
    """Does in requests what the thread engine does between them, 3 seconds at most.

    A signup delivers what is due, and so does a page view when the time has come for it.

    :param longest: seconds that one delivery may take. None is begun that could not be done in
        time, because a thread that is left over stands still with whatever it holds.
    """

    def __init__(self, work: Work, *, longest: float) -> None:
        self._work = work
        self._inline = InlineEngine(work, longest=longest)
        self._look_at = 0.0

    @property
    def awake(self) -> bool:
        """Whether no page view need look at the ledger yet."""
        return time.monotonic() < self._look_at

    def wake(self) -> None:
        """Deal with what an earlier process left, or what has come to be due since."""
        self.nudge()

    def nudge(self, _entry_id: int | None = None, /) -> None:
        """Deal with what is due now."""
        least = WHILE_HELD if self._inline.look() else 0.0
        self._look_at = time.monotonic() + max(self._pause(), least)

    def stop(self) -> None:
        """Do nothing: what is under way is in the ledger."""

    def _pause(self) -> float:
        try:
            due_in = self._work.next_due()
        except LedgerUnavailable as e:  # its words are all that a person needs, each time
            log.error("The ledger cannot be looked at; trying again in %d s. %s", AFTER_FAILURE, e)
            return AFTER_FAILURE
        except Exception:  # whatever it is, the page has nothing to do with that
            log.exception("The ledger cannot be looked at; trying again in %d s.", AFTER_FAILURE)
            return AFTER_FAILURE
        return POLL if due_in is None else min(due_in, POLL)
