"""``Paused``: what is done while delivery is paused: probes, look-ups, and waiting."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from ..backoff import CEILING
from ..ledger import Cause
from ..ledger import Ledger
from ..ledger import Outlook
from ..ledger import Pause
from ..ledger import Status
from ..settings import Settings
from .job import Job
from .judging import Judge
from .mark import mark_of
from .sending import Sender

log: Final = logging.getLogger("flask_partnerstack")

#: What a process that has a token and sees no move ends.
_ENDED_BY_ITSELF = (Cause.NO_TOKEN, Cause.MOVING)
#: Another process has a token for as long after it sent: it comes by at least so often.
HAS_TOKEN_FOR = 2 * CEILING


class Paused:
    """Does what there is to do without a token, or in a pause.

    That is one entry now and then, to see whether it works again. Look-ups go on meanwhile: they
    are asked of another host, with other credentials.
    """

    def __init__(self, settings: Settings, ledger: Ledger, judge: Judge, sender: Sender) -> None:
        self._settings = settings
        self._ledger = ledger
        self._judge = judge
        self._sender = sender
        self._said_moved = False

    def is_on(self, outlook: Outlook) -> bool:
        """Say whether nothing may be sent as usual: there is a pause, or no token."""
        return outlook.pause is not None or self._settings.token is None

    def end_needless(self, outlook: Outlook) -> bool:
        """End a pause that any process with a token may end; say whether there was one."""
        pause = outlook.pause
        if pause is None or pause.is_held(outlook.now) or self._settings.token is None:
            return False
        if pause.cause not in _ENDED_BY_ITSELF:
            return False
        self._judge.resumed(self._ledger.end_pause())
        return True

    def take(self, outlook: Outlook) -> list[Job]:
        """Claim what may be dealt with all the same: one look-up, or one probe."""
        if self._settings.token is None:
            self._note_no_token(outlook)
        if outlook.pause is not None and outlook.pause.is_held(outlook.now):
            self._say_moved(outlook.pause)
            return []
        # What may have been taken first, which is little: whether the next is sent hangs on it.
        found = self._take_look_up(Status.PENDING) or self._take_probe()
        return found or self._take_look_up(Status.DELIVERED)

    def next_due(self, outlook: Outlook) -> float | None:
        """Return the seconds until :meth:`take` has something to do; ``None``: never."""
        waits = (self._next_probe(outlook), self._next_look_up(outlook))
        return min((wait for wait in waits if wait is not None), default=None)

    def _note_no_token(self, outlook: Outlook) -> None:
        # Nobody grows older while nothing can be sent, so it counts as a pause. What has time yet
        # may be another process's, which has a token and waits as well.
        if outlook.pause is not None or outlook.due_in != 0.0:
            return
        if not self._ledger.was_sent_within(HAS_TOKEN_FOR):
            self._ledger.begin_pause(Cause.NO_TOKEN, "PARTNERSTACK_TOKEN is not set")

    def _take_look_up(self, status: Status) -> list[Job]:
        # Looked for before it is claimed: to write, SQLite would keep signups waiting meanwhile.
        if not self._settings.verifies or self._ledger.next_look_up() != 0.0:
            return []
        return [
            partial(self._sender.look_up, claim) for claim in self._ledger.claim_look_up(status)
        ]

    def _take_probe(self) -> list[Job]:
        if self._settings.token is None:
            return []
        mark = mark_of(self._settings) if self._sender.is_fresh else None
        # With keys nothing is spared: whatever may have been taken is looked up.
        sparing = not self._settings.verifies
        claimed = self._ledger.claim_probe(mark=mark, sparing=sparing)
        return [partial(self._sender.probe, claim) for claim in claimed]

    def _next_probe(self, outlook: Outlook) -> float | None:
        pause = outlook.pause
        if pause is None or pause.cause is Cause.MOVED or self._settings.token is None:
            return None
        return max((pause.probe_at - outlook.now).total_seconds(), 0.0)

    def _next_look_up(self, outlook: Outlook) -> float | None:
        is_held = outlook.pause is not None and outlook.pause.is_held(outlook.now)
        return None if is_held or not self._settings.verifies else self._ledger.next_look_up()

    def _say_moved(self, pause: Pause) -> None:
        if pause.cause is Cause.MOVED and not self._said_moved:
            self._said_moved = True
            log.error(
                "This process delivers nothing from %s: %s.", self._ledger.location, pause.reason
            )
