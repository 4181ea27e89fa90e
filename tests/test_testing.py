"""The developer's kit, used as its users use it: through its fixtures, on an app of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask import current_app
from flask import g
from flask import redirect
from flask import request
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import Status
from flask_partnerstack import is_verified
from flask_partnerstack import set_customer
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.errors import NotInitialized
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxSettings
from flask_partnerstack.testing import CapturedSignals
from flask_partnerstack.testing import FakePartnerStack
from flask_partnerstack.testing import FrozenClock
from flask_partnerstack.testing import ReferredClient
from flask_partnerstack.testing import Rehearsal
from flask_partnerstack.testing import arrive
from flask_partnerstack.testing import rehearse

ROOT = Path(__file__).parent.parent


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """An app as a user has it: made by their factory, with the real settings."""
    app = Flask("theirs", instance_path=str(tmp_path / "instance"))
    app.config.update(TESTING=True, PARTNERSTACK_TOKEN="the-real-token")
    PartnerStack(app)

    @app.get("/pricing")
    @app.get("/")
    def landing() -> str:
        return f"Welcome, friend of {g.partnerstack.partner_key}"

    @app.post("/signup")
    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer(request.form["key"], email=request.form.get("email"))
        return redirect("/")

    return app


def sign_up(client: FlaskClient, key: str = "acme", **fields: str) -> None:
    assert client.post("/signup", data={"key": key, **fields}).status_code == 302


def test_a_referred_signup_was_converted(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """Who arrives by a link and signs up was reported by the time that the signup is answered."""
    assert partnerstack_client.arrive("ann", sid="spring").text == "Welcome, friend of ann"
    sign_up(partnerstack_client, email="jo@acme.com")
    reported = partnerstack_rehearsal.assert_converted(
        "acme", email="jo@acme.com", partner_key="ann", sub_ids=["spring"]
    )
    assert reported["origin"] == "localhost"


def test_the_only_customer_need_not_be_named(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """A key that the signup invents is left out."""
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    assert partnerstack_rehearsal.assert_converted()["customer_key"] == "acme"


def test_an_unreferred_signup_was_not_converted(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """Nobody's link, nobody's conversion; and the failed assertion says what may be missing."""
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_not_converted()
    with pytest.raises(AssertionError, match=r"no conversion of 'acme'[\s\S]*arrive by a link"):
        partnerstack_rehearsal.assert_converted("acme")


def test_the_difference_can_be_read(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """What was expected and what was reported stand one above the other; the rest is as it is."""
    partnerstack_client.arrive("ann")
    sign_up(partnerstack_client, email="jo@acme.com")
    with pytest.raises(AssertionError) as failed:
        partnerstack_rehearsal.assert_converted("acme", email="jo@acme.co", partner_key="ann")
    lines = str(failed.value).splitlines()
    at = lines.index("  - email: 'jo@acme.co'   expected")
    assert lines[at + 1] == "  + email: 'jo@acme.com'   reported"
    assert "    partner_key: 'ann'" in lines
    assert lines[0] == "The conversion of customer 'acme' is not what was expected:"


def test_a_conversion_that_did_not_get_through_is_explained(
    partnerstack_client: ReferredClient,
    partnerstack_fake: FakePartnerStack,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """The assertion shows what was sent, what was answered, and what the ledger makes of it."""
    partnerstack_fake.fault(status=400)
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_not_converted("acme")
    with pytest.raises(
        AssertionError, match=r"'acme', xid \w+ → HTTP 400[\s\S]*pending: .*sent once"
    ):
        partnerstack_rehearsal.assert_converted("acme")


def test_a_conversion_that_was_taken_is_not_denied(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """The other assertion names whose conversion was taken."""
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_not_converted("globex")
    with pytest.raises(AssertionError, match="took the conversion of 'acme'"):
        partnerstack_rehearsal.assert_not_converted()


def test_more_than_one_is_said(
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """Where a key is left out, two conversions are one too many, and both are shown."""
    for key in ("acme", "globex"):
        visitor = partnerstack_rehearsal.client()
        visitor.arrive()
        sign_up(visitor, key)
    with pytest.raises(AssertionError, match=r"more than one[\s\S]*'acme'[\s\S]*'globex'"):
        partnerstack_rehearsal.assert_converted()


def test_what_cannot_be_expected_is_refused(partnerstack_rehearsal: Rehearsal) -> None:
    """A misspelt field is a mistake of the test, and named."""
    with pytest.raises(TypeError, match=r"e_mail: no conversion has that; there are .*email"):
        partnerstack_rehearsal.assert_converted("acme", e_mail="jo@acme.com")


def test_the_fake_breaks_down_and_recovers(
    partnerstack_client: ReferredClient,
    partnerstack_fake: FakePartnerStack,
    partnerstack_rehearsal: Rehearsal,
    partnerstack_clock: FrozenClock,
) -> None:
    """A signup during an outage is delivered after it, as soon as the clock says so."""
    partnerstack_fake.stop()
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_not_converted()
    partnerstack_fake.start()
    partnerstack_clock.tick(hours=1)
    assert partnerstack_rehearsal.deliver() == 1
    partnerstack_rehearsal.assert_converted("acme")


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"hang": True}, {"delay": 3600}])
def test_faults_keep_no_test_waiting(
    partnerstack_client: ReferredClient,
    partnerstack_fake: FakePartnerStack,
    partnerstack_rehearsal: Rehearsal,
    fault: dict[str, Any],
) -> None:
    """A fault that would make its client wait is over at once; no answer is no answer."""
    partnerstack_fake.fault(times=1, **fault)
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    entry = partnerstack_rehearsal.entry("acme")
    assert entry is not None
    assert entry.status is (Status.DELIVERED if "delay" in fault else Status.PENDING)


def test_a_lost_answer_is_looked_up(
    partnerstack_client: ReferredClient,
    partnerstack_fake: FakePartnerStack,
    partnerstack_rehearsal: Rehearsal,
    partnerstack_clock: FrozenClock,
) -> None:
    """What was taken without an answer is found, and not sent again."""
    partnerstack_fake.script({"drop": "after", "times": 1})
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    partnerstack_clock.tick(days=1)
    partnerstack_rehearsal.deliver()
    assert [look["status"] for look in partnerstack_fake.lookups()] == [200]
    partnerstack_rehearsal.assert_converted("acme")


def test_an_answer_that_says_nothing_is_looked_up_by_a_pair_that_has_found_somebody(
    partnerstack_client: ReferredClient,
    partnerstack_fake: FakePartnerStack,
    partnerstack_rehearsal: Rehearsal,
    partnerstack_clock: FrozenClock,
) -> None:
    """In an empty ledger no "no such customer" is believed; once somebody was found, two are."""
    earlier = partnerstack_rehearsal.client()
    earlier.arrive("ann")
    sign_up(earlier, "globex")
    partnerstack_clock.tick(hours=1)
    partnerstack_rehearsal.deliver()  # globex is looked up, and found

    partnerstack_fake.fault(status=500, times=1)
    partnerstack_client.arrive("ann")
    sign_up(partnerstack_client)
    for _ in range(2):
        partnerstack_clock.tick(hours=1)
        partnerstack_rehearsal.deliver()
    partnerstack_rehearsal.assert_converted("acme")


def test_the_fake_remembers_until_it_is_told_to_forget(
    partnerstack_client: ReferredClient, partnerstack_fake: FakePartnerStack
) -> None:
    """Clicks, requests and customers are there to be asked for."""
    partnerstack_client.arrive("ann")
    sign_up(partnerstack_client)
    assert [click["partner_key"] for click in partnerstack_fake.clicks()] == ["ann"]
    assert [one["customer_key"] for one in partnerstack_fake.customers()] == ["acme"]
    partnerstack_fake.clear()
    assert partnerstack_fake.clicks() == partnerstack_fake.received() == []


def test_a_senseless_fault_is_named() -> None:
    """A mistake in a fault is said in the sandbox's own words."""
    fake = FakePartnerStack()
    with pytest.raises(ValueError, match="statsu: no such field"):
        fake.fault(statsu=503)
    fake.fault(status=503)
    fake.clear_faults()


def test_the_sandbox_is_reached_over_its_sockets(
    partnerstack_client: ReferredClient,
    partnerstack_sandbox: SandboxProcess,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """The same test against the sandbox crosses the real transport."""
    partnerstack_client.arrive("ann")
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_converted("acme", partner_key="ann")
    (received,) = partnerstack_sandbox.received()
    assert received["headers"]["Host"] in partnerstack_sandbox.url


@pytest.mark.parametrize("time", ["first", "second"])
def test_the_shared_sandbox_is_whole_for_each_test(
    partnerstack_sandbox: SandboxProcess, time: str
) -> None:
    """A test finds it running, without faults and empty, whatever the test before did to it."""
    assert partnerstack_sandbox.running
    assert partnerstack_sandbox.faults() == {"conversion": [], "api": []}
    assert partnerstack_sandbox.clicks() == []
    partnerstack_sandbox.follow(partnerstack_sandbox.link("ann"))
    partnerstack_sandbox.fault(status=503)
    with pytest.raises(ValueError, match="to: expected an http"):
        partnerstack_sandbox.follow(partnerstack_sandbox.link("ann", "ftp://example.com"))
    if time == "first":
        partnerstack_sandbox.stop()


def test_signals_are_captured(
    partnerstack_client: ReferredClient, partnerstack_signals: CapturedSignals
) -> None:
    """Every fact that the app told is there, in order, by name."""
    assert repr(partnerstack_signals) == "<CapturedSignals: none>"
    partnerstack_client.arrive("ann")
    sign_up(partnerstack_client)
    assert partnerstack_signals.names == [
        "referral_captured",
        "conversion_recorded",
        "conversion_delivered",
    ]
    (delivered,) = partnerstack_signals.of("conversion_delivered")
    assert delivered.entry is not None
    assert delivered.entry.customer_key == "acme"
    assert (partnerstack_signals[-1], partnerstack_signals[2:]) == (delivered, [delivered])
    assert "conversion_delivered(entry=" in str(partnerstack_signals[2])
    with pytest.raises(ValueError, match=r"expected one of .*conversion_recorded"):
        partnerstack_signals.of("recorded")
    partnerstack_signals.clear()
    assert len(partnerstack_signals) == 0


def test_the_clock_decides_what_a_click_earns(
    partnerstack_client: ReferredClient,
    partnerstack_clock: FrozenClock,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """After the attribution window a click earns nothing, without waiting for it."""
    partnerstack_client.arrive()
    partnerstack_clock.tick(days=91)
    sign_up(partnerstack_client)
    partnerstack_rehearsal.assert_not_converted()
    assert partnerstack_rehearsal.entry("acme") is None


def test_a_clock_without_a_zone_is_refused() -> None:
    """A moment that cannot be compared with others is a mistake."""
    for now in (datetime(2026, 3, 1), "2026-03-01"):
        with pytest.raises(ValueError, match="aware"):
            FrozenClock(now)  # type: ignore[arg-type]
    assert repr(FrozenClock()).startswith("<FrozenClock at 2")


class TestWithoutAKeyPair:
    """Where an app has none, and a rehearsal shall have none either."""

    @pytest.fixture
    def partnerstack_config(self) -> dict[str, object]:
        return {"PUBLIC_KEY": None, "SECRET_KEY": None}

    def test_an_answer_that_says_nothing_is_asked_for_again(
        self,
        partnerstack_client: ReferredClient,
        partnerstack_fake: FakePartnerStack,
        partnerstack_rehearsal: Rehearsal,
        partnerstack_clock: FrozenClock,
    ) -> None:
        """It is sent again after half an hour, and nobody is looked up."""
        partnerstack_fake.fault(status=500, times=1)
        partnerstack_client.arrive("ann")
        sign_up(partnerstack_client)
        partnerstack_clock.tick(hours=1)
        partnerstack_rehearsal.deliver()
        partnerstack_rehearsal.assert_converted("acme")
        assert partnerstack_fake.lookups() == []


class TestWithOtherConfiguration:
    """Where a module or class overrides ``partnerstack_config``."""

    @pytest.fixture
    def partnerstack_config(self) -> dict[str, object]:
        return {"ATTRIBUTION_WINDOW": 7, "XID_PARAMS": ("click",)}

    def test_configuration_can_be_another(
        self, partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
    ) -> None:
        """The rehearsal's configuration is laid over the app's, for capturing as well."""
        state = get_state(partnerstack_rehearsal.app)
        assert state.settings.attribution_window == timedelta(days=7)
        partnerstack_client.get("/?click=Kvx64pph9uhCju")
        sign_up(partnerstack_client)
        partnerstack_rehearsal.assert_converted("acme", xid="Kvx64pph9uhCju")

    def test_a_link_is_read_by_other_parameters(
        self, partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
    ) -> None:
        """A link's click is in the app's own parameter, with all that the link says beside it."""
        page = partnerstack_client.arrive("bob", "/?plan=team", sid2="news")
        assert page.text == "Welcome, friend of bob"
        assert page.request.args["plan"] == "team"
        sign_up(partnerstack_client)
        partnerstack_rehearsal.assert_converted("acme", partner_key="bob", sub_ids=["news"])


def test_what_is_no_app_is_refused(app: Flask) -> None:
    """A fixture that gives an app and something else is told the one to override."""
    both: Any = (app, "db")
    with pytest.raises(TypeError, match=r"got tuple\. .* partnerstack_app"), rehearse(both):
        raise AssertionError


@pytest.mark.parametrize("typed", ["ATRIBUTION", "attribution", "PARTNERSTACK_ATTRIBUTION"])
def test_a_key_that_is_none_is_refused(app: Flask, typed: str) -> None:
    """A rehearsal does not go on without what it was told, as an app does with a WARNING."""
    config: dict[str, Any] = {typed: "first"}
    with (
        pytest.raises(ConfigurationError, match=rf"^{typed}: .* Did you mean ATTRIBUTION\?"),
        rehearse(app, **config),
    ):
        raise AssertionError


def test_a_bad_key_of_the_rehearsal_is_named(app: Flask) -> None:
    """A mistake in the rehearsal's configuration is one like any other."""
    with pytest.raises(ConfigurationError, match="PARTNERSTACK_LEASE"), rehearse(app, LEASE=1):
        pass


def test_afterwards_the_app_is_what_it_was(app: Flask) -> None:
    """A rehearsal leaves nothing behind: neither in the app nor in its ledger."""
    before = get_state(app)
    with rehearse(app) as rehearsal:
        visitor = rehearsal.client()
        visitor.arrive()
        sign_up(visitor)
        assert get_state(app) is not before
    assert get_state(app) is before
    assert before.ledger.entries() == []
    before.ledger.close()


@pytest.mark.parametrize("misplaced", [{"follow_redirects": True}, {"headers": {}}, {"sid100": ""}])
def test_what_no_partner_appends_is_refused(
    partnerstack_client: ReferredClient, misplaced: dict[str, Any]
) -> None:
    """An argument of the client's get is no parameter of a link, where it would be lost."""
    with pytest.raises(TypeError, match=r"request=\{"):
        partnerstack_client.arrive("ann", **misplaced)


def test_the_landing_page_is_asked_for_as_the_test_says(
    partnerstack_client: ReferredClient,
) -> None:
    """Headers and host of the landing are the test's to choose."""
    request = {"headers": {"User-Agent": "the test's"}, "base_url": "https://shop.acme.com"}
    landing = partnerstack_client.arrive("ann", request=request, utm_campaign="spring").request

    assert landing.headers["User-Agent"] == "the test's"
    assert landing.url.startswith("https://shop.acme.com/?")


def test_any_client_can_arrive(app: Flask) -> None:
    """Who has a test client of their own brings that by a link; a path it is to be."""
    with rehearse(app) as rehearsal:
        client = app.test_client()
        page = arrive(client, rehearsal.partnerstack, "bob", "/pricing", version=1)
        assert page.text == "Welcome, friend of bob"
        for landing in ("pricing", "/our pricing", "/pricing\n"):
            with pytest.raises(ValueError, match=r"^landing: expected a path"):
                arrive(client, rehearsal.partnerstack, "bob", landing)


def test_a_link_of_no_kind_is_none(partnerstack_client: ReferredClient) -> None:
    """What was typed is named, and not what it is called in the link."""
    with pytest.raises(ValueError, match=r"^version: expected 1 or 2, got 3$"):
        partnerstack_client.arrive(version=3)


def test_nobody_has_no_link(partnerstack_client: ReferredClient) -> None:
    """A partner has a name, and what leads nowhere is no partner's link."""
    with pytest.raises(ValueError, match=r"partner: expected a partner's key, like 'ann', got ''"):
        partnerstack_client.arrive("")
    with pytest.raises(ValueError, match="not found"):
        partnerstack_client.partnerstack.follow("http://localhost/nowhere")


def test_the_apps_own_client_class_is_kept(app: Flask) -> None:
    """A client class that logs in, say, still does."""

    class Member(FlaskClient):
        def __init__(self, *args: object, member: str, **options: object) -> None:
            super().__init__(*args, **options)
            self.member = member

    app.test_client_class = Member
    with rehearse(app) as rehearsal:
        client = rehearsal.client(member="jo")
        assert isinstance(client, Member)
        assert client.member == "jo"
        assert client.arrive("ann").status_code == 200


def test_an_app_without_the_extension_is_diagnosed() -> None:
    """What was forgotten is said."""
    with pytest.raises(NotInitialized, match="init_app"), rehearse(Flask("bare")):
        pass


def test_an_app_that_is_switched_off_is_not_rehearsed(make_app: Callable[..., Flask]) -> None:
    """With ENABLED=False nothing is captured, and no assertion could tell why."""
    app = make_app(ENABLED=False)
    with pytest.raises(ConfigurationError, match="PARTNERSTACK_ENABLED"), rehearse(app):
        pass


def test_loading_the_plugin_costs_nothing() -> None:
    """Every pytest of the environment loads it: that imports neither Flask nor SQLAlchemy."""
    heavy = ("flask", "flask_partnerstack", "sqlalchemy", "requests", "werkzeug")
    code = (
        "import sys, pytest_flask_partnerstack; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout == "[]\n"


def run_pytest(folder: Path, conftest: str, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_pytest_finds_the_plugin_by_itself(tmp_path: Path) -> None:
    """In any project of the environment the fixtures are there, and a pytest without them is
    no heavier for it.
    """
    conftest = "import sys\nLOADED = [n for n in ('flask', 'sqlalchemy') if n in sys.modules]\n"
    test = "from conftest import LOADED\ndef test_light():\n    assert LOADED == []\n"
    ran = run_pytest(tmp_path, conftest, test)
    assert ran.returncode == 0, ran.stdout
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q", tmp_path],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    for name in ("app", "clock", "config", "rehearsal", "fake", "sandbox", "client", "signals"):
        assert f"partnerstack_{name}" in listed.stdout


def test_a_project_without_an_app_is_told_what_is_missing(tmp_path: Path) -> None:
    """The failure is one sentence with the way out."""
    ran = run_pytest(tmp_path, "", "def test_x(partnerstack_client):\n    pass\n")
    assert "Write a fixture called app" in ran.stdout, ran.stdout


def test_what_the_fixture_itself_lacks_is_not_the_app(tmp_path: Path) -> None:
    """An ``app`` that asks for what is not there fails in pytest's own words."""
    conftest = "import pytest\n@pytest.fixture\ndef app(databse):\n    pass\n"
    ran = run_pytest(tmp_path, conftest, "def test_x(partnerstack_client):\n    pass\n")
    assert "fixture 'databse' not found" in ran.stdout, ran.stdout
    assert "Write a fixture called app" not in ran.stdout


def test_fake_and_sandbox_are_not_both_in_one_place(tmp_path: Path) -> None:
    """A test that asks for both is told to choose."""
    conftest = "import flask, pytest\n@pytest.fixture\ndef app():\n    return flask.Flask('x')\n"
    test = "def test_x(partnerstack_fake, partnerstack_sandbox):\n    pass\n"
    ran = run_pytest(tmp_path, conftest, test)
    assert "partnerstack_fake or partnerstack_sandbox" in ran.stdout, ran.stdout


def test_a_sandbox_that_is_asked_for_too_late_is_refused(
    request: pytest.FixtureRequest, partnerstack_rehearsal: Rehearsal
) -> None:
    """By getfixturevalue() it was the fake that came, under the sandbox's name."""
    assert isinstance(partnerstack_rehearsal.partnerstack, FakePartnerStack)
    with pytest.raises(pytest.fail.Exception, match=r"before a FakePartnerStack\. .* too late"):
        request.getfixturevalue("partnerstack_sandbox")


# --- second steps -------------------------------------------------------------------------------


def test_a_customer_is_verified_when_it_was_looked_up(
    partnerstack_client: ReferredClient,
    partnerstack_clock: FrozenClock,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """Recorded and delivered is not enough to pay on: it is verified when it was seen there."""
    partnerstack_client.arrive()
    sign_up(partnerstack_client)
    with partnerstack_rehearsal.app.app_context():
        assert not is_verified("acme")
        partnerstack_clock.tick(hours=1)
        partnerstack_rehearsal.deliver()
        assert is_verified("acme")
        assert not is_verified("nobody")
        get_state(partnerstack_rehearsal.app).ledger.erase("acme")
        assert not is_verified("acme")


@pytest.fixture
def testers() -> FakePartnerStack:
    return FakePartnerStack(SandboxSettings(test=True))


def test_who_is_verified_is_told(app: Flask, testers: FakePartnerStack) -> None:
    """Each hook hears of a customer once it is verified, and not of a test customer."""
    told: list[str] = []
    partnerstack = PartnerStack()

    @partnerstack.when_verified
    def fail(_entry: Entry) -> None:
        raise RuntimeError("a mistake of the app's")

    @partnerstack.when_verified
    def pay(entry: Entry) -> None:
        told.append(f"{entry.customer_key} at {current_app.name}")

    other = Flask("other", instance_path=app.instance_path)
    partnerstack.init_app(other)
    for stand_in, key in ((FakePartnerStack(), "acme"), (testers, "globex")):
        with rehearse(other, stand_in) as rehearsal, other.app_context():
            partnerstack.track_conversion(key, xid="Kvx64pph9uhCju")
            rehearsal.clock.tick(hours=1)
            assert told == ["acme at other"] * (key == "globex")
            rehearsal.deliver()
            assert partnerstack.is_verified(key) is (key == "acme")
    assert told == ["acme at other"]


def test_asking_without_a_key_pair_is_said_once(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can be verified then; the log says what is missing, and does not repeat it."""
    with make_app().app_context():
        assert not is_verified("acme")
        assert not is_verified("acme")
    assert caplog.text.count("PARTNERSTACK_PUBLIC_KEY") == 1


def test_asking_for_an_impossible_customer_is_a_mistake(app: Flask) -> None:
    """A key that nobody can have is refused where it is asked for."""
    with app.app_context(), pytest.raises(InvalidConversion, match="customer_key"):
        is_verified("")
