"""What stands in no log: the token, the key pair, and e-mail addresses.

The logs of the whole suite are read for them (tests/test_logwatch.py). These tests take a
conversion with telling values through all that can go wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from flask_partnerstack import PartnerStack
from flask_partnerstack import set_customer
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.errors import NotSent
from flask_partnerstack.errors import Unclear
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import run
from tests.logwatch import LogWatch
from tests.logwatch import extra_of

MakeApp = Callable[..., Flask]

TOKEN = "Zt8Yq2Lm5Xw0Rb7K"
PUBLIC_KEY = "pk_Gh4Jk9Pz1Nv6"
SECRET_KEY = "sk_Dc3Fw8Ts0Qa5"
EMAIL = "zaphod.beeblebrox@example.com"
NAME = "Zaphod B. Trillian"
SECRETS = (TOKEN, PUBLIC_KEY, SECRET_KEY, EMAIL, NAME)
ANSWERS: list[Response | DeliveryError] = [
    Response(500),
    Response(400, body=f"no such {EMAIL}".encode()),
    Response(401),
    Response(403),
    Response(302, {"Location": "https://elsewhere.example/"}),
    Response(429, {"Retry-After": "1"}),
    Response(200, body=b"hello"),
    NotSent("no connection"),
    Unclear("read timeout"),
]


@pytest.fixture
def everything(log_watch: LogWatch) -> Iterator[list[str]]:
    """Each line that is logged, whoever logs it, at DEBUG."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record) + extra_of(record))

    handler = Keep(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)
    log_watch.taken()  # these tests look for themselves


def spelled(secret: str) -> tuple[str, ...]:
    """Return the ways in which a text may be written in an address."""
    return (secret, quote(secret, safe=""), quote(quote(secret, safe=""), safe=""))


def assert_silent(lines: list[str]) -> None:
    assert lines
    text = "\n".join(lines)
    assert [way for secret in SECRETS for way in spelled(secret) if way in text] == []


@pytest.mark.parametrize("keys", [{}, {"PUBLIC_KEY": PUBLIC_KEY, "SECRET_KEY": SECRET_KEY}])
def test_no_answer_brings_a_secret_into_the_log(
    make_app: MakeApp,
    transport: ScriptedTransport,
    clock: Clock,
    everything: list[str],
    keys: dict[str, object],
) -> None:
    """A customer whose key is an e-mail address, and every answer that there is."""
    app = make_app(TOKEN=TOKEN, RETENTION=1, **keys)
    for number, _answer in enumerate(ANSWERS):
        with app.app_context():
            track_conversion(f"{number}{EMAIL}", xid=XID, email=EMAIL, name=NAME)
    transport.answers = [*ANSWERS] * 4
    for _ in range(40):
        get_state(app).dispatcher.run_pass()
        clock.now += timedelta(hours=6)
    for command in (["list"], ["check", "--online"], ["verify", "--all"], ["prune"]):
        run(app, *command)
    run(app, "erase", f"0{EMAIL}")
    run(app, "track", f"x{EMAIL}", "--xid", XID, "--email", EMAIL)
    assert any("SELECT partnerstack_entry" in line for line in everything)  # SQL without its values
    assert_silent(everything)


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        {"customer_key": EMAIL, "email": EMAIL + "x" * 400, "name": NAME},
        {"customer_key": None, "email": EMAIL},
        {"customer_key": EMAIL + "\n", "name": NAME},
        {"customer_key": EMAIL, "email": EMAIL, "meta": {"a": {1, 2}}},
    ],
)
def test_no_signup_brings_a_secret_into_the_log(
    make_app: MakeApp,
    everything: list[str],
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    is_away: bool,
) -> None:
    """Neither a field that is left out, nor a bad key, nor a ledger that is away."""
    app = make_app(TOKEN=TOKEN)

    @app.post("/signup")
    @track_signup
    def signup() -> str:
        set_customer(**said)
        return "welcome"

    def fail(*_args: object, **_kwargs: object) -> None:
        raise LedgerUnavailable("here", "disk full")

    if is_away:
        monkeypatch.setattr(Ledger, "record", fail)
    app.test_client().post(f"/signup?ps_xid={XID}&email={quote(EMAIL)}")
    assert_silent(everything)


def test_no_exchange_brings_a_secret_into_the_log(tmp_path: Path, everything: list[str]) -> None:
    """Over real sockets, with what requests and urllib3 log at DEBUG."""
    with SandboxProcess() as sandbox:
        app = Flask("app", instance_path=str(tmp_path))
        app.config.update(
            PARTNERSTACK_TOKEN=TOKEN,
            PARTNERSTACK_PUBLIC_KEY=PUBLIC_KEY,
            PARTNERSTACK_SECRET_KEY=SECRET_KEY,
            PARTNERSTACK_CONVERSION_URL=sandbox.conversion_url,
            PARTNERSTACK_API_URL=sandbox.url,
            PARTNERSTACK_ENGINE="none",
        )
        PartnerStack(app)
        with app.app_context():
            track_conversion(EMAIL, xid=XID, email=EMAIL, name=NAME)
        state = get_state(app)
        state.dispatcher.run_pass()
        run(app, "check", "--online")
        run(app, "verify", EMAIL)
        state.ledger.close()
    assert_silent(everything)


# --- what a record says beside its words --------------------------------------------------------


def test_two_customers_trouble_is_one_trouble(
    make_app: MakeApp, transport: ScriptedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """The words are the same, so that Sentry groups them; who it is stands in the record."""
    app = make_app(TOKEN=TOKEN)
    transport.answers = [Response(200), Response(400), Response(200), Response(400)]
    with app.app_context():
        for key in ("fine", "acme", "good", "globex"):
            track_conversion(key, xid=XID)
            get_state(app).dispatcher.run_pass()
    dead = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len({record.msg for record in dead}) == 1
    assert [vars(record)["partnerstack_customer_key"] for record in dead] == ["acme", "globex"]
    assert [vars(record)["partnerstack_entry_id"] for record in dead] == [2, 4]
    assert {vars(record)["partnerstack_xid"] for record in dead} == {XID}


def test_a_conversion_that_was_not_recorded_says_whose(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customer and click stand in the record, the customer masked."""
    app = make_app(TOKEN=TOKEN)

    @app.post("/signup")
    @track_signup
    def signup() -> tuple[str, int]:
        set_customer(EMAIL)
        return "welcome", 201

    def fail(*_args: object, **_kwargs: object) -> None:
        raise LedgerUnavailable("here", "disk full")

    monkeypatch.setattr(Ledger, "record", fail)
    app.test_client().post(f"/signup?ps_xid={XID}")
    (lost,) = [record for record in caplog.records if "NOT recorded" in record.msg]
    assert vars(lost)["partnerstack_xid"] == XID
    assert vars(lost)["partnerstack_customer_key"] == "z***@example.com"
