"""``Outcome``: what happened to an entry, told after it was committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..ledger import Entry

Fate = Literal["delivered", "verified", "postponed", "buried", "paused"]


@dataclass(frozen=True)
class Outcome:
    """What happened, after it was committed.

    :param entry: as it is now; ``None`` when all delivery was paused.
    """

    fate: Fate
    entry: Entry | None = None
    reason: str | None = None


Tell = Callable[[Outcome], None]
