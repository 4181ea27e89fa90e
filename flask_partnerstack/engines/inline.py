"""``InlineEngine``: delivers at the nudge, in the request. For serverless apps and tests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ..errors import LedgerUnavailable
from .base import Work

log: Final = logging.getLogger("flask_partnerstack")

#: Seconds that a request waits for deliveries, whatever PartnerStack does.
PATIENCE = 3.0


class InlineEngine:
    """Deals with what is due at the nudge, and makes the request wait for it, 3 seconds at most.

    The work is done in a thread of its own, because only so a request can walk away from a name
    server that does not answer. What is not done by then goes on, or comes with the next nudge.

    :param longest: seconds that one job may take; none is begun that could not be done in time.
    """

    awake = True

    def __init__(self, work: Work, *, patience: float = PATIENCE, longest: float = 0.0) -> None:
        self._work = work
        self._patience = patience
        self._longest = longest

    def wake(self) -> None:
        """Do nothing: there is no thread to start."""

    def nudge(self, _entry_id: int | None = None, /) -> None:
        """Deal with what is due now."""
        self.look()

    def look(self) -> bool:
        """Deal with what is due now; say whether nothing was there to be taken."""
        deadline, in_vain = time.monotonic() + self._patience, threading.Event()
        worker = threading.Thread(
            target=self._run, args=(deadline, in_vain), name="partnerstack-inline", daemon=True
        )
        try:
            worker.start()
        except RuntimeError as e:  # no more threads here, or the interpreter is ending
            log.error("No thread can be started, so this request delivers nothing: %s", e)
        else:
            worker.join(self._patience)
        return in_vain.is_set()

    def stop(self) -> None:
        """Do nothing: what is under way is in the ledger."""

    def _run(self, deadline: float, in_vain: threading.Event) -> None:
        def is_time_left() -> bool:
            return time.monotonic() < deadline - self._longest

        try:
            self._deal(is_time_left, in_vain)
        except LedgerUnavailable as e:  # its words are all that a person needs, each time
            log.error("A pass over what is due was cut short. %s", e)
        except BaseException:  # sys.exit() in a receiver would end this thread without a word
            log.exception("A pass over what is due was cut short.")

    def _deal(self, is_time_left: Callable[[], bool], in_vain: threading.Event) -> None:
        if not is_time_left():
            return
        jobs = self._work.take(1)
        if not jobs:
            in_vain.set()
        while jobs:
            jobs[0](is_time_left)
            jobs = self._work.take(1) if is_time_left() else []
