"""Many processes over one ledger: one entry for a customer, one send for an entry."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.kit import XID

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

Count = Callable[[], Counter[str]]
Employ = Callable[..., subprocess.Popen[bytes]]
Eventually = Callable[[Callable[[], bool]], None]
Size = Callable[[int, int], int]
Say = Callable[[str], None]

PROCESSES = 8
STALLED = "customer-7"


def each_once(count: int) -> dict[str, int]:
    return {f"customer-{number}": 1 for number in range(count)}


def at_least(ledger: Ledger, count: int) -> bool:
    return ledger.counts()[Status.DELIVERED] >= count


@pytest.fixture
def record(ledger: Ledger, tmp_path: Path) -> Callable[[int], int]:
    """Return what records so many conversions; it gives their number."""
    (tmp_path / "instance").mkdir()

    def record(count: int) -> int:
        for key in each_once(count):
            ledger.record(Conversion.of(customer_key=key, xid=XID))
        return count

    return record


@pytest.mark.timeout(900)
def test_eight_processes_sign_the_same_customers_up(
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    ledger: Ledger,
    eventually: Eventually,
    taken: Count,
    size: Size,
    say: Say,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All at once, for the same customer keys: one entry and one conversion each, and no error."""
    signups = size(25, 200)
    keys = min(signups, 100)
    together = threading.Barrier(PROCESSES)

    def sign_up(site: Site) -> None:
        visitor = visit(site, LANDING)
        together.wait()
        for number in range(signups):
            visitor.sign_up(f"customer-{number % keys}")

    with ThreadPoolExecutor(PROCESSES) as pool:
        sites = list(pool.map(lambda _: open_site(), range(PROCESSES)))
        list(pool.map(sign_up, sites))
    eventually(lambda: ledger.counts()[Status.DELIVERED] == keys)
    once = taken()
    say(
        f"{PROCESSES} processes, {signups} signups each, for the same {keys} customers: "
        f"{sum(ledger.counts().values())} entries, {once.total()} conversions"
    )
    assert once == each_once(keys)
    assert sum(ledger.counts().values()) == keys
    said = capfd.readouterr().err
    assert "NOT recorded" not in said
    assert "Traceback" not in said


@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [2, 4])
def test_workers_share_one_ledger(
    processes: int,
    employ: Employ,
    record: Callable[[int], int],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Eventually,
    sends: Count,
    size: Size,
    say: Say,
) -> None:
    """Whoever claims an entry sends it, and nobody else does."""
    recorded = record(size(300, 5_000))
    sandbox.fault(delay=0.05)  # so that no worker is done before the last one has started
    for _ in range(processes):
        employ()
    for tenth in range(1, 11):
        eventually(partial(at_least, ledger, recorded * tenth // 10))
    once = sends()
    say(
        f"{processes} workers, {recorded} entries: {len(once)} sent, "
        f"{once.total() - len(once)} twice"
    )
    assert once == each_once(recorded)


def test_a_worker_that_is_stopped_past_its_lease(
    employ: Employ,
    record: Callable[[int], int],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Eventually,
    keys: dict[str, str],
    sends: Count,
    size: Size,
    say: Say,
) -> None:
    """SIGSTOP between counting an attempt and settling it: unclear, looked up, never sent again.

    When it goes on it finds that the entry is no longer its own.
    """
    recorded = record(size(50, 500))
    sandbox.fault(keys=[STALLED], hang=True, accept=True)
    stalled = employ(**keys)
    eventually(lambda: ledger.counts()[Status.DELIVERED] == recorded - 1)
    eventually(lambda: sends()[STALLED] == 1)
    stalled.send_signal(signal.SIGSTOP)
    sandbox.clear_faults()

    entry = ledger.get(STALLED)
    others = [employ(SITE_HOURS_AHEAD="1", **keys) for _ in range(2)]
    eventually(lambda: any("stopped while" in tried.reason for tried in ledger.trail(entry)))
    for other in others:
        other.terminate()
        other.wait()
    employ(SITE_HOURS_AHEAD="2", **keys)
    eventually(lambda: ledger.counts()[Status.VERIFIED] == recorded)
    tries = len(ledger.trail(entry))
    stalled.send_signal(signal.SIGCONT)
    eventually(lambda: len(ledger.trail(entry)) > tries)

    once = sends()
    say(
        f"SIGSTOP past the lease, {recorded} entries: {len(once)} sent, "
        f"{once.total() - len(once)} twice, the unclear one looked up and found"
    )
    assert once == each_once(recorded)
    assert ledger.counts()[Status.VERIFIED] == recorded


@pytest.mark.parametrize("verified", [True, False])
def test_an_answer_that_drips_past_the_lease(
    verified: bool,
    employ: Employ,
    record: Callable[[int], int],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Eventually,
    keys: dict[str, str],
    deliver_at: Callable[..., int],
    sends: Count,
    say: Say,
) -> None:
    """Others take the entry over while the answer drips; with or without keys it is sent once."""
    recorded, config = record(10), keys if verified else {}
    sandbox.fault(keys=[STALLED], drip=0.03)
    worker = employ(**config)
    eventually(lambda: ledger.counts()[Status.DELIVERED] == recorded - 1)
    eventually(lambda: sends()[STALLED] == 1)
    deliver_at(1, **config)
    entry = ledger.get(STALLED)
    assert entry.status is Status.PENDING
    deliver_at(1.4, **config)  # with keys it is looked up; without, it is not due yet
    eventually(lambda: any("HTTP 200" in tried.reason for tried in ledger.trail(entry)))
    worker.terminate()
    worker.wait()
    deliver_at(48, **config)

    found = ledger.get(STALLED).status
    say(f"an answer drips past the lease: {sends()[STALLED]} sent, {found}")
    assert sends() == each_once(recorded)
    assert found is (Status.VERIFIED if verified else Status.DELIVERED)
