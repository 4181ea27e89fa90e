"""kill -9 at any moment: what was answered is delivered, and nothing twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

Count = Callable[[], Counter[str]]
Crowd = Callable[["Site", str, int], Callable[[], list[str]]]


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("known_pair")
def test_kill_minus_9_under_concurrent_signups(
    sandbox: SandboxProcess,
    keys: dict[str, str],
    open_site: Callable[..., Site],
    crowd: Crowd,
    restart_at: Callable[..., None],
    ledger: Ledger,
    sends: Count,
    taken: Count,
    size: Callable[[int, int], int],
    say: Callable[[str], None],
) -> None:
    """Every signup that was answered is delivered, and none is sent twice: the look-up sees to it.

    Two processes share the ledger, and each answer takes a moment, so that most kills fall between
    sending and settling.
    """
    sandbox.fault(delay=0.02)
    kills, random_moments = size(10, 100), random.Random(20260301)
    moments = [random_moments.uniform(0.05, 0.4) for _ in range(kills)]

    def live_and_die(number: int) -> list[str]:
        site = open_site(SITE_HOURS_AHEAD="1", **keys)
        answered = crowd(site, f"kill-{number}", 3)
        time.sleep(moments[number])  # the moment of the kill is what is tried here
        site.kill()
        return answered()

    with ThreadPoolExecutor(2) as sites:
        answered = list(chain.from_iterable(sites.map(live_and_die, range(kills))))
    sandbox.clear_faults()
    # Where many were cut off before they were sent, the third that nobody finds waits for a day.
    for hours in (*range(2, 8), *range(30, 36)):
        restart_at(hours, **keys)
        if ledger.counts()[Status.VERIFIED] == sum(ledger.counts().values()):
            break

    seen, wire, found = taken(), sends(), ledger.entries(status=Status.VERIFIED, limit=100_000)
    lost = set(answered) - set(seen)
    twice = {key for key, count in wire.items() if count > 1}
    cut = sum(any("stopped" in a.reason for a in ledger.trail(entry)) for entry in found)
    say(
        f"kill -9, {kills} times: {len(answered)} answered, {len(answered) - len(lost)} delivered, "
        f"{len(twice)} twice ({cut} were cut off between sending and settling)"
    )
    assert [ledger.get(key).reason for key in sorted(lost)] == []
    assert twice == set()
    assert ledger.counts()[Status.VERIFIED] == len(found) == sum(ledger.counts().values())
    assert cut > 0
