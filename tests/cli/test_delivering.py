"""``deliver`` and ``worker`` where nothing may be sent."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from tests.kit import XID
from tests.kit import ScriptedTransport
from tests.kit import run


@pytest.mark.parametrize("command", ["deliver", "worker"])
def test_nothing_is_delivered_in_a_test(
    app: Flask, command: str, transport: ScriptedTransport
) -> None:
    """With TESTING on it is refused by that name, and what waits is not parked."""
    with app.app_context():
        before = track_conversion("acme", xid=XID)
    app.config["TESTING"] = True
    result = run(app, command)
    assert result.exit_code == 1
    assert "TESTING is on" in result.stderr
    assert (get_state(app).ledger.get("acme"), transport.requests) == (before, [])
