"""``Ledger``: the durable record of every conversion, and what happens to it.

A transactional outbox: recorded in one insert under a unique customer key, delivered later,
claimed under a lease, settled one by one.
"""

from __future__ import annotations

from .amending import Amending
from .deliveries import Deliveries
from .lookups import Lookups
from .named import Named
from .pausing import Pausing
from .reading import Reading
from .recording import Recording
from .survey import Survey


class Ledger(Recording, Deliveries, Pausing, Lookups, Amending, Reading, Survey, Named):
    """The durable record of every conversion, and all that is done with it.

    Of eight parts, by who works with each: a signup, the dispatcher (what is due, the pause, the
    look-ups), a person, whoever looks at entries or at all of them, and a queue that must tell it
    from another ledger.
    """

    @property
    def location(self) -> str:
        """Where the ledger lies, as a URL without its password."""
        return self._database.location

    def init(self) -> int:
        """Make or migrate the tables; return the schema version that was there before."""
        return self._database.migrate()

    def close(self) -> None:
        """Close idle connections."""
        self._database.close()
