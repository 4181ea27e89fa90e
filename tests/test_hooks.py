"""What an app's own code decides: consent, and conversions that are not to be reported."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask import current_app
from flask import request
from flask.testing import FlaskClient
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from flask_partnerstack import Conversion
from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import current_referral
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.hooks import LONGEST_REASON
from flask_partnerstack.ledger import Filter
from tests.kit import LANDING
from tests.kit import PARTNER_KEY
from tests.kit import XID
from tests.kit import Clock
from tests.kit import TravellingPartnerStack
from tests.kit import run

OURS = "partnerstack_referral"


@pytest.fixture
def partnerstack(clock: Clock) -> PartnerStack:
    return TravellingPartnerStack(clock)


@pytest.fixture
def app(tmp_path: Path, partnerstack: PartnerStack) -> Iterator[Flask]:
    app = Flask("app", instance_path=str(tmp_path / "instance"))
    app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none")
    partnerstack.init_app(app)
    app.add_url_rule("/", "page", lambda: f"<p>{current_referral.xid}")

    @app.post("/signup")
    def sign_up() -> dict[str, Any]:
        entry = track_conversion("42", email="a@b.example")
        return {"status": entry and entry.status, "reason": entry and entry.reason}

    yield app
    get_state(app).ledger.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def told(app: Flask) -> Iterator[list[tuple[str, Entry, str | None]]]:
    """Every conversion that was recorded or skipped, as its signal told it."""
    facts: list[tuple[str, Entry, str | None]] = []

    def recorded(_: Flask, entry: Entry) -> None:
        facts.append(("recorded", entry, None))

    def skipped(_: Flask, entry: Entry, reason: str) -> None:
        facts.append(("skipped", entry, reason))

    with (
        signals.conversion_recorded.connected_to(recorded, sender=app),
        signals.conversion_skipped.connected_to(skipped, sender=app),
    ):
        yield facts


def kept(response: TestResponse) -> str | None:
    lines = [line for line in response.headers.getlist("Set-Cookie") if line.startswith(OURS)]
    return parse_cookie(lines[0])[OURS] if lines else None


# --- consent to keep ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [False, None, 0, "yes", 1, ["x"]])
def test_without_consent_nothing_is_kept(
    partnerstack: PartnerStack, client: FlaskClient, answer: Any
) -> None:
    """Anything but True keeps nothing; the click serves the request that carries it."""
    partnerstack.consent(lambda *_: answer)

    response = client.get("/", query_string=LANDING)
    assert (response.text, kept(response)) == (f"<p>{XID}", None)
    assert client.get("/").text == "<p>None"


def test_an_ads_click_is_turned_away_when_it_comes(
    partnerstack: PartnerStack, client: FlaskClient
) -> None:
    """As docs/recipes/vetoes.md says: by ``gclid`` in the landing URL, which no signup sees."""
    partnerstack.consent(lambda purpose, _: purpose != "keep" or "gclid" not in request.args)

    assert kept(client.get("/", query_string=LANDING + "&gclid=EAIaIQ")) is None
    assert client.post("/signup").json == {"status": None, "reason": None}
    assert kept(client.get("/", query_string=LANDING))


def test_with_consent_the_click_is_kept(partnerstack: PartnerStack, client: FlaskClient) -> None:
    """True keeps the click, and the hook was told what for, and whose."""
    asked: list[tuple[str, Referral]] = []

    @partnerstack.consent
    def consent(purpose: str, referral: Referral) -> bool:
        asked.append((purpose, referral))
        return True

    assert kept(client.get("/", query_string=LANDING))
    client.get("/")
    ((purpose, referral),) = asked
    assert (purpose, referral.xid, referral.partner_key) == ("keep", XID, PARTNER_KEY)


def test_consent_that_raises_keeps_nothing(
    partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that raises counts as no, is logged, and breaks no page."""

    @partnerstack.consent
    def broken(purpose: str, referral: Referral) -> bool:
        raise LookupError("no such banner")

    response = client.get("/", query_string=LANDING)
    assert (response.status_code, kept(response)) == (200, None)
    assert "The consent hook broken raised" in caplog.text


def test_consent_in_the_answer_counts(partnerstack: PartnerStack, app: Flask) -> None:
    """It is asked when the response is finished: the banner's own answer keeps the click."""
    granted: list[bool] = []
    partnerstack.consent(lambda *_: bool(granted))

    @app.post("/consent")
    def grant() -> str:
        granted.append(True)
        return ""

    assert kept(app.test_client().post("/consent", query_string=LANDING))


def test_no_capture_is_told_without_consent(
    partnerstack: PartnerStack, app: Flask, client: FlaskClient
) -> None:
    """referral_captured is sent for what is kept, and only for that."""
    partnerstack.consent(lambda *_: None)
    told: list[object] = []
    with signals.referral_captured.connected_to(lambda *_, **facts: told.append(facts)):
        client.get("/", query_string=LANDING)
    assert told == []


def test_greeting_without_consent_stays_private(
    partnerstack: PartnerStack, client: FlaskClient
) -> None:
    """A page that knows the click is for one visitor, kept or not."""
    partnerstack.consent(lambda *_: False)
    response = client.get("/", query_string=LANDING)

    assert response.headers["Cache-Control"] == "private"
    assert response.headers["Vary"] == "Cookie"


# --- consent to report --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"), [(False, "consent withheld"), (None, "consent not asked yet")]
)
def test_without_consent_nothing_is_reported(
    partnerstack: PartnerStack,
    client: FlaskClient,
    told: list[tuple[str, Entry, str | None]],
    answer: bool | None,
    reason: str,
) -> None:
    """A conversion without consent is in the ledger as skipped, with its reason."""
    partnerstack.consent(lambda purpose, _: purpose == "keep" or answer)
    client.get("/", query_string=LANDING)

    assert client.post("/signup").json == {"status": "skipped", "reason": reason}
    ((signal, entry, said),) = told
    assert (signal, entry.status, said) == ("skipped", Status.SKIPPED, reason)
    assert (entry.due_at, entry.settled_at) == (None, entry.recorded_at)


def test_skipped_is_asked_again(
    partnerstack: PartnerStack,
    app: Flask,
    client: FlaskClient,
    told: list[tuple[str, Entry, str | None]],
) -> None:
    """Skipped stays skipped while it is refused, and is due once it is not."""
    answers = [True, False, False, True, False]
    partnerstack.consent(lambda *_: answers.pop(0))
    client.get("/", query_string=LANDING)

    statuses = [(client.post("/signup").json or {})["status"] for _ in range(4)]
    assert statuses == ["skipped", "skipped", "pending", "pending"]
    assert [(signal, entry.id) for signal, entry, _ in told] == [("skipped", 1), ("recorded", 1)]
    assert get_state(app).ledger.counts()[Status.PENDING] == 1


def test_consent_that_raises_reports_nothing(
    partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Who cannot say yes has not said it: skipped, kept in the ledger, logged."""

    @partnerstack.consent
    def broken(purpose: str, referral: Referral) -> bool:
        if purpose == "report":
            raise LookupError("no such banner")
        return True

    client.get("/", query_string=LANDING)
    answer = client.post("/signup")
    assert answer.json == {"status": "skipped", "reason": "the consent hook broken raised"}
    assert "no such banner" in caplog.text


@pytest.mark.parametrize(
    ("stored", "source"),
    [
        ({"xid": "stored1"}, "stored"),
        ({"referral": Referral.loads(Referral("stored1", "ann").dumps())}, "stored"),
    ],
)
def test_consent_learns_whose_request_it_is(
    partnerstack: PartnerStack, app: Flask, stored: dict[str, Any], source: str
) -> None:
    """A stored click says so, because the request that records it is somebody else's."""
    asked: list[Referral] = []

    @partnerstack.consent
    def consent(purpose: str, referral: Referral) -> bool:
        asked.append(referral)
        return True

    with app.test_request_context("/", query_string=LANDING):
        track_conversion("42", **stored)
        track_conversion("43")
    assert [(r.xid, r.source) for r in asked] == [("stored1", source), (XID, "url")]


def test_nobody_is_asked_of_nobody(partnerstack: PartnerStack, client: FlaskClient) -> None:
    """Without a click there is nothing to consent to."""
    asked: list[str] = []

    @partnerstack.consent
    def consent(purpose: str, referral: Referral) -> bool:
        asked.append(purpose)
        return True

    client.get("/")
    client.post("/signup")
    assert asked == []


# --- skip_if ------------------------------------------------------------------------------------


def test_veto_is_recorded_with_its_reason(
    partnerstack: PartnerStack, client: FlaskClient, told: list[tuple[str, Entry, str | None]]
) -> None:
    """The first hook that gives a reason vetoes; it has seen the whole conversion."""
    seen: list[Conversion] = []

    @partnerstack.skip_if
    def staff(conversion: Conversion) -> str | None:
        seen.append(conversion)
        return "our own staff" if (conversion.email or "").endswith("@b.example") else None

    partnerstack.skip_if(lambda *_: "never asked")
    client.get("/", query_string=LANDING)

    assert client.post("/signup").json == {"status": "skipped", "reason": "our own staff"}
    assert [(c.customer_key, c.xid, c.ip_address) for c in seen] == [("42", XID, "127.0.0.1")]
    assert [(signal, reason) for signal, _, reason in told] == [("skipped", "our own staff")]


@pytest.mark.parametrize("answer", [None, False, ""])
def test_no_reason_is_no_veto(partnerstack: PartnerStack, client: FlaskClient, answer: Any) -> None:
    """Nothing, False and an empty text let a conversion pass."""
    partnerstack.skip_if(lambda *_: answer)
    client.get("/", query_string=LANDING)

    assert client.post("/signup").json == {"status": "pending", "reason": None}


def test_yes_is_a_reason(partnerstack: PartnerStack, client: FlaskClient) -> None:
    """A hook that only says yes lends its name as the reason, and a long one is shortened."""

    @partnerstack.skip_if
    def paid_search(conversion: Conversion) -> bool | str:
        return "x" * 5000 if "long" in request.args else True

    client.get("/", query_string=LANDING)
    assert (client.post("/signup").json or {})["reason"] == "paid_search"
    assert len((client.post("/signup?long=1").json or {})["reason"]) <= LONGEST_REASON


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("staff \ud83d", "staff \\ud83d"),
        ("staff\x00\nsecond line", "staff\\x00\\nsecond line"),
        ("社員\u3000テスト 🎉", "社員\u3000テスト 🎉"),
    ],
)
def test_a_veto_counts_whatever_its_words(
    partnerstack: PartnerStack, client: FlaskClient, said: str, reason: str
) -> None:
    """What no ledger can hold, or is more than a line, is written as Python writes it."""
    partnerstack.skip_if(lambda *_: said)
    client.get("/", query_string=LANDING)

    assert client.post("/signup").json == {"status": "skipped", "reason": reason}


def test_a_vetos_words_keep_no_address(partnerstack: PartnerStack, client: FlaskClient) -> None:
    """The reason stays when the customer's data is pruned, so that it has no address in it."""
    partnerstack.skip_if(lambda conversion: f"staff: {conversion.email}")
    client.get("/", query_string=LANDING)

    assert client.post("/signup").json == {"status": "skipped", "reason": "staff: a***@b.example"}


def test_veto_that_has_to_be_awaited(
    partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A plain function may give a coroutine, which would skip everybody in silence: an ERROR."""

    async def ask(_: Conversion) -> None:
        return None

    partnerstack.skip_if(lambda conversion: ask(conversion))  # type: ignore[type-var]
    client.get("/", query_string=LANDING)
    answer = client.post("/signup")
    assert (answer.json or {})["reason"] == "the skip_if hook <lambda> returned a coroutine"
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "<lambda> returned a coroutine; the conversion is skipped" in line


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate as those do that know plain functions only: what comes of it looks like one."""

    def call(*args: Any) -> Any:
        return function(*args)

    return call


def test_consent_that_has_to_be_awaited(
    partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts as no, loudly, and leaves no coroutine behind that was never awaited."""

    async def ask(*_: object) -> bool:
        return True

    partnerstack.consent(wrapped(ask))
    assert "Set-Cookie" not in client.get("/", query_string=LANDING).headers
    assert "returned a coroutine; that counts as no" in caplog.text


def test_when_verified_that_has_to_be_awaited(
    app: Flask, partnerstack: PartnerStack, caplog: pytest.LogCaptureFixture
) -> None:
    """Does nothing, and an ERROR says so; the hooks beside it are told."""
    told: list[Entry] = []

    async def pay(entry: Entry) -> None:
        told.append(entry)

    partnerstack.when_verified(wrapped(pay))
    partnerstack.when_verified(told.append)
    with app.app_context():
        entry = track_conversion("acme", xid=XID)
        signals.conversion_verified.send(app, entry=entry)
    assert told == [entry]
    assert "returned a coroutine, and was told nothing of entry 1" in caplog.text


def test_veto_that_raises(
    partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """What is skipped can be requeued, what is sent cannot be taken back: it is skipped, loudly."""

    @partnerstack.skip_if
    def staff(conversion: Conversion) -> bool:
        raise KeyError("email")

    client.get("/", query_string=LANDING)
    answer = client.post("/signup")
    assert answer.json == {"status": "skipped", "reason": "the skip_if hook staff raised"}
    assert [r.levelno for r in caplog.records if "staff" in r.getMessage()][:1] == [logging.ERROR]


def test_the_line_on_a_broken_veto_has_the_command_that_helps(
    app: Flask, partnerstack: PartnerStack, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """What is logged can be copied to a shell, and makes due what the hook has skipped."""
    partnerstack.skip_if(lambda _: bool(1 / 0))
    client.get("/", query_string=LANDING)
    client.post("/signup")
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    command = shlex.split(line.partition(" mended: flask partnerstack ")[2])
    assert run(app, *command).output == "1 entry due now.\n"


# --- registering --------------------------------------------------------------------------------


def test_hooks_are_the_objects_for_all_its_apps(partnerstack: PartnerStack, tmp_path: Path) -> None:
    """One registration, before or after init_app, counts for every app; other objects have none."""
    apps = []
    for name in ("one", "two"):
        app = Flask(name, instance_path=str(tmp_path / name))
        app.config.update(PARTNERSTACK_ENGINE="none")
        (partnerstack if name == "one" else PartnerStack()).init_app(app)
        apps.append(app)
    partnerstack.consent(lambda *_: False)
    three = Flask("three", instance_path=str(tmp_path / "three"))
    three.config.update(PARTNERSTACK_ENGINE="none")
    partnerstack.init_app(three)

    landings = [app.test_client().get("/", query_string=LANDING) for app in (*apps, three)]
    assert [kept(response) is None for response in landings] == [True, False, True]


def test_second_consent_is_refused(partnerstack: PartnerStack) -> None:
    """Of two answers nobody could say which counts."""

    @partnerstack.consent
    def first(purpose: str, referral: Referral) -> bool:
        return True

    with pytest.raises(RuntimeError, match="first is registered already"):
        partnerstack.consent(lambda *_: True)


def test_a_factory_may_register_its_hooks_each_time(
    partnerstack: PartnerStack, app: Flask, client: FlaskClient
) -> None:
    """What the same code registers again takes the place of what it had made before."""
    asked: list[str] = []
    app.extensions["asked"] = asked.append

    def create_app() -> None:
        @partnerstack.consent
        def consent(purpose: str, referral: Referral) -> bool:
            return bool(current_app.extensions["asked"](purpose) or True)

        @partnerstack.skip_if
        def staff(conversion: Conversion) -> str | None:
            return current_app.extensions["asked"]("staff")  # type: ignore[no-any-return]

        partnerstack.skip_if(lambda _: current_app.extensions["asked"]("lambda"))

    create_app()
    create_app()
    client.get("/", query_string=LANDING)
    client.post("/signup")
    assert asked == ["keep", "report", "staff", "lambda"]


def test_a_factory_may_say_each_time_who_is_told(
    partnerstack: PartnerStack, app: Flask, client: FlaskClient
) -> None:
    """A hook that starts a transaction must not be told twice of one customer."""
    told: list[str] = []
    app.extensions["told"] = told.append

    def create_app() -> None:
        @partnerstack.when_verified
        def start(entry: Entry) -> None:
            current_app.extensions["told"](entry.customer_key)

    create_app()
    create_app()
    client.get("/", query_string=LANDING)
    client.post("/signup")
    ledger = get_state(app).ledger
    entry = ledger.newest(Filter(), limit=1)[0]
    with app.app_context():
        signals.send(signals.conversion_verified, app, entry=entry)
    assert told == [entry.customer_key]


def test_rules_of_one_piece_of_code_are_all_asked(
    partnerstack: PartnerStack, client: FlaskClient
) -> None:
    """Each is another rule, by a value of its own, and none takes another's place."""

    def refuse(domain: str) -> None:
        partnerstack.skip_if(lambda c: domain if (c.email or "").endswith(domain) else None)

    for domain in ("@acme.com", "@b.example"):
        refuse(domain)
    client.get("/", query_string=LANDING)
    assert (client.post("/signup").json or {})["status"] == "skipped"


def test_two_lambdas_of_consent_are_two(partnerstack: PartnerStack) -> None:
    """They have one name, and are two answers all the same."""
    partnerstack.consent(lambda *_: True)
    with pytest.raises(RuntimeError, match="factory"):
        partnerstack.consent(lambda *_: False)


def test_what_has_to_be_awaited_is_refused(partnerstack: PartnerStack) -> None:
    """A coroutine would count as yes without ever being asked."""

    async def ask(*_: object) -> bool:
        return True

    class Asked:
        async def __call__(self, *_: object) -> bool:
            return True

    for register in (partnerstack.consent, partnerstack.skip_if, partnerstack.when_verified):
        for hook in (ask, Asked(), "ask"):
            with pytest.raises(TypeError, match="expected a plain function"):
                register(hook)  # type: ignore[type-var, arg-type]


def test_decorators_return_the_function(partnerstack: PartnerStack) -> None:
    """What is registered can still be called."""
    hook: Callable[..., None] = lambda *_: None  # noqa: E731 - the shortest function

    assert partnerstack.consent(hook) is hook
    assert partnerstack.skip_if(hook) is hook
