"""``Judge``: what follows an answer. Settle, postpone, bury, or pause everything."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final
from typing import NamedTuple

from ..backoff import UNCLEAR_FIRST
from ..backoff import retry_delay
from ..backoff import unclear_delay
from ..errors import DeliveryError
from ..errors import Judgement
from ..errors import LedgerUnavailable
from ..errors import Redirected
from ..ledger import Attempt
from ..ledger import Cause
from ..ledger import Claim
from ..ledger import Entry
from ..ledger import Ledger
from ..ledger import Pause
from ..ledger import Status
from ..ledger import Streak
from ..ledger import Verdict
from ..ledger import probe_wait
from ..masking import masked
from ..settings import Settings
from ..wire import Receipt
from .mark import mark_of
from .outcome import Fate
from .outcome import Outcome
from .outcome import Tell

log: Final = logging.getLogger("flask_partnerstack")

#: Unclear answers after which an entry is given up, while others are taken.
MOST_UNCLEAR = 5
#: The longest wait for the next probe after unclear answers: as long as the entry itself waits.
LAST_UNCLEAR_PROBE = UNCLEAR_FIRST
NO_CLEAR_ANSWER = "no clear answer to several conversions in a row"
NOT_BEGUN = "its turn came, and whoever was to send it was stopped"
#: Different entries that must fail in a row before it is not their fault.
PAUSE_AFTER = 3
#: Rejections of one entry after which it is its own fault, whatever the others do.
MOST_REJECTIONS = 3
#: Refusals of one entry, while others succeed, after which it is buried.
MOST_REFUSALS = 12
#: A success this recent shows that address and token are right.
RECENT = timedelta(hours=1)


class _Taken(NamedTuple):
    """What PartnerStack took, and the process that knows."""

    claim: Claim
    receipt: Receipt
    process: int


class Judge:
    """Writes what follows an answer, by the kind of its error.

    A refusal, a failed connection or a 401 says something about the service or the set-up, not
    about the entry: what happened to other entries since the last success decides.
    """

    def __init__(self, settings: Settings, ledger: Ledger, tell: Tell) -> None:
        self._settings = settings
        self._ledger = ledger
        self._tell_of = tell
        #: What PartnerStack took, and the ledger could not be told of. A few: who cannot write
        #: claims nothing either.
        self._unwritten: deque[_Taken] = deque()

    # --- it was taken ---------------------------------------------------------------------------

    def accepted(self, claim: Claim, receipt: Receipt, *, go_on: bool = False) -> Claim | None:
        """Settle an entry that PartnerStack took.

        :param go_on: take the next as well, in the same transaction. Returns that claim, whose
            attempt is counted; ``None``: there is none that is just to be sent.
        """
        with self._remembered(claim, receipt):
            entry, following = self._leave(claim, self._delivered(receipt), go_on=go_on)
        try:
            self.tell("delivered", entry)
        except BaseException:  # sys.exit() in a receiver: nobody comes to send the next
            self._give_back(following)
            raise
        return following

    def proved(self, claim: Claim, receipt: Receipt) -> None:
        """Settle an entry by which a pause was probed, and end the pause before anybody hears."""
        with self._remembered(claim, receipt):
            entry = self._ledger.leave_taken(claim, self._delivered(receipt))
        try:
            self.resumed(self._ledger.end_pause())
        finally:
            self.tell("delivered", entry)

    def make_up(self) -> None:
        """Settle what was taken while the ledger could not be written, if it can be by now."""
        # Another thread has it by now; or not yet, and who waits in vain for one, perhaps in a
        # request, waits for no second.
        with suppress(IndexError, LedgerUnavailable):
            for _ in range(len(self._unwritten)):
                self._settle_late(self._unwritten.popleft())

    def _settle_late(self, taken: _Taken) -> None:
        claim, receipt, process = taken
        if process != os.getpid():  # its parent tells of it, and both would
            return
        with self._remembered(claim, receipt):
            entry = self._ledger.leave_again(claim, self._delivered(receipt))
        log.warning(
            "Entry %s was taken while the ledger could not be written; %s.",
            claim.entry.id,
            "it is settled by now, or not there" if entry is None else "that is made up for",
            extra=claim.entry.log_extra,
        )
        self.tell("delivered", entry)

    @contextmanager
    def _remembered(self, claim: Claim, receipt: Receipt) -> Iterator[None]:
        """Keep in mind what was taken, where it cannot be written: it is not to be sent again."""
        try:
            yield
        except LedgerUnavailable:
            self._unwritten.append(_Taken(claim, receipt, os.getpid()))
            raise

    def _delivered(self, receipt: Receipt) -> Verdict:
        attempt = Attempt(
            judged=Judgement.ACCEPTED,
            reason=f"HTTP {receipt.status}",
            status=receipt.status,
            answer=receipt.answer,
        )
        look_up_in = self._settings.verify_after if self._settings.verifies else None
        return Verdict(after=Status.DELIVERED, due_in=look_up_in, attempt=attempt)

    def _give_back(self, following: Claim | None) -> None:
        """Let what is counted and was not sent be due at once: nobody can have taken it."""
        if following is not None:
            self._ledger.postpone(following, timedelta(0), reason=NOT_BEGUN)

    def _leave(
        self, claim: Claim, verdict: Verdict, *, go_on: bool
    ) -> tuple[Entry | None, Claim | None]:
        if go_on:
            return self._ledger.leave_for_next(claim, verdict)
        return self._ledger.leave_taken(claim, verdict), None

    # --- it was not, or nobody knows ------------------------------------------------------------

    def failed(self, claim: Claim, error: DeliveryError) -> None:
        """Write what follows a failed attempt."""
        attempt = Attempt(
            judged=error.judged, reason=error.reason, status=error.status, answer=error.answer
        )
        _RULES[error.judged](self, claim, attempt, error.retry_after)
        if isinstance(error, Redirected):
            log.error(
                "Delivery of entry %s failed: %s.",
                claim.entry.id,
                error.reason,
                extra=claim.entry.log_extra,
            )

    def unclear(self, claim: Claim, attempt: Attempt) -> None:
        """Postpone an entry that may have been taken.

        With keys it is looked up before anything is sent again; without, it is sent again after
        half an hour, doubling to a day.
        """
        count = claim.unclear + 1
        is_hopeless = not self._settings.verifies and self.is_unclear_too_often(claim, more=1)
        if is_hopeless or self.is_too_old(claim):
            self.bury(claim, attempt, note="given up, it may have been taken", unclear=1)
        elif self._settings.verifies:
            self.postpone(claim, self._settings.verify_after, attempt, unclear=1)
        else:
            self.postpone(claim, unclear_delay(count), attempt, unclear=1)

    def is_unclear_too_often(self, claim: Claim, *, more: int = 0) -> bool:
        """Say whether an entry alone had so many unclear answers that it is given up.

        Those of an outage, in which others have them as well, are nobody's fault.

        :param more: answers that are not written down yet.
        """
        if claim.unclear + more < MOST_UNCLEAR or _is_outage(claim, self._ledger.streak()):
            return False
        return self._tries(claim, Judgement.UNCLEAR) + more >= MOST_UNCLEAR

    def _unanswered(self, claim: Claim, attempt: Attempt, _wish: timedelta | None) -> None:
        streak = self._ledger.streak()
        self.unclear(claim, attempt)
        # What is probed in vain may have been taken: it is asked less often than one that refuses.
        probes = streak.total(Judgement.UNCLEAR) + 1 - PAUSE_AFTER
        wish = probe_wait(max(probes, 0), LAST_UNCLEAR_PROBE)
        attempt = replace(attempt, reason=f"{NO_CLEAR_ANSWER}: {attempt.reason}")
        self._pause_if(_UNAVAILABLE, Cause.UNAVAILABLE, claim, streak, attempt, wish)

    def _refused(self, claim: Claim, attempt: Attempt, wish: timedelta | None) -> None:
        streak = self._ledger.streak()
        if self.is_too_old(claim):
            self.bury(claim, attempt, note="given up")
        elif _is_alone(claim, streak) and self._tries(claim, *_REFUSED) >= MOST_REFUSALS:
            self.bury(claim, attempt, note="given up, it alone is refused")
        else:
            self.postpone(claim, retry_delay(claim.entry.attempts + 1, wish), attempt)
            self._pause_if(_UNAVAILABLE, Cause.UNAVAILABLE, claim, streak, attempt, wish)

    def _tries(self, claim: Claim, *judgements: Judgement) -> int:
        """Return how often an entry failed so since the last pause, which is nobody's fault."""
        resumed_at = self._ledger.resumed_at()
        return sum(
            line.judged in judgements
            for line in self._ledger.trail(claim.entry)
            if resumed_at is None or (line.at is not None and line.at > resumed_at)
        )

    def _denied(self, claim: Claim, attempt: Attempt, wish: timedelta | None) -> None:
        streak = self._ledger.streak()
        if attempt.status != 403:
            self.postpone(claim, timedelta(0), attempt)
            self._pause(Cause.DENIED, attempt.reason, wish)
        elif _is_alone(claim, streak) and self._was_forbidden_before(claim):
            self.bury(claim, attempt, note="it alone is forbidden")
        else:
            self.postpone(claim, retry_delay(claim.entry.attempts + 1, wish), attempt)
            self._pause_if(_UNAVAILABLE, Cause.DENIED, claim, streak, attempt, wish)

    def _was_forbidden_before(self, claim: Claim) -> bool:
        since = claim.first_attempt_at  # which begins anew when it is requeued
        return any(
            line.judged is Judgement.DENIED and line.status == 403
            for line in self._ledger.trail(claim.entry)
            if since is not None and line.at is not None and line.at >= since
        )

    def _rejected(self, claim: Claim, attempt: Attempt, wish: timedelta | None) -> None:
        streak = self._ledger.streak()
        rejected = streak.entries(Judgement.REJECTED) | {claim.entry.id}
        tries = streak.count(claim.entry.id, Judgement.REJECTED) + 1
        alone = len(rejected) < PAUSE_AFTER
        if alone and (tries >= MOST_REJECTIONS or self._is_known_good(rejected, streak)):
            self.bury(claim, attempt, note="rejected")
            return
        self.postpone(claim, retry_delay(tries, wish), attempt)
        self._pause_if((Judgement.REJECTED,), Cause.REJECTING, claim, streak, attempt, wish)

    def _is_known_good(self, rejected: set[int], streak: Streak) -> bool:
        """Say whether it is the entry's own fault: others succeeded lately, only this failed."""
        succeeded = streak.last_success
        lately = succeeded is not None and self._ledger.now() - succeeded < RECENT
        return lately and len(rejected) == 1

    # --- pausing --------------------------------------------------------------------------------

    def _pause_if(
        self,
        judgements: tuple[Judgement, ...],
        cause: Cause,
        claim: Claim,
        streak: Streak,
        attempt: Attempt,
        wish: timedelta | None,
    ) -> None:
        failed = streak.entries(*judgements) | {claim.entry.id}
        if len(failed) >= PAUSE_AFTER:
            self._pause(cause, attempt.reason, wish)

    def _pause(self, cause: Cause, reason: str, wish: timedelta | None) -> None:
        is_binding = bool(wish)  # a 401 that asks for no time may be cured at any moment
        wish = wish or timedelta(0)
        mark = mark_of(self._settings)
        if self._ledger.begin_pause(cause, reason, wish=wish, binding=is_binding, mark=mark):
            log.error("All delivery is paused, and probed until it works again: %s.", reason)
            self._tell_of(Outcome("paused", reason=reason))

    def resumed(self, pause: Pause | None) -> None:
        """Say that a pause is over."""
        if pause is not None:
            since = f"{pause.since:%Y-%m-%d %H:%M:%SZ}"  # as status says it
            log.warning("Delivery goes on; it was paused since %s: %s.", since, pause.reason)

    # --- leaving an entry -----------------------------------------------------------------------

    def postpone(
        self,
        claim: Claim,
        delay: timedelta,
        attempt: Attempt,
        *,
        unclear: int = 0,
        missing: int | None = None,
    ) -> None:
        """Postpone an entry, and tell."""
        entry = self._ledger.postpone(
            claim, delay, reason=attempt.reason, attempt=attempt, unclear=unclear, missing=missing
        )
        self.tell("postponed", entry, attempt.reason)

    def bury(self, claim: Claim, attempt: Attempt, *, note: str, unclear: int = 0) -> None:
        """Give an entry up, and say to a person what there is to know."""
        reason = f"{note}: {attempt.reason}"
        entry = self._ledger.bury(claim, reason=reason, attempt=attempt, unclear=unclear)
        log.error(
            "Entry %s is dead and needs a person: customer %s, xid %s: %s. Answer: %s",
            claim.entry.id,
            masked(claim.entry.customer_key),
            claim.entry.xid,
            reason,
            attempt.answer or "none",
            extra=claim.entry.log_extra,
        )
        self.tell("buried", entry, reason)

    def tell(self, fate: Fate, entry: Entry | None, reason: str | None = None) -> None:
        """Tell of a fate, unless the entry was somebody else's by then."""
        if entry is not None:
            self._tell_of(Outcome(fate, entry, reason))

    def is_too_old(self, claim: Claim) -> bool:
        """Say whether an entry has been tried for as long as it may be."""
        return self._ledger.age(claim) > self._settings.give_up_after


_REFUSED = (Judgement.REFUSED, Judgement.NOT_SENT)
_UNAVAILABLE = (*_REFUSED, Judgement.DENIED, Judgement.UNCLEAR)


def _is_outage(claim: Claim, streak: Streak) -> bool:
    return len(streak.entries(*_UNAVAILABLE) | {claim.entry.id}) >= PAUSE_AFTER


def _is_alone(claim: Claim, streak: Streak) -> bool:
    """Say whether others succeeded since an entry was first sent, and do not fail as it does."""
    first, last_success = claim.first_attempt_at, streak.last_success
    succeeded = first is not None and last_success is not None and last_success >= first
    return succeeded and not _is_outage(claim, streak)


_Rule = Callable[[Judge, Claim, Attempt, "timedelta | None"], None]

#: What follows each judgement of a failed attempt.
_RULES: Mapping[Judgement, _Rule] = {
    Judgement.NOT_SENT: Judge._refused,
    Judgement.REFUSED: Judge._refused,
    Judgement.DENIED: Judge._denied,
    Judgement.UNCLEAR: Judge._unanswered,
    Judgement.REJECTED: Judge._rejected,
}
