"""``PartnerStack``: factories, several apps, bad configuration, and what is sent when testing."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.wire import Response
from tests.kit import LANDING
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack

MakeApp = Callable[..., Flask]


def sign_up(app: Flask, key: str = "acme") -> Entry | None:
    with app.test_request_context(f"/signup?{LANDING}"):
        return track_conversion(key)


def test_the_constructor_registers_the_app(tmp_path: Path) -> None:
    """``PartnerStack(app)`` and ``init_app(app)`` are the same."""
    app = Flask("app", instance_path=str(tmp_path))
    PartnerStack(app)
    assert "partnerstack" in app.extensions


def test_registering_opens_and_starts_nothing(tmp_path: Path) -> None:
    """Neither a database nor a thread, because reloaders and shells build apps, too."""
    before = threading.active_count()
    PartnerStack(Flask("app", instance_path=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_registering_twice_is_refused(app: Flask) -> None:
    """A second ``init_app`` on one app would hook everything twice: it raises."""
    with pytest.raises(RuntimeError, match=r"'app0'.*before"):
        PartnerStack().init_app(app)


@pytest.mark.parametrize("built", [True, False])
def test_templates_are_the_apps_to_set_up(tmp_path: Path, built: bool) -> None:
    """Jinja is made when the app first needs it, with what it has set by then and with ours."""
    app = Flask("app", instance_path=str(tmp_path))
    if built:
        assert app.jinja_env
    PartnerStack(app)
    app.config["TEMPLATES_AUTO_RELOAD"] = True
    assert built or app.jinja_env.auto_reload
    assert {"partnerstack_snippet", "partnerstack_capture"} <= app.jinja_env.globals.keys()
    assert "decorate_url" in app.jinja_env.filters


def test_two_apps_of_one_object_share_nothing(
    tmp_path: Path, clock: Clock, transport: ScriptedTransport
) -> None:
    """One extension object, two apps: each has its configuration, its ledger, its visitors."""
    partnerstack = TravellingPartnerStack(clock, transport)
    one = Flask("one", instance_path=str(tmp_path / "one"))
    two = Flask("two", instance_path=str(tmp_path / "two"))
    for app, engine in ((one, "none"), (two, "inline")):
        app.config.update(PARTNERSTACK_TOKEN=app.name, PARTNERSTACK_ENGINE=engine)
        app.config["PARTNERSTACK_XID_PARAMS"] = f"{app.name}_click"
        partnerstack.init_app(app)
    with two.test_request_context("/?two_click=ClickOfTheSecond&one_click=ClickOfTheFirst"):
        entry = track_conversion("acme")
    assert entry is not None
    assert entry.xid == "ClickOfTheSecond"
    assert [r.headers["Authorization"] for r in transport.requests] == ["Bearer two"]
    assert get_state(one).ledger.entries() == []
    for app in (one, two):
        get_state(app).ledger.close()


def test_an_app_that_is_dropped_is_let_go(tmp_path: Path) -> None:
    """The extension keeps no app alive: test-suites build thousands."""
    partnerstack = PartnerStack()
    app = Flask("app", instance_path=str(tmp_path))
    partnerstack.init_app(app)
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None


def test_a_hook_that_knows_its_app_keeps_it_no_longer(tmp_path: Path) -> None:
    """Nor does what hears of the app's signals: nothing of either is left behind."""
    gc.collect()
    before = len(signals.conversion_verified.receivers)
    app = Flask("app", instance_path=str(tmp_path))
    partnerstack = PartnerStack(app)
    partnerstack.skip_if(lambda _, app=app: app.config.get("STAFF"))
    reference = weakref.ref(app)
    del app, partnerstack
    gc.collect()
    assert reference() is None
    assert len(signals.conversion_verified.receivers) == before


def test_inline_delivers_in_the_request(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """With ENGINE="inline" the conversion is delivered when the call comes back."""
    app = make_app(ENGINE="inline")
    sign_up(app)
    assert get_state(app).ledger.get("acme").status is Status.DELIVERED
    assert len(transport.requests) == 1


def test_the_default_engine_delivers_in_the_background(make_app: MakeApp) -> None:
    """A thread of the process that recorded delivers, and the fate is signalled from there."""
    app = make_app(ENGINE="thread")
    heard = threading.Event()

    def receive(sender: Flask, entry: Entry) -> None:
        if sender is app and entry.status is Status.DELIVERED:
            heard.set()

    with signals.conversion_delivered.connected_to(receive):
        sign_up(app)
        assert heard.wait(10.0)


def test_the_first_request_wakes_the_engine(make_app: MakeApp) -> None:
    """Any request does, so that a restarted process finds what was left behind."""
    app = make_app(ENGINE="thread")
    engine = get_state(app).engine
    assert not engine.awake
    app.test_client().get("/nowhere")
    assert engine.awake


def test_fates_are_signalled_with_their_facts(
    make_app: MakeApp, transport: ScriptedTransport
) -> None:
    """Postponed says until when, buried says why; the app context is there for receivers."""
    app = make_app(ENGINE="inline")
    heard: dict[str, object] = {}

    def postponed(_sender: Flask, entry: Entry, due: object) -> None:
        heard["due"] = due == entry.due_at and get_state().ledger.get("acme") == entry

    def buried(_sender: Flask, entry: Entry, reason: str) -> None:
        heard["buried"] = (entry.customer_key, reason)

    transport.answers = [Response(429, {"Retry-After": "60"}), Response(200), Response(400)]
    with (
        signals.conversion_postponed.connected_to(postponed),
        signals.conversion_buried.connected_to(buried),
    ):
        sign_up(app, "acme")
        sign_up(app, "good")
        sign_up(app, "other")
    assert heard["due"] is True
    assert heard["buried"] == ("other", "rejected: HTTP 400: turned away for good")


# --- testing ------------------------------------------------------------------------------------


def test_nothing_leaves_the_machine_while_testing(
    make_app: MakeApp, transport: ScriptedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """``app.testing``, set after the factory: parked with the reason, said, and sent nowhere."""
    app = make_app(ENGINE="inline")
    app.testing = True
    sign_up(app)
    entry = get_state(app).ledger.get("acme")
    assert (entry.status, entry.reason, entry.due_at) == (Status.PENDING, "testing", None)
    assert transport.requests == []
    assert "testing" in caplog.text


def test_what_a_test_recorded_is_sent_by_nobody_else(
    make_app: MakeApp, transport: ScriptedTransport, tmp_path: Path
) -> None:
    """A worker that polls the same ledger is not under test, and may be there first."""
    shared = {"LEDGER_URL": f"sqlite:///{tmp_path}/shared.db"}
    tested, worker = make_app(ENGINE="none", **shared), make_app(ENGINE="none", **shared)
    get_state(worker).ledger.init()
    tested.testing = True
    sign_up(tested)
    assert get_state(worker).dispatcher.run_pass() == 0
    assert transport.requests == []


def test_the_sandbox_is_spoken_to_while_testing(
    make_app: MakeApp, transport: ScriptedTransport
) -> None:
    """A loopback host is where tests are meant to send."""
    app = make_app(ENGINE="inline", CONVERSION_URL="http://127.0.0.1:8787/conversion/xid")
    app.testing = True
    sign_up(app)
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("api_url", "sent"),
    [({}, []), ({"API_URL": "http://127.0.0.1:8787"}, ["POST", "GET"])],
    ids=["the real one", "the sandbox"],
)
def test_a_look_up_while_testing_stays_on_this_machine(
    make_app: MakeApp,
    transport: ScriptedTransport,
    clock: Clock,
    api_url: dict[str, str],
    sent: list[str],
) -> None:
    """With a key pair, both hosts are spoken to: one of them elsewhere, and nothing is sent."""
    pair = {"PUBLIC_KEY": "pk_a", "SECRET_KEY": "sk_b"}
    app = make_app(CONVERSION_URL="http://127.0.0.1:8787/conversion/xid", **pair, **api_url)
    app.testing = True
    sign_up(app)
    for _ in range(2):
        get_state(app).dispatcher.run_pass()
        clock.now += timedelta(hours=1)
    assert [request.method for request in transport.requests] == sent


# --- start-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [("TOKEN", "sk_live"), ("ENGINE", "celerry"), ("LEDGER_URL", "nonsense"), ("TIMEOUT", "fast")],
)
def test_a_bad_value_stops_the_start(make_app: MakeApp, key: str, value: str) -> None:
    """The error comes from ``init_app`` and names the key as it was typed."""
    with pytest.raises(ConfigurationError, match=f"PARTNERSTACK_{key}"):
        make_app(**{key: value})


@pytest.mark.parametrize("queue", ["celery", "rq"])
def test_a_queue_that_is_not_installed_stops_the_start(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    """The error names the key and the extra to install."""
    monkeypatch.delitem(sys.modules, f"flask_partnerstack.{queue}", raising=False)
    monkeypatch.setitem(sys.modules, queue, None)
    with pytest.raises(ConfigurationError, match=rf"PARTNERSTACK_ENGINE.*\[{queue}\]"):
        make_app(ENGINE=queue)


def test_a_queue_beside_a_ledger_in_a_file_is_warned_of(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker on another machine would look into a file of its own, and find nothing."""
    make_app(ENGINE="celery")
    assert "Set PARTNERSTACK_LEDGER_URL to a database." in caplog.text
    caplog.clear()
    make_app(ENGINE="celery", LEDGER_URL="postgresql+psycopg://app@127.0.0.1/ledger")
    assert "LEDGER_URL" not in caplog.text


def test_an_instance_folder_that_cannot_be_stops_the_start(tmp_path: Path) -> None:
    """A ledger that could never be written is found at start-up, not at the first signup."""
    (tmp_path / "file").write_text("in the way")
    app = Flask("app", instance_path=str(tmp_path / "file" / "instance"))
    with pytest.raises(ConfigurationError, match=r"PARTNERSTACK_LEDGER_URL.*instance_path"):
        PartnerStack(app)


def test_a_ledger_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """Something else in the ledger's place is found at start-up, too."""
    (tmp_path / "partnerstack.db").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        PartnerStack(Flask("app", instance_path=str(tmp_path)))


def test_a_file_of_another_users_is_blamed_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that root ran has made the ledger; its folder is as it should be."""
    (tmp_path / "partnerstack.db").touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write to every file
    with pytest.raises(ConfigurationError) as caught:
        PartnerStack(Flask("app", instance_path=str(tmp_path)))
    assert f"the ledger's file {tmp_path / 'partnerstack.db'} cannot" in caught.value.expected
    assert "chown" in caught.value.expected


def test_a_folder_as_the_ledger_is_called_one(make_app: MakeApp, tmp_path: Path) -> None:
    """A LEDGER_URL that names a folder is told so, with a file in it; its parent is not blamed."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(LEDGER_URL=f"sqlite:///{tmp_path}")
    assert caught.value.expected.startswith(
        f"the ledger's file {tmp_path} cannot be written: it is"
    )
    assert f"sqlite:///{tmp_path}/partnerstack.db" in caught.value.expected


def test_the_start_says_where_the_ledger_lies(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """One INFO line with the place; a password in it is hidden."""
    caplog.set_level(logging.INFO)
    make_app(LEDGER_URL="postgresql+psycopg://app:hunter2@127.0.0.1/ledger")
    assert "The ledger lies at postgresql+psycopg://app:***@127.0.0.1/ledger." in caplog.text
    assert "hunter2" not in caplog.text


def test_a_ledger_in_memory_is_warned_of(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """What will not outlive the process is said to."""
    make_app(LEDGER_URL="sqlite://")
    assert "will not outlive" in caplog.text


def test_no_token_is_said_at_the_start(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The first log lines say that conversions will be parked, and by which key."""
    make_app(TOKEN=None)
    assert "PARTNERSTACK_TOKEN is not set" in caplog.text


@pytest.mark.parametrize("attribution", ["first", "last"])
@pytest.mark.parametrize("samesite", ["Strict", "Lax"])
def test_first_click_that_no_landing_page_sees_is_warned_of(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, attribution: str, samesite: str
) -> None:
    """A Strict cookie stays away from a partner's link, so each click is taken for the first."""
    make_app(ATTRIBUTION=attribution, COOKIE_SAMESITE=samesite)
    said = [r for r in caplog.records if "PARTNERSTACK_COOKIE_SAMESITE" in r.getMessage()]
    hit = attribution == "first" and samesite == "Strict"
    assert [record.levelname for record in said] == ["WARNING"] * hit


@pytest.mark.parametrize("attribution", ["first", "last"])
@pytest.mark.parametrize("path", ["/app", "/"])
def test_first_click_that_some_landing_pages_do_not_see_is_warned_of(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, attribution: str, path: str
) -> None:
    """A page outside of the cookie's path knows no earlier click, so the last one counts there."""
    make_app(ATTRIBUTION=attribution, COOKIE_PATH=path)
    said = [r for r in caplog.records if 'PARTNERSTACK_COOKIE_PATH is "/app"' in r.getMessage()]
    hit = attribution == "first" and path == "/app"
    assert [record.levelname for record in said] == ["WARNING"] * hit


@pytest.mark.parametrize(
    "name", ["file:/tmp/ledger.db?uri=true", "file::memory:?uri=true", "file:ledger.db"]
)
def test_a_uri_of_sqlites_is_refused(make_app: MakeApp, name: str) -> None:
    """The app does not start, and is told what to write in its place; no such file is made."""
    with pytest.raises(ConfigurationError, match=r"PARTNERSTACK_LEDGER_URL: .*URI.*Name the file"):
        make_app(LEDGER_URL=f"sqlite:///{name}")


def test_switched_off_is_said_once(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """ENABLED=False is said at the start and asks for no folder."""
    app = make_app(ENABLED=False)
    app.test_client().get("/")
    assert caplog.text.count("PARTNERSTACK_ENABLED is False") == 1
    assert not Path(app.instance_path).exists()


def test_conversions_flow_when_the_token_is_there(
    tmp_path: Path, clock: Clock, transport: ScriptedTransport
) -> None:
    """What was parked without a token is delivered after a restart with one."""
    without = Flask("app", instance_path=str(tmp_path))
    without.config["PARTNERSTACK_ENGINE"] = "none"
    TravellingPartnerStack(clock, transport).init_app(without)
    sign_up(without)
    get_state(without).ledger.close()

    restarted = Flask("app", instance_path=str(tmp_path))
    restarted.config.update(PARTNERSTACK_ENGINE="none", PARTNERSTACK_TOKEN="t0ken")
    TravellingPartnerStack(clock, transport).init_app(restarted)
    state = get_state(restarted)
    assert state.dispatcher.run_pass() == 1
    entry = state.ledger.get("acme")
    assert (entry.status, entry.reason) == (Status.DELIVERED, None)
    state.ledger.close()


SIGNING_UP = """
import logging, sys
from flask import Flask
from flask_partnerstack import PartnerStack, track_conversion
app = Flask("app", instance_path=sys.argv[1])
app.config.update(PARTNERSTACK_TOKEN="t", PARTNERSTACK_ENGINE="none")
PartnerStack(app)
with app.test_request_context("/signup"):
    assert track_conversion("acme", xid="h8pb9E7TZK6YMO") is not None
print([name for name in sys.argv[2:] if name in sys.modules])
"""


def test_a_signup_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """Another database's dialect, the ORM and the queues are loaded by whoever has chosen them."""
    others = [f"sqlalchemy.dialects.{name}" for name in ("postgresql", "mysql")]
    heavy = [*others, "sqlalchemy.orm", "celery", "rq", "redis", "prometheus_client"]
    ran = subprocess.run(
        [sys.executable, "-c", SIGNING_UP, str(tmp_path), *heavy],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"
