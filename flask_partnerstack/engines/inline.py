"""``InlineEngine``: delivers at the nudge, in the request. For serverless apps and tests."""

from __future__ import annotations

import logging
import threading
import time
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
        deadline = time.monotonic() + self._patience
        worker = threading.Thread(
            target=self._run, args=(deadline,), name="partnerstack-inline", daemon=True
        )
        try:
            worker.start()
        except RuntimeError as e:  # no more threads here, or the interpreter is ending
            log.error("No thread can be started, so this request delivers nothing: %s", e)
            return
        worker.join(self._patience)

    def stop(self) -> None:
        """Do nothing: what is under way is in the ledger."""

    def _run(self, deadline: float) -> None:
        def is_time_left() -> bool:
            return time.monotonic() < deadline - self._longest

        try:
            while is_time_left() and (jobs := self._work.take(1)):
                jobs[0](is_time_left)
        except LedgerUnavailable as e:  # its words are all that a person needs, each time
            log.error("A pass over what is due was cut short. %s", e)
        except BaseException:  # sys.exit() in a receiver would end this thread without a word
            log.exception("A pass over what is due was cut short.")
