"""Workers killed, brokers emptied: the ledger decides, so nothing is lost and nothing doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.queues.brokers import Broker
from tests.queues.brokers import RabbitBroker
from tests.queues.brokers import RedisBroker

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor
    from tests.queues.conftest import Worker

Eventually = Callable[[Callable[[], bool]], None]
Hire = Callable[..., "Worker"]
Crew = Callable[[], list["Worker"]]


def settled(ledger: Ledger) -> int:
    counts = ledger.counts()
    return counts[Status.DELIVERED] + counts[Status.VERIFIED]


@pytest.fixture
def celery_crew(hire: Hire, config: dict[str, str], tmp_path: Path) -> Crew:
    """Return what starts a Celery worker with its beat."""
    command = ["--app=tests.queues.make_celery", "worker", "--beat", "--concurrency=2"]
    options = [f"--schedule={tmp_path}/beat", "--loglevel=WARNING"]
    return lambda: [hire("celery", *command, *options, **config)]


@pytest.fixture
def rq_crew(hire: Hire, config: dict[str, str]) -> Crew:
    """Return what starts an RQ worker, and what enqueues its sweeps."""
    module = "tests.queues.make_rq"
    return lambda: [hire(module, **config), hire(module, "cron", **config)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("engine", "kind"),
    [("celery", RedisBroker), ("celery", RabbitBroker), ("rq", RedisBroker)],
    ids=["Celery on Redis", "Celery on RabbitMQ", "RQ"],
)
def test_a_killed_worker_and_an_emptied_broker(
    engine: str,
    kind: type[Broker],
    start: Callable[[type[Broker]], Broker],
    config: dict[str, str],
    request: pytest.FixtureRequest,
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    sandbox: SandboxProcess,
    ledger: Ledger,
    in_hands: Callable[[], int],
    eventually: Eventually,
    settle_all: Callable[[], Counter[Status]],
    sends: Callable[[], Counter[str]],
    size: Callable[[int, int], int],
    say: Callable[[str], None],
) -> None:
    """The worker is killed with work in its hands, the broker stopped and emptied: all arrive once.

    Signups go on meanwhile, some while there is no broker at all.
    """
    broker = start(kind)
    config.update({f"SITE_{engine.upper()}": broker.url, "PARTNERSTACK_ENGINE": engine})
    crew: Crew = request.getfixturevalue(f"{engine}_crew")
    visitor = visit(open_site(**config), LANDING)
    total = size(100, 1_000)
    recorded: list[str] = []

    def sign_up(count: int) -> None:
        for number in range(len(recorded), len(recorded) + count):
            visitor.sign_up(f"customer-{number}")
            recorded.append(f"customer-{number}")

    sandbox.fault(delay=0.05)  # so that the kill finds sends under way
    workers = crew()
    sign_up(total * 4 // 10)
    eventually(lambda: settled(ledger) >= total // 10 and in_hands() > 0)
    for worker in workers:
        worker.kill()
    interrupted = in_hands()
    sign_up(total * 2 // 10)
    broker.kill()
    sign_up(total * 2 // 10)
    broker.start()
    crew()
    sign_up(total * 2 // 10)
    eventually(lambda: settled(ledger) >= total - interrupted)
    found = settle_all()

    once = sends()
    say(
        f"{engine} on {kind.__name__}: {total} recorded, {found[Status.VERIFIED]} delivered and "
        f"found, {once.total() - len(once)} twice; {interrupted} cut off by the kill"
    )
    assert once == dict.fromkeys(recorded, 1)
    assert found == {Status.VERIFIED: total}
