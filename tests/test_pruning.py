"""RETENTION: what a dispatcher prunes by itself, and what SEND_EMAIL and SEND_NAME keep out."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.dispatcher import pruning
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.tracking import HASHED_HOST
from tests.kit import Clock
from tests.kit import ScriptedTransport

MakeApp = Callable[..., Flask]
XID = "h8pb9E7TZK6YMO"


def record(app: Flask, *keys: str) -> None:
    with app.app_context():
        for key in keys:
            track_conversion(key, xid=XID, email="Jo@acme.com", name="Jo Doe")


def email_of(app: Flask, key: str) -> str | None:
    ledger = get_state(app).ledger
    return ledger.conversion_of(ledger.get(key)).email


def test_deliveries_prune_beside_themselves(make_app: MakeApp, clock: Clock) -> None:
    """With RETENTION set, whoever looks for what is due removes what is too old."""
    app = make_app(RETENTION=30)
    record(app, "acme")
    dispatcher = get_state(app).dispatcher
    dispatcher.run_pass()
    clock.now += timedelta(days=29)
    dispatcher.run_pass()
    assert email_of(app, "acme") == "Jo@acme.com"
    clock.now += timedelta(days=1)
    dispatcher.run_pass()
    assert email_of(app, "acme") is None


def test_nothing_is_pruned_without_retention(app: Flask, clock: Clock) -> None:
    """The default keeps what was recorded until somebody prunes."""
    record(app, "acme")
    clock.now += timedelta(days=9000)
    get_state(app).dispatcher.run_pass()
    assert email_of(app, "acme") == "Jo@acme.com"


def test_deliveries_forget_what_a_reader_kept(app: Flask, clock: Clock) -> None:
    """Whatever was erased while somebody read is seen to, by whoever delivers, within an hour."""
    record(app, "acme")
    ledger, file = get_state(app).ledger, Path(app.instance_path) / "partnerstack.db"
    get_state(app).dispatcher.run_pass()
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM partnerstack_entry").fetchall()
        ledger.erase("acme")
    clock.now += timedelta(hours=1)
    get_state(app).dispatcher.run_pass()
    kept = [path for path in file.parent.iterdir() if b"Jo@acme.com" in path.read_bytes()]
    assert kept == []


def test_pruning_is_bounded(
    make_app: MakeApp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch at a time, so that no delivery waits for a backlog; a full one is not the last."""
    monkeypatch.setattr(pruning, "MOST", 2)
    app = make_app(RETENTION=1)
    record(app, "one", "two", "three", "four", "five")
    state = get_state(app)
    state.dispatcher.run_pass()
    clock.now += timedelta(days=2)
    left = []
    for _ in range(5):
        state.dispatcher.run_pass()
        left.append(state.ledger.prunable(timedelta(days=1)))
        clock.now += timedelta(seconds=6)
    assert left == [3, 3, 1, 1, 0]


def test_pruning_rests_when_there_is_no_more(
    make_app: MakeApp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is not full was the last one for an hour."""
    monkeypatch.setattr(pruning, "MOST", 2)
    app = make_app(RETENTION=1)
    record(app, "one")
    state = get_state(app)
    state.dispatcher.run_pass()
    clock.now += timedelta(days=1, minutes=-1)
    state.dispatcher.run_pass()
    left = []
    for _ in range(3):
        clock.now += timedelta(minutes=31)
        state.dispatcher.run_pass()
        left.append(state.ledger.prunable(timedelta(days=1)))
    assert left == [1, 0, 0]


def test_trouble_with_pruning_is_none_of_the_deliveries(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be pruned just now still delivers, and says so."""

    def fail(*_args: object, **_kwargs: object) -> int:
        raise LedgerUnavailable("here", "locked")

    monkeypatch.setattr(Ledger, "prune", fail)
    app = make_app(RETENTION=1)
    record(app, "acme")
    assert get_state(app).dispatcher.run_pass() == 1
    assert "Nothing was pruned" in caplog.text


def test_pruning_needs_no_token(make_app: MakeApp, clock: Clock) -> None:
    """Personal data grows old also where nothing is delivered."""
    app = make_app(RETENTION=1, TOKEN=None)
    record(app, "acme")
    ledger = get_state(app).ledger
    (claim,) = ledger.claim(1)
    ledger.bury(claim, reason="given up")
    clock.now += timedelta(days=2)
    get_state(app).dispatcher.take(1)
    assert email_of(app, "acme") is None


# --- what is not even recorded --------------------------------------------------------------------


def test_email_and_name_may_be_left_out(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """Off, they are neither in the ledger nor on the wire."""
    app = make_app(SEND_EMAIL=False, SEND_NAME=False)
    record(app, "acme")
    get_state(app).dispatcher.run_pass()
    assert transport.conversions == [{"xid": XID, "customer_key": "acme"}]
    assert email_of(app, "acme") is None
    assert get_state(app).ledger.page(search="jo").entries == []


def test_email_and_name_may_be_hashed(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """The same address gives the same digest, however it was written, in the shape of one."""
    app = make_app(SEND_EMAIL="hash", SEND_NAME="hash")
    record(app, "acme")
    with app.app_context():
        track_conversion("globex", xid=XID, email="jo@ACME.com")
    get_state(app).dispatcher.run_pass()
    one, other = transport.conversions
    digest = hashlib.sha256(b"jo@acme.com").hexdigest()
    assert one["email"] == other["email"] == f"{digest}@{HASHED_HOST}"
    assert one["name"] == hashlib.sha256(b"jo doe").hexdigest()
    assert "name" not in other


def test_what_is_not_given_is_not_hashed(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """Nobody without an address gets the digest of nothing."""
    app = make_app(SEND_EMAIL="hash", SEND_NAME="hash")
    with app.app_context():
        track_conversion("acme", xid=XID)
    get_state(app).dispatcher.run_pass()
    assert transport.conversions == [{"xid": XID, "customer_key": "acme"}]


def test_hooks_still_see_the_address(tmp_path: object) -> None:
    """A veto for the staff's addresses works with the address that is not to be recorded."""
    partnerstack = PartnerStack()
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(
        PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none", PARTNERSTACK_SEND_EMAIL=False
    )
    partnerstack.init_app(app)
    partnerstack.skip_if(lambda c: "staff" if (c.email or "").endswith("@acme.com") else None)
    record(app, "acme")
    assert get_state(app).ledger.get("acme").reason == "staff"
    get_state(app).ledger.close()


# --- behind a proxy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "headers", "extra", "warned"),
    [
        ("10.0.0.3", {"X-Forwarded-For": "198.51.100.7"}, {}, True),
        ("10.0.0.3", {"Forwarded": "for=198.51.100.7"}, {}, True),
        ("", {"X-Forwarded-For": "198.51.100.7"}, {}, True),
        ("10.0.0.3", {}, {}, False),
        ("8.8.8.8", {"X-Forwarded-For": "198.51.100.7"}, {}, False),
        ("10.0.0.3", {"X-Forwarded-For": "10.0.0.9"}, {"werkzeug.proxy_fix.orig": {}}, False),
    ],
)
def test_a_proxy_in_front_is_noticed(
    app: Flask,
    caplog: pytest.LogCaptureFixture,
    address: str,
    headers: dict[str, str],
    extra: dict[str, object],
    warned: bool,
) -> None:
    """Customers' addresses that are a proxy's are said once, at WARNING, with the way out."""
    caplog.set_level(logging.WARNING)
    for number in range(2):
        environ = {"REMOTE_ADDR": address, **extra}
        with app.test_request_context(
            f"/?ps_xid={XID}", headers=headers, environ_overrides=environ
        ):
            track_conversion(f"acme-{number}")
    said = [message for message in caplog.messages if "behind a proxy" in message]
    assert len(said) == int(warned)
    assert all("ProxyFix" in message for message in said)
