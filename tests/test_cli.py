"""The ``flask partnerstack`` commands: their output, their exit codes, their bad input."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import FlaskGroup

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.cli.output import moment
from flask_partnerstack.cli.setting_up import _say_where
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.wire import Response
from tests.kit import ScriptedTransport
from tests.kit import run

MakeApp = Callable[..., Flask]


def record(app: Flask, *keys: str) -> None:
    with app.app_context():
        for key in keys:
            track_conversion(key, xid="h8pb9E7TZK6YMO", email="jo@acme.com")


def test_the_group_is_found_by_its_entry_point(app: Flask) -> None:
    """``flask partnerstack`` is there without the app doing anything, and lists its commands."""
    result = run(app, "--help")
    assert result.exit_code == 0
    commands = ["check", "deliver", "init-db", "list", "sandbox", "show", "status", "worker"]
    assert all(command in result.output for command in commands)


def test_init_db_furnishes_a_named_ledger(make_app: MakeApp) -> None:
    """The command that the error names is the one that helps; twice does no harm."""
    app = make_app(LEDGER_URL="sqlite:///mine.db")
    assert "Made the tables" in run(app, "init-db").output
    assert "Checked the tables" in run(app, "init-db").output
    record(app, "acme")


def test_status_adds_up(app: Flask, transport: ScriptedTransport) -> None:
    """Every state with its count, their sum, and since when somebody waits."""
    record(app, "one", "two", "three")
    transport.answers = [Response(200), Response(400)]
    run(app, "deliver")
    record(app, "four")
    lines = [line.split() for line in run(app, "status").output.splitlines()]
    counted = {line[0]: line[1] for line in lines if len(line) == 2}
    assert counted["delivered"] == "2"
    assert (counted["pending"], counted["dead"], counted["all"]) == ("1", "1", "4")
    assert lines[-1][:2] == ["Oldest", "undelivered:"]


def test_status_says_that_there_is_no_token(make_app: MakeApp) -> None:
    """Nothing is delivered, since when and why is one line."""
    app = make_app(TOKEN=None)
    record(app, "acme")
    get_state(app).dispatcher.take(1)
    output = run(app, "status").output
    assert "Delivery is paused since 2026-03-01 12:00:00Z: PARTNERSTACK_TOKEN is not set" in output


def test_status_says_that_delivery_is_paused(app: Flask, transport: ScriptedTransport) -> None:
    """Since when, why, and when it is tried again."""
    record(app, "acme")
    transport.answers = [Response(401)] * 2
    run(app, "deliver")
    output = run(app, "status").output
    assert "Delivery is paused since 2026-03-01 12:00:00Z: HTTP 401" in output
    assert "Next probe: 2026-03-01 12:00:02Z, after 0 so far." in output


def test_list_shows_entries_newest_first(app: Flask) -> None:
    """One line each, under headings; filters by state and partner; the e-mail is not shown."""
    record(app, "one", "two")
    lines = run(app, "list", "--status", "pending").output.splitlines()
    assert lines[0].startswith("ID  CUSTOMER  STATUS")
    assert [line.split()[1] for line in lines[1:]] == ["two", "one"]
    assert "jo@acme.com" not in "".join(lines)
    assert len(run(app, "list", "--partner", "ann").output.splitlines()) == 1
    assert len(run(app, "list", "--limit", "1").stdout.splitlines()) == 2


def test_list_says_that_there_is_more(app: Flask) -> None:
    """A list that the limit cut does not look like a whole one."""
    record(app, "a", "b")
    assert "There are more" not in run(app, "list", "--limit", "2").stderr
    assert "There are more: raise --limit" in run(app, "list", "--limit", "1").stderr


def test_show_has_one_sign_for_what_is_not_known(app: Flask) -> None:
    """As ``list`` has it: a dash, and no word of Python's."""
    record(app, "a")
    shown = run(app, "show", "a").output
    assert "settled_at    -" in shown
    assert "None" not in shown


def test_list_refuses_an_unknown_state(app: Flask) -> None:
    """A mistyped state is answered with those that there are."""
    result = run(app, "list", "--status", "lost")
    assert result.exit_code == 2
    assert "'pending', 'delivered', 'verified', 'dead', 'skipped'" in result.output


def test_show_has_the_entry_and_its_trail(app: Flask, transport: ScriptedTransport) -> None:
    """All that is known of one customer's conversion, each attempt with its answer."""
    record(app, "good", "acme")
    transport.answers = [Response(200), Response(400, body=b"unknown xid")]
    run(app, "deliver")
    output = run(app, "show", "acme").output
    assert "status        dead" in output
    assert "rejected  400" in output
    assert "unknown xid" in output


@pytest.mark.parametrize("command", ["show", "requeue"])
def test_an_unknown_customer_is_one_line(app: Flask, command: str) -> None:
    """No traceback: an error line that names the key, and exit code 1."""
    result = run(app, command, "nobody")
    assert (result.exit_code, result.output) == (
        1,
        "Error: The ledger has no entry for the customer key 'nobody'.\n",
    )


@pytest.mark.parametrize("command", ["show", "requeue", "erase"])
def test_an_unknown_customers_address_is_masked(app: Flask, command: str) -> None:
    """A customer key may be an e-mail address, and what a command says is often kept in a log."""
    result = run(app, command, "jo@acme.com")
    assert "no entry for the customer key 'j***@acme.com'" in result.output


def test_requeue_says_that_a_token_is_waited_for(make_app: MakeApp) -> None:
    """What is due and waits for that alone is not told to wait for its time."""
    app = make_app(TOKEN=None)
    record(app, "acme")
    result = run(app, "requeue", "acme")
    assert result.exit_code == 1
    assert "Entry 1 is pending, and waits for a token: set PARTNERSTACK_TOKEN." in result.stderr


def test_requeue_says_when_an_entry_that_is_pending_has_its_time(
    app: Flask, transport: ScriptedTransport
) -> None:
    """Nothing is to be done for it, so whoever would like it sooner is told when it is tried."""
    transport.answers = [Response(429, headers={"Retry-After": "3600"})]
    record(app, "acme")
    get_state(app).dispatcher.run_pass()
    due = moment(get_state(app).ledger.get("acme").due_at)
    result = run(app, "requeue", "acme")
    assert (result.exit_code, f"by itself at {due} or soon after" in result.stderr) == (1, True)


def test_requeue_makes_a_dead_entry_due(app: Flask, transport: ScriptedTransport) -> None:
    """Buried, put right, requeued, delivered."""
    record(app, "good", "acme")
    transport.answers = [Response(200), Response(400)]
    run(app, "deliver")
    assert "dead" in run(app, "show", "acme").output
    assert run(app, "requeue", "acme").output == "Entry 2 is pending and due now.\n"
    assert run(app, "deliver").output == "Dealt with 1 entry.\n"
    assert run(app, "requeue", "acme").exit_code == 1


def test_requeue_takes_many_at_once(make_app: MakeApp) -> None:
    """All that are dead, or parked, or only one partner's, or for one reason."""
    app = make_app()
    with app.app_context():
        for partner in ("ann", "bob"):
            track_conversion(partner, referral=Referral("h8pb9E7TZK6YMO", partner_key=partner))
    ledger = get_state(app).ledger
    for claim in ledger.claim(2):
        ledger.bury(claim, reason=f"rejected for {claim.entry.partner_key}")
    assert run(app, "requeue", "--all", "--partner", "cid").output == "0 entries due now.\n"
    assert run(app, "requeue", "--all", "--reason", "for ann").output == "1 entry due now.\n"
    assert run(app, "requeue", "--all", "--status", "parked").output == "0 entries due now.\n"
    assert run(app, "requeue", "--all").output == "1 entry due now.\n"


@pytest.mark.parametrize("arguments", [[], ["acme", "--all"]])
def test_requeue_wants_one_or_all(app: Flask, arguments: list[str]) -> None:
    """Neither, or both, is a mistake, and exit code 2."""
    result = run(app, "requeue", *arguments)
    assert result.exit_code == 2
    assert "Name one CUSTOMER_KEY, or give --all." in result.output


@pytest.mark.parametrize("option", ["--status=dead", "--partner=ann", "--reason=rejected"])
def test_requeue_of_one_takes_no_choice(
    app: Flask, bury: Callable[[Flask, str], None], option: str
) -> None:
    """What chooses among many is refused beside one customer, and not passed over."""
    bury(app, "acme")
    result = run(app, "requeue", "acme", option)
    assert result.exit_code == 2
    assert f"Error: {option.partition('=')[0]}: expected with --all only" in result.stderr
    assert get_state(app).ledger.get("acme").status is Status.DEAD


def test_requeue_of_what_is_due_says_who_sends_it(app: Flask) -> None:
    """What is due needs no person, and is not told to wait for its time."""
    record(app, "acme")
    result = run(app, "requeue", "acme")
    assert result.exit_code == 1
    assert "Entry 1 is pending and due already: " in result.stderr


def test_deliver_runs_one_pass(app: Flask, transport: ScriptedTransport) -> None:
    """For cron: what is due is delivered, and the command ends."""
    record(app, "one", "two")
    assert run(app, "deliver").output == "Dealt with 2 entries.\n"
    assert run(app, "deliver").output == "Dealt with 0 entries.\n"
    assert len(transport.requests) == 2


@pytest.mark.parametrize("command", ["deliver", "worker"])
def test_nothing_can_be_delivered_without_a_token(make_app: MakeApp, command: str) -> None:
    """A cron job that can never deliver says so with its exit code."""
    result = run(make_app(TOKEN=None), command)
    assert result.exit_code == 1
    assert "PARTNERSTACK_TOKEN is not set" in result.output


def test_a_ledger_that_is_away_is_one_line(make_app: MakeApp) -> None:
    """The database's reason and the way out, and no traceback."""
    result = run(make_app(LEDGER_URL="sqlite:///mine.db"), "status")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The ledger at sqlite:///")
    assert "flask partnerstack init-db" in result.output


# --- check --------------------------------------------------------------------------------------


def test_check_is_content_with_a_good_setup(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything in order: exit code 0 and not one warning."""
    monkeypatch.setattr("flask_partnerstack.ledger.place.in_container", lambda: False)
    monkeypatch.setattr("flask_partnerstack.doctor.ledger.file_system_of", lambda _path: "ext4")
    result = run(make_app(ENGINE="thread"), "check")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"ok"}


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({"TOKEN": None}, 1, "error   PARTNERSTACK_TOKEN is not set."),
        ({"ENABLED": False}, 0, "warning PARTNERSTACK_ENABLED is False."),
        ({"ENGINE": "none"}, 0, "flask partnerstack worker"),
        ({"LEDGER_URL": "sqlite:///mine.db"}, 1, "flask partnerstack init-db"),
        ({"LEDGER_URL": "sqlite://"}, 0, "warning The ledger will not outlive"),
        ({"CONVERSION_URL": "http://127.0.0.1/x"}, 0, "warning PARTNERSTACK_CONVERSION_URL"),
    ],
)
def test_check_says_what_is_wrong_and_the_way_out(
    make_app: MakeApp, config: dict[str, object], code: int, said: str
) -> None:
    """Each finding in words; an error is exit code 1."""
    result = run(make_app(**config), "check")
    assert result.exit_code == code
    assert said in result.output


def test_check_speaks_where_the_app_would_not_start(tmp_path: Path) -> None:
    """An instance folder that cannot be stops the app, but not the command that explains it."""
    (tmp_path / "file").write_text("in the way")

    def create_app() -> Flask:
        app = Flask("app", instance_path=str(tmp_path / "file" / "instance"))
        PartnerStack(app)
        return app

    from click.testing import CliRunner

    group = FlaskGroup(create_app=create_app)
    result = CliRunner().invoke(group, ["partnerstack", "check"])
    assert result.exit_code == 1
    assert "error   The ledger cannot be used." in result.output
    assert "cannot be written" in result.output


@pytest.mark.parametrize(("command", "starts"), [("run", False), ("routes", True)])
def test_only_flask_run_insists_on_the_folder(tmp_path: Path, command: str, starts: bool) -> None:
    """``flask run`` stops at a folder that cannot be; other commands load the app and log it."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "from flask_partnerstack import PartnerStack\n"
        f"app = Flask('site', instance_path={str(tmp_path / 'file' / 'x')!r})\n"
        "PartnerStack(app)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop", command, *["-p", "0"][: 2 * (not starts)]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode == 0) is starts
    assert "PARTNERSTACK_LEDGER_URL" in ended.stderr


@pytest.mark.parametrize(("command", "said"), [("status", 0), ("check", 1), ("worker", 1)])
def test_only_who_serves_or_checks_says_what_a_start_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str, said: int
) -> None:
    """Above each answer of a command that looks, the warnings of a start would be noise."""

    def create_app() -> Flask:
        app = Flask("app", instance_path=str(tmp_path))
        app.config["PARTNERSTACK_LEDGER_URL"] = "sqlite://"
        PartnerStack(app)
        return app

    from click.testing import CliRunner

    result = CliRunner().invoke(FlaskGroup(create_app=create_app), ["partnerstack", command])
    assert result.output.count("will not outlive") + caplog.text.count("will not outlive") == said


# --- the long-running ones ----------------------------------------------------------------------

SITE = """
from flask import Flask
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
app = Flask("site", instance_path={instance!r})
app.config.update(PARTNERSTACK_TOKEN="sandbox-token", PARTNERSTACK_CONVERSION_URL={url!r})
PartnerStack(app)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_delivers_until_it_is_stopped(tmp_path: Path, number: int) -> None:
    """In a process of its own it delivers what another recorded, and ends cleanly."""
    with SandboxProcess() as sandbox:
        site = SITE.format(instance=str(tmp_path), url=sandbox.conversion_url)
        (tmp_path / "shop.py").write_text(site)
        worker = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "shop", "partnerstack", "worker"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("Delivering from sqlite:///")
        namespace: dict[str, Flask] = {}
        exec(site, namespace)  # the same site, in this process
        namespace["app"].config["PARTNERSTACK_ENGINE"] = "none"
        state = get_state(namespace["app"])
        with namespace["app"].app_context():
            track_conversion("acme", xid="h8pb9E7TZK6YMO")
        while not sandbox.received():
            pass
        worker.send_signal(number)
        assert worker.wait(30) == 0
        assert worker.stdout.read().endswith("Stopped.\n")
        worker.stdout.close()
        state.engine.stop()
        state.ledger.close()
        assert [r["body"]["customer_key"] for r in sandbox.received()] == ["acme"]


def started(folder: Path, url: str, *command: str) -> subprocess.Popen[str]:
    """Start a command of a site in a process of its own, where two conversions wait."""
    site = SITE.format(instance=str(folder), url=url)
    site = site.replace("_TOKEN", "_ENGINE='none', PARTNERSTACK_TOKEN")
    (folder / "shop.py").write_text(site)
    namespace: dict[str, Flask] = {}
    exec(site, namespace)
    record(namespace["app"], "one", "two")
    get_state(namespace["app"]).ledger.close()
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "shop", "partnerstack", *command],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_deliver_is_stopped_between_two_sends(tmp_path: Path, number: int, code: int) -> None:
    """Stopped while it sends, it hears the answer and settles the entry; the next is not begun."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/conversion/xid"
        command = started(tmp_path, url, "deliver")
        sender, _ = server.accept()
        sender.recv(65536)
        command.send_signal(number)
        sender.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert command.wait(30) == code
        sender.close()
    assert command.stderr is not None
    assert "Stopped. Dealt with 1; what is done is done" in command.stderr.read()
    command.stderr.close()


ROTATED = """
import signal
signal.signal(signal.{name}, lambda *_: print("Logs reopened.", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_a_worker_goes_on_after_a_signal_of_the_apps_own(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Only what asks it to stop ends it, and not one that an app has its logs reopened by."""
    with SandboxProcess() as sandbox:
        site = SITE.format(instance=str(tmp_path), url=sandbox.conversion_url)
        (tmp_path / "shop.py").write_text(site + ROTATED.format(name=number.name))
        worker = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "shop", "partnerstack", "worker"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("Delivering from sqlite:///")
        worker.send_signal(number)
        assert worker.stdout.readline() == "Logs reopened.\n"
        _record_one(site)
        while not sandbox.received():
            assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        worker.stdout.close()


def _record_one(site: str) -> None:
    """Record in this process, by the same site, which delivers nothing here."""
    namespace: dict[str, Flask] = {}
    setting = 'app.config["PARTNERSTACK_ENGINE"] = "none"'
    exec(site.replace("PartnerStack(app)", f"{setting}\nPartnerStack(app)"), namespace)
    with namespace["app"].app_context():
        track_conversion("acme", xid="h8pb9E7TZK6YMO")
    get_state(namespace["app"]).ledger.close()


def test_the_sandbox_needs_no_app(tmp_path: Path) -> None:
    """``flask partnerstack sandbox`` serves without any app, and says where."""
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "flask", "partnerstack", "sandbox", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert sandbox.stdout is not None
    assert sandbox.stderr is not None
    assert "http://127.0.0.1:" in sandbox.stdout.readline()
    sandbox.send_signal(signal.SIGINT)
    assert sandbox.wait(30) == 0
    sandbox.stdout.close()
    sandbox.stderr.close()


def test_the_sandbox_stays_on_this_machine(app: Flask) -> None:
    """A host that is not loopback is refused as typed wrongly."""
    result = run(app, "sandbox", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "loopback" in result.output


def test_the_sandbox_names_the_option_for_another_port(app: Flask) -> None:
    """A port that another program has is named, with the way to one that is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(app, "sandbox", "--port", str(port))
    assert result.exit_code == 2
    assert f"Error: --port: {port} is in use by another program" in result.output
    assert "name another by --port, or 0 for a free one" in result.output


def test_move_takes_the_old_ledger_along(make_app: MakeApp) -> None:
    """What was copied is counted; the old ledger says where its entries went."""
    old, new = make_app(), make_app()
    record(old, "one", "two")
    record(new, "two")
    url = f"sqlite:///{old.instance_path}/partnerstack.db"
    output = run(new, "move", "--from", url).output
    assert "1 entry copied, 0 brought up to date, 1 there already." in output
    assert (
        "0 entries copied, 0 brought up to date, 0 there already."
        in run(new, "move", "--from", url).output
    )
    status = run(old, "status").output
    assert f"moved to {get_state(new).ledger.location}." in status
    assert "Next probe" not in status


def test_move_goes_on_after_ctrl_c(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the way out and exit code 130, and not with a traceback."""
    old, new = make_app(), make_app()
    record(old, "one")
    monkeypatch.setattr("flask_partnerstack.cli.moving.Move.run", _interrupted)
    result = run(new, "move", "--from", f"sqlite:///{old.instance_path}/partnerstack.db")
    assert result.exit_code == 130
    assert "Run it again: it goes on where it was." in result.output


def _interrupted(_move: object) -> None:
    raise KeyboardInterrupt


def test_move_says_how_far_it_is(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long move is no silent one."""
    monkeypatch.setattr("flask_partnerstack.cli.moving.SAY_EVERY", -1.0)
    old, new = make_app(), make_app()
    record(old, "one", "two")
    output = run(new, "move", "--from", f"sqlite:///{old.instance_path}/partnerstack.db").output
    assert "2 entries so far ..." in output


@pytest.mark.parametrize(
    ("url", "code"),
    [("foo", 2), ("sqlite:///oops.db", 2), ("postgresql+psycopg://127.0.0.1:1/x", 1)],
)
def test_move_tells_a_wrong_call_from_a_server_that_is_away(
    app: Flask, url: str, code: int
) -> None:
    """What cannot be a ledger is called wrongly; what cannot be reached is not."""
    result = run(app, "move", "--from", url)
    assert result.exit_code == code
    assert "Error: --from: " in result.stderr


def test_move_refuses_its_own_ledger(make_app: MakeApp) -> None:
    """The option is named as it was typed, and the ledger left as it is."""
    app = make_app()
    record(app, "one")
    result = run(app, "move", "--from", "sqlite:///partnerstack.db")
    assert result.exit_code == 1
    assert "Error: --from: it leads to the ledger that the app has now." in result.output
    assert "paused" not in run(app, "status").output


def test_the_sandbox_says_what_its_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The first lines have every variable that points an app at it, the key pair's, too."""
    _say_where("http://127.0.0.1:8787")
    said = capsys.readouterr().out
    for variable in (
        "PARTNERSTACK_TOKEN=sandbox-token",
        "PARTNERSTACK_PUBLIC_KEY=pk_sandbox",
        "PARTNERSTACK_SECRET_KEY=sk_sandbox",
        "PARTNERSTACK_SCRIPT_URL=http://127.0.0.1:8787/pr/js",
    ):
        assert variable in said
