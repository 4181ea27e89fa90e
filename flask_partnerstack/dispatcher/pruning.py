"""``Pruner``: removes the personal data of settled entries, a little at a time, by itself."""

from __future__ import annotations

import logging
from datetime import datetime
from datetime import timedelta
from typing import Final

from ..errors import PartnerStackError
from ..ledger import Ledger

log: Final = logging.getLogger("flask_partnerstack")

#: How often, by whichever process comes first, and how many entries at once: the time of a few
#: deliveries. ``flask partnerstack prune`` does all.
EVERY = timedelta(hours=1)
MOST = 500
#: The wait after a full batch: more are too old, and a busy shop settles more than that in an hour.
WHILE_BEHIND = timedelta(seconds=10)


class Pruner:
    """Keeps to RETENTION beside the deliveries.

    :param retention: how long a settled entry keeps personal data; ``None``: as long as it is.
    """

    def __init__(self, retention: timedelta | None, ledger: Ledger) -> None:
        self._retention = retention
        self._ledger = ledger
        self._looked_at: datetime | None = None
        self._wait = EVERY

    def look(self, now: datetime) -> None:
        """Prune if it is time. Never raises for the ledger: deliveries are worth more.

        Also what was erased by hand, while somebody read, is seen to be gone.

        :param now: the ledger's time.
        """
        if not self._is_time(now):
            return
        self._looked_at = now
        waited, self._wait = self._wait, EVERY
        try:
            self._ledger.forget_what_stayed()
            if self._retention is not None and self._ledger.begin_pruning(waited):
                self._prune(self._retention)
        except PartnerStackError as e:
            log.warning("Nothing was pruned; it is tried again in an hour: %s", e)

    def _prune(self, retention: timedelta) -> None:
        count = self._ledger.prune(retention, limit=MOST)
        if count == MOST:
            self._wait = WHILE_BEHIND
        if count:
            log.info("Removed the personal data of %s settled entries.", count)

    def _is_time(self, now: datetime) -> bool:
        before = self._looked_at
        return before is None or not timedelta(0) <= now - before < self._wait
