"""What a signup pays for a broker that is away, or accepts and never answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.kit import free_port
from tests.queues.brokers import Broker
from tests.queues.brokers import RabbitBroker
from tests.queues.brokers import RedisBroker
from tests.queues.brokers import SilentBroker

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor
    from tests.queues.conftest import Worker

SIGNUPS = 100


@pytest.fixture
def no_broker(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a broker that is down, or silent."""
    scheme, silent = request.param
    if not silent:
        yield f"{scheme}127.0.0.1:{free_port()}"
        return
    broker = SilentBroker(scheme)
    yield broker.url
    broker.close()


@pytest.mark.parametrize(
    ("engine", "no_broker"),
    [
        ("celery", (RedisBroker.scheme, False)),
        ("celery", (RedisBroker.scheme, True)),
        ("celery", (RabbitBroker.scheme, False)),
        ("celery", (RabbitBroker.scheme, True)),
        ("rq", (RedisBroker.scheme, False)),
        ("rq", (RedisBroker.scheme, True)),
    ],
    indirect=["no_broker"],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}silent={value[1]}",
)
def test_no_signup_waits_for_the_broker(
    engine: str,
    no_broker: str,
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    say: Callable[[str], None],
) -> None:
    """Signups beside those of a site that publishes nothing: none is slower.

    One that waited for a silent broker would take ten seconds at least.
    """
    queue = {"PARTNERSTACK_ENGINE": engine, f"SITE_{engine.upper()}": no_broker}
    ours = visit(open_site(**queue), LANDING)
    quiet = visit(open_site(PARTNERSTACK_ENGINE="none"), LANDING)
    pairs = [(ours.sign_up(f"ours-{n}"), quiet.sign_up(f"quiet-{n}")) for n in range(SIGNUPS)]
    extra = statistics.median(a - b for a, b in pairs)
    slowest = max(a for a, _ in pairs)
    say(f"{engine}, {no_broker}: {1000 * extra:.2f} ms (median), {1000 * slowest:.0f} at most")
    assert extra < 0.05
    assert slowest < 2.0


def test_the_message_delivers(
    start: Callable[[type[Broker]], Broker],
    config: dict[str, str],
    hire: Callable[..., Worker],
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    ledger: Ledger,
    sandbox: SandboxProcess,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    """With no sweep at all, each signup's own message has it delivered, once."""
    broker = start(RedisBroker)
    config.update(SITE_CELERY=broker.url, PARTNERSTACK_ENGINE="celery")
    command = ["--app=tests.queues.make_celery", "worker", "--concurrency=2"]
    hire("celery", *command, "--loglevel=WARNING", **config)
    visitor = visit(open_site(**config), LANDING)
    for number in range(20):
        visitor.sign_up(f"customer-{number}")
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 20)
    assert len(sandbox.received()) == 20
