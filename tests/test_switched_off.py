"""``ENABLED=False`` beside conversions that wait: nobody of this app delivers them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.celery import sweep as celery_sweep
from flask_partnerstack.errors import NotSent
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Entry
from flask_partnerstack.rq import sweep as rq_sweep
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack
from tests.kit import run


@pytest.fixture
def make_at(make_app: Callable[..., Flask], tmp_path: Path) -> Callable[..., Flask]:
    """Return what makes apps that share one ledger, in which a customer waits."""
    url = f"sqlite:///{tmp_path}/shared.db"
    on = make_app(LEDGER_URL=url)
    get_state(on).ledger.init()
    with on.app_context():
        track_conversion("acme", xid=XID)
    return lambda **config: make_app(LEDGER_URL=url, **config)


@pytest.fixture
def off(make_at: Callable[..., Flask]) -> Flask:
    return make_at(ENABLED=False)


def entry_of(app: Flask) -> Entry:
    return get_state(app).ledger.get("acme")


def test_what_waits_is_left_as_it_is(off: Flask, transport: ScriptedTransport) -> None:
    """A pass sends nothing and parks nothing, whoever runs it."""
    before, dispatcher = entry_of(off), get_state(off).dispatcher
    assert (dispatcher.run_pass(), dispatcher.deliver(before.id)) == (0, False)
    assert dispatcher.next_due() is None
    assert (entry_of(off), transport.requests) == (before, [])


def test_it_goes_on_by_itself(make_at: Callable[..., Flask], transport: ScriptedTransport) -> None:
    """Switched on again, the app delivers what waited, and no person is needed."""
    get_state(make_at(ENABLED=False)).dispatcher.run_pass()
    assert get_state(make_at(ENABLED=True)).dispatcher.run_pass() == 1
    assert [c["customer_key"] for c in transport.conversions] == ["acme"]


def test_requeueing_on_the_page_sends_nothing(
    make_at: Callable[..., Flask], clock: Clock, transport: ScriptedTransport
) -> None:
    """The operator's page makes an entry due, and neither it nor another is sent."""
    app = make_at(ENABLED=False, ENGINE="inline")
    page = TravellingPartnerStack(clock, transport).dashboard(permission=lambda: True)
    app.register_blueprint(page, url_prefix="/ps")
    get_state(app).ledger.bury(get_state(app).ledger.claim(1)[0], reason="rejected")
    client, path = app.test_client(), f"/ps/entry/{entry_of(app).id}"
    found = re.search(r'name="(\w+)" value="([^"]+)"', client.get(path).text)
    assert found is not None
    headers = {"Origin": "http://localhost"}
    answer = client.post(f"{path}/requeue", data={found[1]: found[2]}, headers=headers)
    assert (answer.status_code, transport.requests) == (303, [])
    assert entry_of(app).due_at is not None


def test_the_page_does_not_promise_a_delivery(
    make_at: Callable[..., Flask], clock: Clock, transport: ScriptedTransport
) -> None:
    """Both pages say who keeps what is due from being sent; of an app that is on, neither does."""
    told = []
    for enabled in (False, True):
        app = make_at(ENABLED=enabled)
        page = TravellingPartnerStack(clock, transport).dashboard(permission=lambda: True)
        app.register_blueprint(page, url_prefix="/ps")
        paths = ("/ps/", f"/ps/entry/{entry_of(app).id}")
        told.append([app.test_client().get(path).text for path in paths])
    assert all("PARTNERSTACK_ENABLED is False" in text for text in told[0])
    assert "due now, but this app delivers nothing" in told[0][1]
    assert not any("delivers nothing" in text for text in told[1])


def test_status_says_that_nothing_is_delivered(off: Flask) -> None:
    """Beside what waits, and beside a pause: this app does not probe it."""
    get_state(off).ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    told = run(off, "status").stdout
    assert "This app delivers nothing: PARTNERSTACK_ENABLED is False." in told
    assert "Next probe" not in told
    assert json.loads(run(off, "status", "--json").stdout)["enabled"] is False


def test_a_requeued_entry_is_said_to_wait(off: Flask) -> None:
    """It is due, and nobody of this app sends it."""
    ledger = get_state(off).ledger
    ledger.bury(ledger.claim(1)[0], reason="rejected")
    result = run(off, "requeue", "acme")
    assert result.exit_code == 0
    assert "It waits: this app delivers nothing" in result.stderr


@pytest.mark.parametrize("sweep", [celery_sweep, rq_sweep], ids=["celery", "rq"])
def test_a_queues_sweep_sends_nothing(
    off: Flask, sweep: Callable[[], None], transport: ScriptedTransport
) -> None:
    """The periodic sweep of a worker whose app is switched off leaves what is due."""
    with off.app_context():
        sweep()
    assert transport.requests == []


@pytest.mark.parametrize("command", ["deliver", "worker"])
def test_the_commands_say_it(off: Flask, command: str, transport: ScriptedTransport) -> None:
    """Who is to deliver is refused, and told by which key."""
    result = run(off, command)
    assert result.exit_code == 1
    assert "PARTNERSTACK_ENABLED is False, so nothing is delivered" in result.stderr
    assert transport.requests == []


def test_nobody_is_looked_up_by_hand(make_at: Callable[..., Flask]) -> None:
    """Nor is PartnerStack asked for anybody."""
    app = make_at(ENABLED=False, PUBLIC_KEY="pk_test_1", SECRET_KEY="sk_test_1")
    with pytest.raises(NotSent, match="PARTNERSTACK_ENABLED is False"):
        get_state(app).dispatcher.verify_next()


def test_check_does_not_contradict_itself(make_at: Callable[..., Flask]) -> None:
    """After "nothing is recorded" it does not say that conversions are recorded and parked."""
    result = run(make_at(ENABLED=False, TOKEN=None), "check", "--online")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()[:1]] == ["warning"]
    assert "parked" not in result.output
    assert "nothing is delivered" in result.output
