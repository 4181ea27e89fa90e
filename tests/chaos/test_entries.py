"""One bad entry, one bad key pair, one bad receiver, one bad clock: the others do not suffer."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest
import requests
from blinker import NamedSignal
from flask import Flask
from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.serving import make_server

from flask_partnerstack import PartnerStack
from flask_partnerstack import set_customer
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxSettings
from tests.kit import LANDING
from tests.kit import Clock
from tests.kit import TravellingPartnerStack

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

AtRest = Callable[[float], bool]
Count = Callable[[], Counter[str]]
DeliverAt = Callable[..., int]
Eventually = Callable[[Callable[[], bool]], None]
Host = Callable[[Flask], str]
MakeApp = Callable[..., Flask]
OpenSite = Callable[..., "Site"]
Say = Callable[[str], None]
SignUpMany = Callable[["Site", int], float]

FIFTY = {f"customer-{number}": 1 for number in range(50)}
TWENTY = {f"customer-{number}": 1 for number in range(20)}
#: Those whose answers are lost, so that only a look-up can tell what became of them.
LOST = [f"customer-{number}" for number in range(5)]


# --- look-ups that mislead ----------------------------------------------------------------------


@pytest.fixture
def other_sandbox() -> Iterator[SandboxProcess]:
    """Another programme's PartnerStack, which knows none of our customers."""
    with SandboxProcess(SandboxSettings()) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("name", "public_key", "api", "said"),
    [
        (
            "keys not accepted",
            "pk_other",
            "ours",
            "PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY were not accepted",
        ),
        ("test keys", "pk_sandbox", "another's", "test keys beside a production token"),
        ("v2 API down", "pk_sandbox", "nobody's", "could not connect"),
    ],
)
def test_look_ups_that_cannot_tell(
    name: str,
    public_key: str,
    api: str,
    said: str,
    sandbox: SandboxProcess,
    other_sandbox: SandboxProcess,
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    at_rest: AtRest,
    deliver_at: DeliverAt,
    ledger: Ledger,
    sends: Count,
    say: Say,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is sent twice, however often it is looked up in vain, and that is said loudly."""
    urls = {"ours": sandbox.url, "another's": other_sandbox.url, "nobody's": "http://127.0.0.1:9"}
    keys = {
        "PARTNERSTACK_PUBLIC_KEY": public_key,
        "PARTNERSTACK_SECRET_KEY": "sk_sandbox",
        "PARTNERSTACK_API_URL": urls[api],
    }
    sandbox.fault(drop="after", keys=LOST)
    site = open_site(**keys)
    sign_up_many(site, 20)
    eventually(partial(at_rest, 0))
    site.kill()
    sandbox.clear_faults()
    look_ups = sum(deliver_at(hours, **keys) for hours in (1, 3, 5, 30, 200))

    say(f"{name}: {look_ups} look-ups in vain, {sends().total() - 20} sent twice")
    assert sends() == TWENTY
    assert said in caplog.text
    assert ledger.counts()[Status.DELIVERED] == 15
    assert ledger.counts()[Status.PENDING] == 5


@pytest.mark.parametrize(
    ("name", "lost", "said"),
    [
        ("most of it after a 2xx", LOST, "look-ups in a row found nobody"),
        ("all of it unclear", list(TWENTY), ""),
    ],
)
@pytest.mark.usefixtures("known_pair")
def test_a_read_back_lag_of_two_hours(
    name: str,
    lost: list[str],
    said: str,
    sandbox: SandboxProcess,
    keys: dict[str, str],
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    is_idle: AtRest,
    deliver_at: DeliverAt,
    ledger: Ledger,
    sends: Count,
    say: Say,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Customers that show up two hours late: three in a row are not believed, and all is found."""
    sandbox.fault(drop="after", keys=lost)
    site = open_site(SITE_HOURS_AHEAD="1", **keys)
    sign_up_many(site, 20)
    eventually(partial(is_idle, 1))
    site.kill()
    sandbox.clear_faults()
    sandbox.fault(on="api", lag=3600)  # of its clock, which stands still beside ours
    for hours in (1.3, 1.6, 2.2, 2.9):
        deliver_at(hours, **keys)
    sandbox.clear_faults()
    for hours in (3.5, 5, 30):
        deliver_at(hours, **keys)

    say(
        f"a read-back lag of two hours, {name}: {sends().total() - 21} sent twice, "
        f"{ledger.counts()[Status.VERIFIED] - 1} of 20 verified"
    )
    assert sends() == {"the-first": 1, **TWENTY}
    assert ledger.counts()[Status.VERIFIED] == 21
    assert said in caplog.text


# --- one bad entry, one bad address -------------------------------------------------------------


def test_a_wrong_conversion_path(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    ledger: Ledger,
    sends: Count,
    taken: Count,
    say: Say,
) -> None:
    """404 to all: paused, none buried; put right, all 50 are delivered."""
    sandbox.fault(status=404)
    sign_up_many(open_site(), 50)
    eventually(lambda: ledger.outlook().pause is not None and sends().total() >= 5)
    turned_away, dead = sends().total(), ledger.counts()[Status.DEAD]
    sandbox.clear_faults()
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 50)

    say(f"404 to all: {turned_away} turned away, {dead} buried, {len(taken())} of 50 delivered")
    assert dead == 0
    assert taken() == FIFTY


@pytest.mark.parametrize("status", [400, 403])
def test_one_bad_entry_among_fifty(
    status: int,
    sandbox: SandboxProcess,
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    ledger: Ledger,
    sends: Count,
    taken: Count,
    say: Say,
) -> None:
    """49 are delivered, and the one that alone is turned away is buried with its answer."""
    sandbox.fault(status=status, body="partner left", keys=["customer-7"])
    sign_up_many(open_site(), 50)
    eventually(lambda: ledger.counts()[Status.PENDING] == 0)

    dead = ledger.get("customer-7")
    say(f"one {status} among 50: {len(taken())} delivered, one buried")
    assert taken() == {key: 1 for key in FIFTY if key != "customer-7"}
    assert dead.status is Status.DEAD
    assert ledger.trail(dead)[-1].answer == "partner left"
    assert sends()["customer-7"] <= 3


# --- a receiver that raises ---------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Host]:
    """Return what serves an app of this process on a socket, and gives its URL."""
    with contextlib.ExitStack() as servers:

        def host(app: Flask) -> str:
            server = make_server("127.0.0.1", 0, app, threaded=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            servers.callback(server.server_close)
            servers.callback(thread.join)
            servers.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield host


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def delivering_app(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Flask]:
    """An app that delivers and looks up in the background, at once."""
    app = Flask("site", instance_path=str(tmp_path / "instance"))
    app.config.update(
        PARTNERSTACK_TOKEN="sandbox-token",
        PARTNERSTACK_CONVERSION_URL=sandbox.conversion_url,
        PARTNERSTACK_API_URL=sandbox.api_url,
        PARTNERSTACK_PUBLIC_KEY="pk_sandbox",
        PARTNERSTACK_SECRET_KEY="sk_sandbox",
        PARTNERSTACK_VERIFY_AFTER=0.05,
    )
    PartnerStack(app)
    yield app
    get_state(app).engine.stop()
    get_state(app).ledger.close()


def test_a_receiver_that_raises(
    delivering_app: Flask,
    sandbox: SandboxProcess,
    host: Host,
    browser: requests.Session,
    eventually: Eventually,
    sends: Count,
    say: Say,
) -> None:
    """Every receiver of every signal raises: pages and delivery go on, nothing is sent twice."""
    raised: list[str] = []
    app, counts = delivering_app, get_state(delivering_app).ledger.counts

    @app.post("/signup")
    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer(request.form["key"])
        return "welcome", 201

    def receiver(name: str, _sender: Flask, **_facts: object) -> None:
        raised.append(name)
        raise RuntimeError("a receiver of the app's own")

    with contextlib.ExitStack() as connected:
        for name, signal in vars(signals).items():
            if isinstance(signal, NamedSignal):
                connected.enter_context(signal.connected_to(partial(receiver, name)))
        sandbox.fault(status=400, keys=["customer-7"])
        url = host(app)
        browser.get(f"{url}/?{LANDING}")
        answers = [browser.post(f"{url}/signup", data={"key": key}) for key in FIFTY]
        eventually(lambda: counts()[Status.VERIFIED] == 49 and counts()[Status.DEAD] == 1)

    say(f"receivers that raise: {len(raised)} raised, {len(sends()) - 1} of 49 delivered, once")
    assert {answer.status_code for answer in answers} == {201}
    assert {key: n for key, n in sends().items() if key != "customer-7"} == {
        key: 1 for key in FIFTY if key != "customer-7"
    }
    assert set(raised) >= {
        "referral_captured",
        "conversion_recorded",
        "conversion_delivered",
        "conversion_verified",
        "conversion_buried",
    }


# --- a clock that jumps -------------------------------------------------------------------------


@pytest.fixture
def travelling_app(tmp_path: Path, clock: Clock, sandbox: SandboxProcess) -> Iterator[Flask]:
    """An app whose time of day is ours, over real sockets; its passes are run by hand."""
    app = Flask("site", instance_path=str(tmp_path / "instance"))
    app.config.update(
        PARTNERSTACK_TOKEN="sandbox-token",
        PARTNERSTACK_CONVERSION_URL=sandbox.conversion_url,
        PARTNERSTACK_ENGINE="none",
    )
    TravellingPartnerStack(clock).init_app(app)
    yield app
    get_state(app).ledger.close()


@pytest.mark.parametrize("days", [-5, 5])
def test_a_clock_that_jumps(
    days: int,
    travelling_app: Flask,
    clock: Clock,
    sandbox: SandboxProcess,
    sends: Count,
    taken: Count,
    say: Say,
) -> None:
    """Every other one waits half an hour, one is in a dead process's hands, and the clock is set.

    Set forward, each is early by no more than its delay; set back, each waits its delay again.
    """
    state = get_state(travelling_app)
    # Every other one, for three in a row would pause delivery.
    sandbox.fault(drop="before", keys=[f"customer-{number}" for number in range(1, 50, 2)])
    with travelling_app.app_context():
        for key in FIFTY:
            track_conversion(key, xid="Kvx64pph9uhCju")
    assert len(state.dispatcher.take(1)) == 1  # whoever took it is gone
    state.dispatcher.run_pass()
    assert sends().total() == 49
    sandbox.clear_faults()

    clock.tick(days=days)
    delivered = [0]  # by the minute
    while delivered[-1] < 50:
        assert len(delivered) < 40, "an entry is stuck"
        state.dispatcher.run_pass()
        delivered.append(state.ledger.counts()[Status.DELIVERED])
        clock.tick(minutes=1)

    minutes = len(delivered) - 2
    say(f"clock set by {days} days: {len(taken())} of 50 delivered {minutes} minutes later")
    assert taken() == FIFTY
    assert days > 0 or max(delivered[:30]) == 25


# --- invalid conversions ------------------------------------------------------------------------

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "control characters": ("name", {"name": "Ada\x00\x1b[31m"}),
    "a 10,000-character e-mail": ("email", {"email": "a" * 10_000 + "@example.com"}),
    "meta that is not JSON": ("meta", {"meta": {"when": object()}}),
    "surrogates": ("name", {"name": "Ada \ud800"}),
    "a key of surrogates": ("customer_key", {"customer_key": "\udfff"}),
    "an empty key": ("customer_key", {"customer_key": " "}),
}


@pytest.fixture
def careless_app(make_app: MakeApp) -> Flask:
    """An app that reports whatever a case says, by hand or under the decorator."""
    app = make_app()

    @app.post("/by-hand/<case>")
    def by_hand(case: str) -> ResponseReturnValue:
        try:
            track_conversion(**{"customer_key": case, **CASES[case][1]})
        except InvalidConversion as e:
            return e.field, 422
        return "", 201

    @app.post("/signup/<case>")
    @track_signup
    def signup(case: str) -> ResponseReturnValue:
        set_customer(**{"customer_key": case, **CASES.get(case, ("", {}))[1]})
        return "", 201

    return app


def test_invalid_conversions_by_hand(
    careless_app: Flask, host: Host, browser: requests.Session, say: Say
) -> None:
    """``InvalidConversion`` names the field, and nothing is recorded."""
    url = host(careless_app)
    browser.get(f"{url}/?{LANDING}")
    answers = {case: browser.post(f"{url}/by-hand/{case}") for case in CASES}
    recorded = sum(get_state(careless_app).ledger.counts().values())
    say(f"invalid by hand: {len(answers)} refused by field, {recorded} recorded")
    assert {case: answer.text for case, answer in answers.items()} == {
        case: field for case, (field, _) in CASES.items()
    }
    assert recorded == 0


def test_invalid_conversions_under_the_decorator(
    careless_app: Flask,
    host: Host,
    browser: requests.Session,
    say: Say,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each signup is answered; only a bad key stops the record, a bad field is left out, logged."""
    url = host(careless_app)
    browser.get(f"{url}/?{LANDING}")
    answers = [browser.post(f"{url}/signup/{case}").status_code for case in CASES]
    ledger = get_state(careless_app).ledger
    entries = {entry.customer_key: entry for entry in ledger.entries()}
    say(f"invalid under the decorator: {answers.count(201)} answered, {len(entries)} recorded")
    assert answers == [201] * len(CASES)
    assert set(entries) == {case for case, (f, _) in CASES.items() if f != "customer_key"}
    for case, entry in entries.items():
        assert not getattr(ledger.conversion_of(entry), CASES[case][0])
        assert f"customer {case}, xid {entry.xid}: {CASES[case][0]}:" in caplog.text
    assert caplog.text.count("was NOT recorded") == 2


def test_a_monstrous_user_agent(careless_app: Flask, host: Host, browser: requests.Session) -> None:
    """What a browser says of itself is cleaned, and never a reason to lose its customer."""
    url = host(careless_app)
    browser.get(f"{url}/?{LANDING}")
    agent = b"Mozilla\x01\x7f\xff " + b"x" * 30_000
    answer = browser.post(f"{url}/signup/Ada", headers={"User-Agent": agent})
    ledger = get_state(careless_app).ledger
    kept = ledger.conversion_of(ledger.get("Ada")).user_agent or ""
    assert answer.status_code == 201
    assert kept.startswith("Mozilla")
    assert kept.isprintable()
    assert len(kept) <= 1024
