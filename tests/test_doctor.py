"""``flask partnerstack check``: each thing that can be wrong, why it matters, the way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_partnerstack import PartnerStack
from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.doctor import Finding
from flask_partnerstack.doctor import examine
from flask_partnerstack.doctor.ledger import file_system_of
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import Unclear
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Filter
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Move
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import run

MakeApp = Callable[..., Flask]
PAIR = {"PUBLIC_KEY": "pk_a", "SECRET_KEY": "sk_b"}
MISSING = b'{"message": "no such customer", "status": 404}'


@pytest.fixture(autouse=True)
def on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server: whatever the tests' own folder lies on."""
    monkeypatch.setattr("flask_partnerstack.ledger.place.in_container", lambda: False)
    monkeypatch.setattr("flask_partnerstack.doctor.ledger.file_system_of", lambda _path: "ext4")
    for name in ("WEB_CONCURRENCY", "DYNO"):
        monkeypatch.delenv(name, raising=False)


def wrong(app: Flask, *, online: bool = False) -> list[Finding]:
    """Return what is not in order."""
    return [finding for finding in examine(app, online=online) if finding.level != "ok"]


def the(findings: list[Finding], words: str) -> Finding:
    """Return the one finding that has these words in it, having seen that it is whole."""
    (found,) = [finding for finding in findings if words in finding.what]
    if found.level != "ok":
        assert found.why, found
        assert found.way_out, found
    return found


def settled(app: Flask, key: str, *, test: bool) -> None:
    """Let a customer be found at PartnerStack."""
    with app.app_context():
        track_conversion(key, xid=XID, ip_address="198.51.100.7")
    ledger = get_state(app).ledger
    (claim,) = ledger.claim(1)
    attempt = Attempt(judged=Judgement.FOUND, reason="found by look-up")
    ledger.settle(claim, Status.VERIFIED, attempt, test=test)


def test_a_good_setup_has_nothing_wrong(make_app: MakeApp) -> None:
    """Not one warning, and each thing that was looked at is said."""
    findings = examine(make_app(ENGINE="thread", **PAIR))
    assert {finding.level for finding in findings} == {"ok"}
    assert len(findings) == 7


def test_check_as_json(make_app: MakeApp) -> None:
    """Each finding with its level, what, why and the way out, and whether all is well."""
    said = json.loads(run(make_app(TOKEN=None), "check", "--json").output)
    assert said["ok"] is False
    first = said["findings"][0]
    assert (first["level"], first["what"]) == ("error", "PARTNERSTACK_TOKEN is not set.")
    assert first["why"]
    assert first["way_out"]


def test_check_refuses_bad_input(app: Flask) -> None:
    """An option that is none is exit code 2."""
    assert run(app, "check", "--fix").exit_code == 2


# --- credentials ----------------------------------------------------------------------------------


def check_of(**config: object) -> Any:
    def create_app() -> Flask:
        app = Flask("app")
        app.config.update(config)
        PartnerStack(app)
        return app

    return CliRunner().invoke(FlaskGroup(create_app=create_app), ["partnerstack", "check"])


def test_the_wrong_kind_of_credential_is_a_finding() -> None:
    """The app does not start with it, but the doctor speaks, and without showing it."""
    result = check_of(PARTNERSTACK_TOKEN="sk_Vq7ZpTn3Wc9LrXk2")
    assert result.exit_code == 1
    assert "error   The app does not start: PARTNERSTACK_TOKEN" in result.output
    assert "token of the server-to-server integration" in " ".join(result.output.split())
    assert "Vq7ZpTn3Wc9LrXk2" not in result.output


def test_an_app_without_the_extension_is_a_finding() -> None:
    """No traceback where init_app was forgotten."""
    result = run(Flask("bare"), "check")
    assert result.exit_code == 1
    assert "PartnerStack is not there." in result.output
    assert "init_app" in result.output


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"TOKEN": None}, "PARTNERSTACK_TOKEN is not set"),
        ({"TOKEN": "sandbox-token"}, "is the sandbox's"),
    ],
)
def test_a_token_that_cannot_be_right(
    make_app: MakeApp, config: dict[str, object], words: str
) -> None:
    """None, or the sandbox's in earnest."""
    assert the(wrong(make_app(**config)), words).level == "error"


def test_a_token_that_was_denied(app: Flask, transport: ScriptedTransport) -> None:
    """What PartnerStack said of it is in the ledger, and so the doctor knows."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    transport.answers = [Response(401)]
    get_state(app).dispatcher.take(1)[0]()
    finding = the(wrong(app), "All delivery is paused")
    assert finding.level == "error"
    assert "HTTP 401" in finding.what


@pytest.mark.parametrize(
    ("tests", "level", "words"),
    [
        ([True], "warning", "all test customers"),
        ([True, False, False], "ok", "since entry 2"),
        ([False, True], "error", "Test and production are mixed: entry 2"),
        ([True, False, True], "error", "Test and production are mixed: entry 3"),
    ],
)
def test_test_and_production_mixed(app: Flask, tests: list[bool], level: str, words: str) -> None:
    """A rehearsal before is nothing; a test customer after a real one is."""
    for number, test in enumerate(tests):
        settled(app, f"customer-{number}", test=test)
    assert the(examine(app), words).level == level


# --- the ledger -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "variable", "words"),
    [("tmpfs", None, "is in memory"), ("ext4", "DYNO", "on Heroku"), ("ext4", None, None)],
)
def test_a_ledger_on_an_ephemeral_path(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    variable: str | None,
    words: str | None,
) -> None:
    """A file system in memory, and a host whose disk is new with each deploy."""
    monkeypatch.setattr("flask_partnerstack.doctor.ledger.file_system_of", lambda _path: kind)
    if variable:
        monkeypatch.setenv(variable, "web.1")
    found = [finding.what for finding in wrong(app) if "will not outlive" in finding.what]
    assert [words in what for what in found] == ([True] if words else [])  # type: ignore[operator]


@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="Linux says it there")
def test_file_systems_are_told_apart() -> None:
    """What Linux says of a folder is that of the nearest mount above it."""
    assert file_system_of(Path("/proc/self/status")) == "proc"
    assert file_system_of(Path("/")) not in (None, "proc")


def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be: what is lost, and where else it may lie."""
    (tmp_path / "file").write_text("in the way")
    app = Flask("app", instance_path=str(tmp_path / "there"))
    app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="inline")
    PartnerStack(app)
    object.__setattr__(
        get_state(app), "place", get_state(app).place.of("sqlite:///x.db", str(tmp_path / "file"))
    )
    assert the(wrong(app), "The ledger cannot be used").level == "error"


@pytest.mark.parametrize(("workers", "level"), [("", "warning"), ("1", "warning"), ("4", "error")])
def test_several_processes_on_a_ledger_in_memory(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, workers: str, level: str
) -> None:
    """Each has its own; an error where the environment says that there are several."""
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    finding = the(wrong(make_app(LEDGER_URL="sqlite://", ENGINE="inline")), "is in memory: each")
    assert finding.level == level


def test_nobody_delivers(app: Flask, clock: Clock) -> None:
    """What has been due for long shows that no worker runs, whichever it was to be."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    clock.now += timedelta(minutes=9)
    assert not [finding for finding in wrong(app) if "has waited" in finding.what]
    clock.now += timedelta(minutes=9)
    assert the(wrong(app), "has waited for 18 minutes").level == "error"


def test_nobody_delivers_since_there_is_a_token(
    make_app: MakeApp, clock: Clock, tmp_path: Path
) -> None:
    """The pause for want of one ends with the next delivery, which nobody makes."""
    url = f"sqlite:///{tmp_path}/shared.db"
    app = make_app(TOKEN=None, LEDGER_URL=url)
    get_state(app).ledger.init()
    with app.app_context():
        track_conversion("acme", xid=XID)
    get_state(app).dispatcher.run_pass()
    with_token = make_app(LEDGER_URL=url)
    assert get_state(with_token).ledger.outlook().pause is not None
    clock.now += timedelta(days=3)
    assert the(wrong(with_token), "has waited for 4320 minutes").level == "error"


def test_a_ledger_that_was_moved_does_not_go_on_by_itself(app: Flask, make_app: MakeApp) -> None:
    """Whoever still records there is told where to deliver from, and what to do."""
    new = get_state(make_app(LEDGER_URL="sqlite:///new.db")).ledger
    new.init()
    Move(get_state(app).ledger, new).run()
    found = the(wrong(app), "All delivery is paused")
    assert "delivered by nobody" in (found.why or "")
    assert "move there once more" in (found.way_out or "")


def test_a_ledger_that_can_only_be_read(app: Flask) -> None:
    """As a replica, or a role that may not insert: it is tried, and nothing stays of it."""
    ledger = get_state(app).ledger
    assert examine(app, online=False)
    assert ledger.count(Filter()) == 0
    with ledger.storage.write() as conn:
        conn.exec_driver_sql(
            "CREATE TRIGGER replica BEFORE INSERT ON partnerstack_entry "
            "BEGIN SELECT RAISE(ABORT, 'read-only'); END"
        )
    assert the(wrong(app), "The ledger cannot be used").level == "error"


def test_the_dead_are_pointed_at(app: Flask, bury: Callable[[Flask, str], None]) -> None:
    """Somebody has to look at them."""
    bury(app, "acme")
    assert the(wrong(app), "1 entry is dead").level == "warning"


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "host", "words"),
    [
        ("acme.com", "www.acme.com", None),
        (".acme.com", "acme.com:8000", None),
        ("bücher.example", "www.bücher.example", None),
        ("acme.com", "acme.com.", None),
        ("acme.com", "[2001:db8::1]:8000", "SERVER_NAME is 2001:db8::1"),
        ("acme.com", None, None),
        ("acme.com", "www.notacme.com", "SERVER_NAME is www.notacme.com"),
        ("app.acme.com", "www.acme.com", "SERVER_NAME is www.acme.com"),
        ("com", None, "no browser shares"),
        ("192.0.2.1", None, "no browser shares"),
    ],
)
def test_the_cookie_domain_against_the_host(
    make_app: MakeApp, domain: str, host: str | None, words: str | None
) -> None:
    """A domain that browsers refuse is seen before the first visitor."""
    app = make_app(COOKIE_DOMAIN=domain)
    app.config["SERVER_NAME"] = host
    found = [finding for finding in wrong(app) if "COOKIE_DOMAIN" in finding.what]
    assert [words in finding.what for finding in found] == ([True] if words else [])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("domain", "right"), [("app.acme.com", True), ("acme.com", True), ("app.acme.org", False)]
)
def test_the_cookie_domain_of_an_app_with_subdomains(
    make_app: MakeApp, domain: str, right: bool
) -> None:
    """An app that matches subdomains answers for those of SERVER_NAME, and may share one's."""
    app = make_app(COOKIE_DOMAIN=domain)
    app.subdomain_matching = True
    app.config["SERVER_NAME"] = "acme.com"
    assert (not any("COOKIE_DOMAIN" in finding.what for finding in wrong(app))) is right


@pytest.mark.parametrize("attribution", ["first", "last"])
@pytest.mark.parametrize("samesite", ["Strict", "Lax"])
def test_a_cookie_that_no_landing_page_sees(
    make_app: MakeApp, attribution: str, samesite: str
) -> None:
    """A Strict cookie makes "last" of "first", which is not what was asked for."""
    found = wrong(make_app(ATTRIBUTION=attribution, COOKIE_SAMESITE=samesite))
    if attribution == "first" and samesite == "Strict":
        assert the(found, "PARTNERSTACK_COOKIE_SAMESITE").level == "warning"
    else:
        assert not any("PARTNERSTACK_COOKIE_SAMESITE" in finding.what for finding in found)


@pytest.mark.parametrize("attribution", ["first", "last"])
@pytest.mark.parametrize("path", ["/app", "/"])
def test_a_cookie_that_landing_pages_elsewhere_do_not_see(
    make_app: MakeApp, attribution: str, path: str
) -> None:
    """A cookie for one path makes "last" of "first" on each landing page outside of it."""
    found = wrong(make_app(ATTRIBUTION=attribution, COOKIE_PATH=path))
    told = [finding.level for finding in found if f'COOKIE_PATH is "{path}"' in finding.what]
    assert told == ["warning"] * (attribution == "first" and path == "/app")


def test_a_proxy_that_is_known(app: Flask) -> None:
    """ProxyFix is found under other middleware."""
    assert "No ProxyFix" in the(examine(app), "ProxyFix").what
    fixed = ProxyFix(app.wsgi_app, x_for=1)
    app.wsgi_app = SimpleNamespace(app=fixed)  # type: ignore[method-assign,assignment]
    assert "ProxyFix is in place" in the(examine(app), "ProxyFix").what


@pytest.mark.parametrize(("address", "found"), [("10.0.0.3", 1), ("8.8.8.8", 0)])
def test_a_proxy_that_is_not(app: Flask, address: str, found: int) -> None:
    """Where all customers come from one network that nobody lives in, it is the proxy's."""
    with app.app_context():
        for number in range(3):
            track_conversion(f"customer-{number}", xid=XID, ip_address=address)
    assert len([f for f in wrong(app) if "private addresses" in f.what]) == found


# --- the engine -----------------------------------------------------------------------------------


def test_uwsgi_without_threads_is_named(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that truly runs is said, not the one that was asked for."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={}))
    finding = the(wrong(make_app(ENGINE="thread")), "RequestEngine")
    assert finding.level == "error"
    assert "--enable-threads" in finding.way_out


def test_celery_that_is_not_there(make_app: MakeApp) -> None:
    """Chosen, and never given to the app."""
    assert the(wrong(make_app(ENGINE="celery")), "is not there").level == "error"


def test_rq_that_is_not_there(make_app: MakeApp) -> None:
    """Likewise: nothing can be enqueued, and check does not say that all is well."""
    finding = the(wrong(make_app(ENGINE="rq")), 'rq.Queue in app.extensions["rq"], got nothing')
    assert finding.level == "error"


# --- the clock ------------------------------------------------------------------------------------


def test_the_databases_clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app's machine whose clock is elsewhere than the database's."""
    monkeypatch.setattr(Ledger, "clock_lead", lambda _self: timedelta(minutes=-5))
    assert "300 s behind" in the(wrong(app), "The database's clock").what


def test_a_clock_that_was_set_back(app: Flask, clock: Clock) -> None:
    """Entries of the future show it, also where the database has no clock."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    clock.now -= timedelta(hours=2)
    assert "7200 s ahead of" in the(wrong(app), "The newest entry is").what


# --- online ---------------------------------------------------------------------------------------


def test_online_asks_for_nobody(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """One GET for a customer that cannot exist; the pair is good, the token is left alone."""
    date = {"Date": format_datetime(clock.now)}
    transport.answers = [Response(404, date, MISSING)]
    result = run(make_app(ENGINE="inline", **PAIR), "check", "--online")
    assert result.exit_code == 0, result.output
    (request,) = transport.requests
    assert (request.method, request.body) == ("GET", b"")
    assert "/api/v2/customers/flask-partnerstack-check-" in request.url
    assert "ok      PartnerStack accepts the key pair." in result.output
    assert "warning The token was not tried" in result.output
    assert "clock and this machine's agree" in result.output


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (Response(401), "error", "does not accept the key pair"),
        (Response(403), "error", "does not accept the key pair"),
        (Response(500), "warning", "cannot be told"),
        (Unclear("read timeout"), "warning", "cannot be told"),
        (Response(404, body=b"<html>"), "warning", "cannot be told"),
    ],
)
def test_online_tells_no_from_perhaps(
    make_app: MakeApp, transport: ScriptedTransport, answer: Any, level: str, words: str
) -> None:
    """Only a clear no is an error."""
    transport.answers = [answer]
    assert the(wrong(make_app(**PAIR), online=True), words).level == level


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Sun, 01 Mar 2026 12:10:00 GMT", "600 s ahead of"),
        ("Sun, 01 Mar 2026 11:50:00 -0000", "600 s behind"),
        ("Sun, 01 Mar 2026 12:00:30 GMT", None),
        ("tomorrow", None),
    ],
)
def test_online_compares_the_clocks(
    make_app: MakeApp, transport: ScriptedTransport, date: str, words: str | None
) -> None:
    """By the answer's Date; garbage is forgiven."""
    transport.answers = [Response(404, {"date": date}, MISSING)]
    found = [f.what for f in wrong(make_app(**PAIR), online=True) if "clock" in f.what]
    assert [words in what for what in found] == ([True] if words else [])  # type: ignore[operator]


def test_online_says_nothing_of_a_token_that_is_not_there(
    make_app: MakeApp, transport: ScriptedTransport
) -> None:
    """That it is not set is said, and not that it was not tried as well."""
    transport.answers = [Response(404, body=MISSING)]
    said = [f.what for f in examine(make_app(TOKEN=None, **PAIR), online=True)]
    assert "PARTNERSTACK_TOKEN is not set." in said
    assert not [what for what in said if "tried" in what]


def test_online_says_when_the_token_was_accepted(app: Flask, transport: ScriptedTransport) -> None:
    """A conversion that was taken is the one proof there is; without a pair nothing is asked."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    get_state(app).dispatcher.run_pass()
    assert the(examine(app, online=True), "The token was accepted at 2026-03-01 12:00 UTC")
    assert [request.method for request in transport.requests] == ["POST"]


def test_online_says_what_it_can_without_a_ledger(make_app: MakeApp) -> None:
    """A ledger that cannot be used takes no finding away, and is one."""
    app = make_app(LEDGER_URL="postgresql+psycopg://root@127.0.0.1:1/none", **PAIR)
    plain, online = run(app, "check"), run(app, "check", "--online")
    assert (plain.exit_code, online.exit_code) == (1, 1)
    assert online.stdout.startswith(plain.stdout[:200])
    assert "Whether the token was ever accepted" in online.stdout


def test_online_asks_nobody_while_testing(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """An app under test sends nothing to any host but this one."""
    app = make_app(**PAIR)
    app.testing = True
    assert [f for f in wrong(app, online=True) if "PartnerStack is not asked" in f.what]
    assert transport.requests == []
