"""What Prometheus is told, read from its registry as it would read it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest

from flask_partnerstack import PartnerStack
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import NotInitialized
from flask_partnerstack.errors import Refused
from flask_partnerstack.ledger import Cause
from flask_partnerstack.metrics import register_metrics
from flask_partnerstack.testing import rehearse
from tests.kit import LANDING
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport


@pytest.fixture
def registry(app: Flask) -> CollectorRegistry:
    registry = CollectorRegistry()
    register_metrics(app, registry)
    return registry


def record(app: Flask, *keys: str) -> None:
    with app.app_context():
        for key in keys:
            track_conversion(key, xid=XID)


def told(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_conversions_are_counted_by_state(app: Flask, registry: CollectorRegistry) -> None:
    """Every state is there, also when nobody is in it."""
    record(app, "acme", "globex")
    get_state(app).dispatcher.take(1)[0]()
    found = told(registry)
    states = ("pending", "delivered", "verified", "dead", "skipped")
    assert [found[f'partnerstack_conversions{{status="{s}"}}'] for s in states] == [1, 1, 0, 0, 0]
    assert found["partnerstack_ledger_up"] == 1


def test_the_oldest_undelivered_has_an_age(
    app: Flask, registry: CollectorRegistry, clock: Clock
) -> None:
    """In seconds, to alert on; 0 when nobody waits."""
    assert told(registry)["partnerstack_oldest_undelivered_seconds"] == 0
    record(app, "acme")
    clock.tick(minutes=10)
    assert told(registry)["partnerstack_oldest_undelivered_seconds"] == 600


def test_attempts_are_counted_by_their_outcome(
    app: Flask, registry: CollectorRegistry, clock: Clock, transport: ScriptedTransport
) -> None:
    """Each line of the trails once, however often it is asked."""
    transport.answers = [Refused("HTTP 503", status=503)]
    record(app, "acme")
    get_state(app).dispatcher.run_pass()
    clock.tick(hours=2)
    get_state(app).dispatcher.run_pass()
    clock.tick(minutes=1)
    for _ in range(3):
        found = told(registry)
    assert found['partnerstack_attempts_total{outcome="refused"}'] == 1
    assert found['partnerstack_attempts_total{outcome="accepted"}'] == 1
    assert found['partnerstack_attempts_total{outcome="unclear"}'] == 0


def test_latency_is_a_histogram(app: Flask, registry: CollectorRegistry, clock: Clock) -> None:
    """From the signup to the delivery, in steps that add up."""
    for key, seconds in (("acme", 1), ("globex", 100)):
        record(app, key)
        clock.tick(seconds=seconds)
        get_state(app).dispatcher.run_pass()
        clock.tick(minutes=1)
        told(registry)
    found = told(registry)
    name = "partnerstack_delivery_latency_seconds"
    steps = [found[f'{name}_bucket{{le="{le}"}}'] for le in ("1.0", "60.0", "300.0", "+Inf")]
    assert steps == [1, 1, 2, 2]
    assert (found[f"{name}_count"], found[f"{name}_sum"]) == (2, 101)


def test_captures_are_counted(app: Flask, registry: CollectorRegistry) -> None:
    """Each new click once, and no click of another app's."""
    client = app.test_client()
    client.get(f"/?{LANDING}")
    client.get(f"/?{LANDING}")
    client.get("/")
    assert told(registry)["partnerstack_captures_total"] == 1


def test_captures_are_counted_on_when_a_rehearsal_is_over(app: Flask) -> None:
    """Whoever registers in a rehearsal, for all tests perhaps, does so for the app."""
    registry = CollectorRegistry()
    with rehearse(app):
        register_metrics(app, registry)
    gc.collect()
    app.test_client().get(f"/?{LANDING}")
    assert told(registry)["partnerstack_captures_total"] == 1


def test_an_app_that_is_dropped_is_counted_for_no_longer(tmp_path: Path) -> None:
    """What counts its captures goes with it; while it lives, nobody need hold the collector."""
    gc.collect()
    before = len(signals.referral_captured.receivers)
    app = Flask("app", instance_path=str(tmp_path))
    PartnerStack(app)
    register_metrics(app, CollectorRegistry())
    gc.collect()
    assert len(signals.referral_captured.receivers) == before + 1
    del app
    gc.collect()
    assert len(signals.referral_captured.receivers) == before


def test_a_pause_is_told_with_its_cause(app: Flask, registry: CollectorRegistry) -> None:
    """Nothing while all is well, so that its presence is the alarm."""
    assert not [name for name in told(registry) if "paused" in name]
    get_state(app).ledger.begin_pause(Cause.DENIED, "HTTP 401")
    assert told(registry)['partnerstack_delivery_paused{cause="denied"}'] == 1


def test_a_ledger_that_cannot_be_read_is_told(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    """The app's other metrics are served all the same."""
    app = make_app(LEDGER_URL="sqlite:///elsewhere.db")
    registry = CollectorRegistry()
    register_metrics(app, registry)
    assert told(registry)["partnerstack_ledger_up"] == 0
    assert "init-db" in caplog.text


def test_registering_opens_no_ledger(app: Flask, registry: CollectorRegistry) -> None:
    """The names are known before the first conversion, and before there is a ledger."""
    place = get_state(app).place.path
    assert place is not None
    assert not place.exists()
    with pytest.raises(ValueError, match=r"[Dd]uplicated"):
        register_metrics(app, registry)


def test_a_second_app_is_shown_the_way_out(
    make_app: Callable[..., Flask], registry: CollectorRegistry
) -> None:
    """A factory that makes two apps needs two registries, and is told how to give them."""
    second = make_app()
    with pytest.raises(ValueError, match=r"registry=CollectorRegistry\(\)"):
        register_metrics(second, registry)
    register_metrics(second, registry=CollectorRegistry())


def test_an_app_without_the_extension_is_diagnosed() -> None:
    """The order matters, and is said."""
    with pytest.raises(NotInitialized, match="init_app"):
        register_metrics(Flask("bare"), CollectorRegistry())


def test_the_package_does_not_need_it() -> None:
    """Without the extra, nothing imports prometheus_client."""
    code = "import sys, flask_partnerstack; print('prometheus_client' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


BY_ONE_REGISTRY = """
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from flask_partnerstack import PartnerStack
from flask_partnerstack.metrics import register_metrics
app = Flask("site", instance_path={folder!r})
app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none")
PartnerStack(app)
registry = CollectorRegistry()
MultiProcessCollector(registry)
register_metrics(app, registry)
app.add_url_rule("/", view_func=lambda: "", endpoint="home")
app.test_client().get("/?{landing}")
print(generate_latest(registry).decode())
"""


@pytest.mark.parametrize("documented", [True, False])
def test_several_processes_are_told_of_together(tmp_path: Path, documented: bool) -> None:
    """As the documents show it, or with the processes' own registry: a capture is told once."""
    (files := tmp_path / "metrics").mkdir()
    by_one = BY_ONE_REGISTRY.format(folder=str(tmp_path), landing=LANDING)
    told = ["-m", "tests.metrics_site", str(tmp_path)] if documented else ["-c", by_one]
    served = subprocess.run(
        [sys.executable, *told],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(files)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    captures = [line for line in served if line.startswith("partnerstack_captures_total")]
    assert captures == ["partnerstack_captures_total 1.0"]
    assert "partnerstack_ledger_up 1.0" in served
