"""The examples of docs/dashboard.md, docs/metrics.md and docs/signals.md."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import metrics
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.signals import conversion_buried
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import ScriptedTransport


def test_the_page_is_for_whom_the_app_says(app: Flask) -> None:
    """The login's own word decides, in each request."""
    partnerstack = PartnerStack()
    current_user: Any = SimpleNamespace(is_authenticated=False)

    def may_see_customers() -> Any:
        return current_user.is_authenticated and current_user.is_admin

    page = partnerstack.dashboard(permission=may_see_customers)
    app.register_blueprint(page, url_prefix="/partnerstack")

    assert app.test_client().get("/partnerstack/").status_code == 403
    current_user.is_authenticated = current_user.is_admin = True
    assert app.test_client().get("/partnerstack/").status_code == 200


def test_metrics_are_registered(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line gives prometheus_client's registry what the ledger knows."""
    registry = CollectorRegistry()
    monkeypatch.setattr(metrics.register_metrics, "__defaults__", (registry,))

    from flask_partnerstack.metrics import register_metrics

    register_metrics(app)  # with prometheus_client's registry, or your own

    assert registry.get_sample_value("partnerstack_ledger_up") == 1.0


def test_a_person_is_told_of_what_was_buried(app: Flask, transport: ScriptedTransport) -> None:
    """The receiver gets the entry and the reason."""
    sent: list[tuple[str, str]] = []

    def send_mail(to: str, text: str) -> None:
        sent.append((to, text))

    @conversion_buried.connect_via(app)
    def tell_the_team(app: Flask, entry: Entry, reason: str) -> None:
        send_mail("partners@acme.com", f"{entry.customer_key} could not be reported: {reason}")

    transport.answers = [Response(200), Response(400)]
    with app.app_context():
        for key in ("globex", "acme"):
            track_conversion(key, xid=XID)
            for job in get_state(app).dispatcher.take(1):
                job()
    ((to, text),) = sent
    assert (to, text.partition(":")[0]) == ("partners@acme.com", "acme could not be reported")
