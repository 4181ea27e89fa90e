"""The examples of docs/testing.md."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from flask import redirect
from flask import request
from flask.typing import ResponseReturnValue

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.testing import Rehearsal
from flask_partnerstack.testing import rehearse

partnerstack = PartnerStack()
sent: list[str] = []


@pytest.fixture
def app(tmp_path: object) -> Flask:
    app = Flask(__name__, instance_path=str(tmp_path))
    partnerstack.init_app(app)

    @app.post("/signup")
    @partnerstack.track_signup
    def signup() -> ResponseReturnValue:
        partnerstack.set_customer(str(uuid4()), email=request.form["email"])
        return redirect("/welcome")

    return app


@pytest.fixture
def partnerstack_config() -> dict[str, object]:
    return {"ATTRIBUTION_WINDOW": 30}


def test_the_rehearsal_has_another_configuration(partnerstack_rehearsal: Rehearsal) -> None:
    """What the fixture returns lies over the app's own."""
    settings = get_state(partnerstack_rehearsal.app).settings
    assert settings.attribution_window == timedelta(days=30)


def test_without_pytest(app: Flask) -> None:
    """The same as a context manager, for other ways to test."""
    with rehearse(app) as rehearsal:
        visitor = rehearsal.client()
        visitor.arrive("ann")
        visitor.post("/signup", data={"email": "jo@acme.com"})
        rehearsal.assert_converted(email="jo@acme.com")


def test_in_a_process_of_its_own(app: Flask) -> None:
    """Against the sandbox a fault is a real answer, and what it postponed is delivered later."""
    with SandboxProcess() as sandbox, rehearse(app, sandbox) as rehearsal:
        visitor = rehearsal.client()
        visitor.arrive("ann")
        sandbox.fault(status=503, times=1)
        visitor.post("/signup", data={"email": "jo@acme.com"})
        rehearsal.assert_not_converted()
        rehearsal.clock.tick(minutes=1)
        rehearsal.deliver()
        rehearsal.assert_converted(email="jo@acme.com")


class Task:
    """Stands for the app's own task."""

    def delay(self, customer_key: str) -> None:
        sent.append(customer_key)


send_waiting_transactions = Task()


@partnerstack.when_verified
def send_waiting(entry: Entry) -> None:
    send_waiting_transactions.delay(entry.customer_key)


def test_who_is_verified_is_told(app: Flask) -> None:
    """The hook starts the work for a customer whom PartnerStack knows by then."""
    with rehearse(app) as rehearsal, app.app_context():
        partnerstack.track_conversion("acme", xid="Kvx64pph9uhCju")
        rehearsal.clock.tick(hours=1)
        rehearsal.deliver()
        assert partnerstack.is_verified("acme")
    assert sent == ["acme"]
