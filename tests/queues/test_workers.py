"""``flask partnerstack worker``: several processes on one PostgreSQL, stopped and killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy import text

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import XID

if TYPE_CHECKING:
    from tests.queues.conftest import Worker

Employ = Callable[[], "Worker"]
Eventually = Callable[[Callable[[], bool]], None]

PROCESSES, SENDS = 8, 4
WORKER = ("--app=tests.e2e.site:create_app", "partnerstack", "worker", f"--concurrency={SENDS}")


@pytest.fixture
def record(ledger: Ledger) -> Callable[[int], dict[str, int]]:
    """Return what records so many conversions; it gives each key, once."""

    def record(count: int) -> dict[str, int]:
        keys = [f"customer-{number}" for number in range(count)]
        for key in keys:
            ledger.record(Conversion.of(customer_key=key, xid=XID))
        return dict.fromkeys(keys, 1)

    return record


@pytest.fixture
def employ(hire: Callable[..., Worker], config: dict[str, str]) -> Employ:
    """Return what starts a worker."""
    return lambda: hire("flask", *WORKER, **config)


@pytest.fixture
def deadlocks(postgresql: URL) -> Callable[[], int]:
    """Return what counts the deadlocks that PostgreSQL had to break."""
    counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = :name")

    def deadlocks() -> int:
        engine = create_engine(postgresql)
        with engine.connect() as conn:
            found: int = conn.execute(counted, {"name": postgresql.database}).scalar_one()
        engine.dispose()
        return found

    return deadlocks


def delivered(ledger: Ledger) -> int:
    return ledger.counts()[Status.DELIVERED]


def at_least(ledger: Ledger, count: int) -> bool:
    return delivered(ledger) >= count


@pytest.mark.timeout(900)
def test_eight_workers_drain_one_ledger(
    employ: Employ,
    record: Callable[[int], dict[str, int]],
    ledger: Ledger,
    eventually: Eventually,
    deadlocks: Callable[[], int],
    sends: Callable[[], Counter[str]],
    size: Callable[[int, int], int],
    say: Callable[[str], None],
    tmp_path: Path,
) -> None:
    """Each entry is sent once, and no worker has anything to say of locks."""
    once = record(size(400, 20_000))
    started = time.perf_counter()
    for _ in range(PROCESSES):
        employ()
    for tenth in range(1, 11):
        eventually(partial(at_least, ledger, len(once) * tenth // 10))
    took = time.perf_counter() - started
    found = sends()
    say(
        f"{PROCESSES} workers, {len(once)} entries: {len(found)} sent, "
        f"{found.total() - len(found)} twice, {deadlocks()} deadlocks, {took:.0f} s"
    )
    assert found == once
    assert deadlocks() == 0
    said = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in said
    assert "cannot be" not in said


@pytest.mark.timeout(900)
def test_workers_are_killed_at_random(
    employ: Employ,
    record: Callable[[int], dict[str, int]],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Eventually,
    settle_all: Callable[[], Counter[Status]],
    in_hands: Callable[[], int],
    sends: Callable[[], Counter[str]],
    size: Callable[[int, int], int],
    say: Callable[[str], None],
) -> None:
    """Kill -9, again and again: when the leases have run out, all is delivered, each once."""
    once = record(size(200, 20_000))
    kills, moments = size(3, 100), random.Random(20260301)
    sandbox.fault(delay=0.02)  # so that most kills find sends under way
    workers = [employ() for _ in range(size(2, PROCESSES))]
    surely = len(once) - kills * SENDS  # what is cut off is not delivered before the hours pass
    for number in range(kills):
        eventually(partial(at_least, ledger, surely * (number + 1) // (kills + 2)))
        time.sleep(moments.uniform(0, 0.05))  # the moment of the kill is what is tried here
        workers.pop(0).kill()
        workers.append(employ())
    eventually(lambda: _nothing_due(ledger))
    for worker in workers:
        worker.stop()
    interrupted = in_hands()
    sandbox.clear_faults()
    for _ in range(size(1, PROCESSES)):
        employ()
    found = settle_all()
    again = sends()
    say(
        f"kill -9, {kills} times, {len(once)} entries: {interrupted} cut off, "
        f"{found[Status.VERIFIED]} delivered and found, {again.total() - len(again)} twice"
    )
    assert again == once
    assert found == {Status.VERIFIED: len(once)}


def _nothing_due(ledger: Ledger) -> bool:
    due_in = ledger.outlook().due_in
    return due_in is None or due_in > 0


@pytest.fixture
def listened_to(config: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A worker whose words can be read."""
    with subprocess.Popen(
        [sys.executable, "-m", "flask", *WORKER],
        env={**os.environ, **config},
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        yield worker
        worker.kill()


def test_a_stopped_worker_finishes_what_it_sends(
    record: Callable[[int], dict[str, int]],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Eventually,
    in_hands: Callable[[], int],
    request: pytest.FixtureRequest,
) -> None:
    """SIGTERM in the middle of a slow send: what is claimed is settled, no more; exit code 0."""
    record(20)
    sandbox.fault(delay=4.0)  # longer than a web process would wait
    worker = request.getfixturevalue("listened_to")
    eventually(lambda: in_hands() == 4)
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert said.endswith("Stopped.\n")
    assert delivered(ledger) == 4
    assert len(sandbox.received()) == 4


def test_a_worker_that_is_stopped_twice_ends_at_once(
    record: Callable[[int], dict[str, int]],
    sandbox: SandboxProcess,
    eventually: Eventually,
    in_hands: Callable[[], int],
    request: pytest.FixtureRequest,
) -> None:
    """The second signal ends it; its entries come back when their leases have run out."""
    record(1)
    sandbox.fault(hang=True)
    worker = request.getfixturevalue("listened_to")
    eventually(lambda: in_hands() == 1)
    worker.send_signal(signal.SIGTERM)
    while "Finishing" not in worker.stdout.readline():
        assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == -signal.SIGTERM
