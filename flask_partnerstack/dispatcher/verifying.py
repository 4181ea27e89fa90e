"""``Verifier``: looks customers up, to know what a 2xx cannot prove and an unclear answer hides.

A wrong "no such customer" would send a conversion twice, so a 404 counts only from a key pair
that has found a customer of this ledger before: test keys beside a production token find none.
Of a customer key that others may take apart on the way, as one with a slash, it counts only after
that pair has found such a key.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from ..backoff import LONGEST_WISH
from ..errors import DeliveryError
from ..errors import Judgement
from ..ledger import NO_PAIR
from ..ledger import Attempt
from ..ledger import Claim
from ..ledger import Ledger
from ..ledger import Status
from ..settings import Settings
from ..wire import Client
from ..wire import Customer
from ..wire import pitfalls_of
from .judging import Judge

log: Final = logging.getLogger("flask_partnerstack")

#: The waits after the first and the second "no such customer" of a delivered entry. The third
#: buries it.
AFTER_MISSES = (timedelta(hours=1), timedelta(hours=24))
#: The wait after a look-up that could not tell. A delivered entry, for which nothing hangs on it,
#: waits as long as it has waited, up to a day: a thousand of them ask a few times, not every hour.
AFTER_CANNOT_TELL = timedelta(hours=1)
LONGEST_WAIT = timedelta(days=1)
#: The wait of all look-ups after a 429 that asks for no time.
AFTER_TOO_MANY = timedelta(seconds=30)
#: Why an entry that may have been taken is not looked up yet.
ASKED_TO_WAIT = "PartnerStack asks us to look nobody up yet"
#: Look-ups of delivered entries in a row that find nobody, after which none is believed.
MOST_MISSES = 3
#: "No such customer" answers after which an unclear conversion is sent again, and the least time
#: since it was sent: twice the 15 minutes in which a customer becomes visible. It is longer, up
#: to a day, when customers were seen to appear later than that; and it is a day when MOST_MISSES
#: unclear ones are missing and nobody was found, because so it looks when the read-back lags.
CLEAN_MISSES = 2
LEAST_SILENCE = timedelta(minutes=30)


class Verifier:
    """Looks customers up, and writes what was found."""

    def __init__(self, settings: Settings, ledger: Ledger, client: Client, judge: Judge) -> None:
        self._settings = settings
        self._ledger = ledger
        self._client = client
        self._judge = judge
        self._public_key = settings.public_key or ""

    def verify(self, claim: Claim, *, within: timedelta) -> None:
        """Look a delivered entry up. After a 2xx nothing is ever sent again by itself."""
        if not self._settings.verifies:
            self._ledger.postpone(claim, LONGEST_WAIT, reason=NO_PAIR)
            return
        found = self._look_up(claim, within)
        if isinstance(found, Customer):
            self._found(claim, found)
        elif found is None:
            self._missing_after_acceptance(claim)
        else:
            self._cannot_tell(claim, found)

    def verify_by_hand(self, claim: Claim, *, within: timedelta) -> Judgement:
        """Look an entry up because a person asks for it; only a find changes anything.

        They may ask too early, or often, so that not to be found is no miss of it.
        """
        found = self._look_up(claim, within)
        if isinstance(found, Customer):
            self._found(claim, found)
            return Judgement.FOUND
        attempt = found or _missing()
        self._ledger.give_back(claim, attempt)
        return attempt.judged

    def may_send_again(self, claim: Claim, *, within: timedelta) -> bool:
        """Look up an entry that may have been taken; say whether it may be sent again now.

        Otherwise what is to be done with it is done.
        """
        rest = self._ledger.look_ups_rest()
        if rest:
            self._ledger.postpone(claim, rest, reason=ASKED_TO_WAIT)
            return False
        found = self._look_up(claim, within)
        if isinstance(found, Customer):
            self._found(claim, found)
        elif found is not None:
            self._cannot_tell(claim, found)
        else:
            return self._is_cleanly_missing(claim)
        return False

    def _look_up(self, claim: Claim, within: timedelta) -> Customer | Attempt | None:
        """Return the customer, ``None`` for a 404 that counts, or why it cannot be told."""
        try:
            found = self._client.look_up(claim.entry.customer_key, within=within)
        except DeliveryError as e:
            entry = claim.entry
            log.error(
                "Entry %s cannot be looked up: %s.", entry.id, e.reason, extra=entry.log_extra
            )
            self._obey(e)
            return _cannot_tell(e.reason, e.status, e.answer)
        return found if found is not None else self._doubt(claim)

    def _obey(self, error: DeliveryError) -> None:
        """Let all look-ups wait for as long as an answer asks for, and each 429 does."""
        wish = error.retry_after or (AFTER_TOO_MANY if error.status == 429 else None)
        if wish:
            wait = min(wish, LONGEST_WISH)
            self._ledger.let_look_ups_rest(wait)
            log.warning("PartnerStack asks us to look nobody up for %.0f s.", wait.total_seconds())

    def _doubt(self, claim: Claim) -> Attempt | None:
        if not self._ledger.knows_pair(self._public_key):
            log.error(
                "PartnerStack's API finds none of our customers with this PARTNERSTACK_PUBLIC_KEY: "
                "test keys beside a production token, or the reverse? Nothing is concluded from it."
            )
            return _cannot_tell("no such customer, but this key pair has never found one", 404)
        pitfalls = pitfalls_of(claim.entry.customer_key)
        if not self._ledger.knows_pair(self._public_key, pitfalls):
            return self._doubt_key(claim)
        if self._ledger.misses() >= MOST_MISSES:
            log.error(
                "%s look-ups in a row found nobody. No 404 is believed until somebody is found.",
                MOST_MISSES,
            )
            return _cannot_tell(f"no such customer, like {MOST_MISSES} others in a row", 404)
        return None

    def _doubt_key(self, claim: Claim) -> Attempt:
        log.warning(
            "Entry %s is not found, but its customer key has a slash, a per cent sign or dots, "
            "which servers may take apart: no such key was ever found. Nothing is concluded.",
            claim.entry.id,
            extra=claim.entry.log_extra,
        )
        return _cannot_tell("no such customer, but no key like this one was ever found", 404)

    # --- what was found -------------------------------------------------------------------------

    def _found(self, claim: Claim, customer: Customer) -> None:
        took = self._ledger.silence(claim) if claim.attempted_at else None
        kinds, late = pitfalls_of(claim.entry.customer_key), self._was_late(claim)
        self._ledger.note_found(self._public_key, took=took, late=late, kinds=kinds)
        attempt = Attempt(judged=Judgement.FOUND, reason="found by look-up", status=200)
        entry = self._ledger.settle(claim, Status.VERIFIED, attempt, test=customer.test)
        if customer.test:
            self._warn_of_test(claim)
        self._judge.tell("verified", entry)

    def _was_late(self, claim: Claim) -> bool:
        """Say whether a look-up since it was last sent did not find it."""
        sent_at = claim.attempted_at
        return any(
            line.judged in (Judgement.MISSING, Judgement.CANNOT_TELL) and line.status == 404
            for line in self._ledger.trail(claim.entry)
            if sent_at is not None and line.at is not None and line.at > sent_at
        )

    def _warn_of_test(self, claim: Claim) -> None:
        contradicts = self._ledger.has_real_customers()
        log.log(
            logging.ERROR if contradicts else logging.WARNING,
            "Entry %s is a test customer at PartnerStack%s: no partner is paid for it.",
            claim.entry.id,
            ", while others are real ones" if contradicts else "",
            extra=claim.entry.log_extra,
        )

    def _missing_after_acceptance(self, claim: Claim) -> None:
        attempt = _missing()
        if claim.missing < len(AFTER_MISSES):
            wait = AFTER_MISSES[claim.missing]
            self._ledger.note_miss(self._ledger.silence(claim) + wait)
            self._judge.postpone(claim, wait, attempt, missing=claim.missing + 1)
        else:
            self._ledger.note_miss(timedelta(0))
            self._judge.bury(claim, attempt, note="accepted but never appeared", unclear=1)

    def _is_cleanly_missing(self, claim: Claim) -> bool:
        """Count one clean miss of an unclear entry; say whether it was the last one needed."""
        if claim.missing == 0 and claim.unclear == 1:
            self._ledger.note_unclear_miss()
        silent = self._ledger.silence(claim)
        needed = self._silence_needed()
        missing = claim.missing + 1
        if missing >= CLEAN_MISSES and silent >= needed:
            if not self._judge.is_unclear_too_often(claim):
                self._ledger.note_missing(claim, _missing())
                return True
            # For whoever requeues it the count begins anew, but at one: it is looked up first.
            anew = 1 - claim.unclear
            self._judge.bury(claim, _missing(), note="given up, unclear too often", unclear=anew)
        else:
            wait = max(needed - silent, timedelta(minutes=1))
            counted = min(missing, CLEAN_MISSES - 1)
            self._judge.postpone(claim, wait, _missing(), missing=counted)
        return False

    def _silence_needed(self) -> timedelta:
        """Return how long after it was sent an entry's absence is believed."""
        if self._ledger.unclear_misses() >= MOST_MISSES:
            return LONGEST_WAIT
        return max(LEAST_SILENCE, min(self._ledger.read_back(), LONGEST_WAIT))

    def _cannot_tell(self, claim: Claim, attempt: Attempt) -> None:
        if claim.entry.status is Status.PENDING and self._judge.is_too_old(claim):
            self._judge.bury(claim, attempt, note="given up, it may have been taken")
        else:
            wait = max(AFTER_CANNOT_TELL, self._as_long_again(claim))
            self._judge.postpone(claim, wait, attempt, missing=claim.missing)

    def _as_long_again(self, claim: Claim) -> timedelta:
        if claim.entry.status is Status.PENDING:
            return timedelta(0)
        return min(self._ledger.silence(claim), LONGEST_WAIT)


def _missing() -> Attempt:
    return Attempt(judged=Judgement.MISSING, reason="no such customer", status=404)


def _cannot_tell(reason: str, status: int | None = None, answer: str = "") -> Attempt:
    return Attempt(judged=Judgement.CANNOT_TELL, reason=reason, status=status, answer=answer)
