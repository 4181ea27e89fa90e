"""What an engine is, and the one that does nothing.

An engine decides when a pass runs, and how many at once. It knows neither Flask nor the ledger.
"""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable
from collections.abc import Sequence
from typing import Protocol

#: Seconds between two looks at the ledger when nobody nudges: the safety net, which finds what
#: a killed process left behind.
POLL = 15.0
#: Seconds to wait after the ledger could not be used.
AFTER_FAILURE = 5.0
#: Seconds until the next look when something is due and somebody else holds it: an open
#: transaction on a server, or another process that is just claiming it.
WHILE_HELD = 1.0


class Job(Protocol):
    """One due entry to be dealt with, and perhaps others after it."""

    def __call__(self, go_on: Callable[[], bool], /) -> object:
        """Deal with it, and while ``go_on()`` says so with what is due after it.

        That is cheaper than another job. It does not raise for anything that PartnerStack does.
        """


class Work(Protocol):
    """What an engine runs."""

    @property
    def in_the_foreground(self) -> bool:
        """Whether nothing may be done beside a request."""

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be sent, so that nobody has to look for what is due by itself."""

    def take(self, limit: int) -> Sequence[Job]:
        """Claim up to ``limit`` jobs that are due."""

    def next_due(self) -> float | None:
        """Return the seconds until something is due: 0 for now, ``None`` for never."""


class Engine(Protocol):
    """Decides when what is due is dealt with.

    It is called in requests, after what they are about is done: it logs and never raises.
    """

    @property
    def awake(self) -> bool:
        """Whether :meth:`wake` has nothing to do. Looked at on every request."""

    def wake(self) -> None:
        """A process serves its first request: start what must be started, after any fork."""

    def nudge(self, entry_id: int | None = None, /) -> None:
        """Something is due: this entry, when it is known which."""

    def stop(self) -> None:
        """The process ends: stop within 2 seconds, and leave the rest to the ledger."""


class NoEngine:
    """Leaves it to ``flask partnerstack worker``, or ``flask partnerstack deliver`` from cron."""

    awake = True

    def wake(self) -> None:
        """Do nothing."""

    def nudge(self, _entry_id: int | None = None, /) -> None:
        """Do nothing: whoever runs the passes looks for itself."""

    def stop(self) -> None:
        """Do nothing."""


class Stoppable(Protocol):
    """An engine whose threads the process's exit waits for."""

    def begin_to_stop(self) -> None:
        """Take nothing more."""

    def stop(self, *, waited: float = 0.0) -> None:
        """Stop, for seconds of which so many are over already."""


_at_exit: weakref.WeakSet[Stoppable] = weakref.WeakSet()


def stop_at_exit(engine: Stoppable) -> None:
    """Stop ``engine`` when the process ends, if it still lives then."""
    # Registered once and for all: the interpreter forgets nothing that it is told of an exit.
    if not _at_exit:
        atexit.unregister(stop_all)
        atexit.register(stop_all)
    _at_exit.add(engine)


def stop_all() -> None:
    """Stop every engine of the process, in the time of the one that takes longest.

    A process may serve many apps, and whoever ends it waits for all of them together, not for one
    after the other: 30 seconds with gunicorn, which kills it then.
    """
    ending = list(_at_exit)
    for engine in ending:
        engine.begin_to_stop()
    begun = time.monotonic()
    for engine in ending:
        engine.stop(waited=time.monotonic() - begun)
