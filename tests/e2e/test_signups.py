"""The main job over real sockets: signups on a running server, conversions at the sandbox."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

Eventually = Callable[[Callable[[], bool]], None]
OpenSite = Callable[..., "Site"]
Visit = Callable[["Site", str], "Visitor"]


def taken(sandbox: SandboxProcess) -> Counter[str]:
    """Return how often the sandbox accepted each customer key."""
    return Counter(
        received["body"]["customer_key"] for received in sandbox.received() if received["accepted"]
    )


def delivered(ledger: Ledger) -> int:
    return ledger.counts()[Status.DELIVERED]


def test_two_hundred_signups_through_slow_absent_and_well(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    visit: Visit,
    ledger: Ledger,
    eventually: Eventually,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The API answers slowly, then not at all, then well: 200 conversions, each once, none waited.

    The slow API takes a second for each answer, so a signup that waited for it would show.
    """
    visitor = visit(open_site(), LANDING)
    bystander = visit(open_site(SITE_BARE="1"), LANDING)
    ours: list[float] = []
    bare: list[float] = []

    def sign_up(count: int) -> None:
        for _ in range(count):
            ours.append(visitor.sign_up(f"customer-{len(ours)}"))
            bare.append(bystander.sign_up(f"bystander-{len(bare)}"))

    sandbox.fault(delay=1.0)
    sign_up(20)
    eventually(lambda: delivered(ledger) == 20)
    sandbox.clear_faults()
    sandbox.stop()
    sign_up(100)
    sandbox.restart()
    sign_up(80)
    eventually(lambda: delivered(ledger) == 200)

    assert taken(sandbox) == {f"customer-{number}": 1 for number in range(200)}
    assert max(ours) < 1.0
    extra = statistics.median(a - b for a, b in zip(ours, bare, strict=True))
    assert extra < 0.1
    with capsys.disabled():
        print(f"\n200 signups: {1000 * extra:.1f} ms over the bare app (median)")  # noqa: T201


def test_kill_minus_9_after_the_answer_loses_nothing(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    visit: Visit,
    ledger: Ledger,
    eventually: Eventually,
) -> None:
    """Killed at any moment after a signup was answered: one page view later it is delivered, once.

    The API is away until the end, so that no kill can fall between its acceptance and our
    settling; whoever is killed with a claim in hand is overtaken by a clock some hours on.
    """
    sandbox.stop()
    moments = random.Random(20260301)
    for number in range(10):
        site = open_site()
        visit(site, LANDING).sign_up(f"customer-{number}")
        time.sleep(moments.uniform(0, 0.03))  # the moment of the kill is what is tried here
        site.kill()
    sandbox.restart()
    for hours in (1, 3):
        site = open_site(SITE_HOURS_AHEAD=str(hours))
        visit(site, "")
        eventually(partial(_nothing_due, ledger, hours))
        site.stop()
    assert delivered(ledger) == 10
    assert taken(sandbox) == {f"customer-{number}": 1 for number in range(10)}


def _nothing_due(ledger: Ledger, hours: float) -> bool:
    """Say whether a site whose clock is so far ahead has nothing left to do, or in its hands."""
    due_in = ledger.outlook().due_in
    return due_in is None or due_in > hours * 3600 + 300
