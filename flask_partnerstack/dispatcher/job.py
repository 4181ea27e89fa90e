"""``Job``: one claimed entry, to be dealt with by whoever has the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

GoOn = Callable[[], bool]
"""Says whether to go on with another entry."""


def never() -> bool:
    """Do not go on: one entry, and no more."""
    return False


class Job(Protocol):
    """Deals with one entry that is claimed and, while ``go_on()`` says so, with those after it."""

    def __call__(self, go_on: GoOn = ..., /) -> object:
        """Deal with it. Does not raise for anything that PartnerStack does."""
