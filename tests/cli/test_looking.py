"""``status``, ``list``, ``show``: their JSON, and which entries they choose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup

from flask_partnerstack import Referral
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import run


@pytest.fixture
def shop(app: Flask, clock: Clock, transport: ScriptedTransport) -> Flask:
    """Three conversions, a day apart: delivered, dead and pending; by ann, bob and nobody."""
    transport.answers = [Response(200), Response(400, body=b"unknown xid")]
    for key, partner in (("one", "ann"), ("two", "bob"), ("three", None)):
        with app.app_context():
            referral = Referral(XID, partner_key=partner)
            track_conversion(key, referral=referral, email=f"{key}@acme.com", sub_ids=["a", "b"])
        if key == "two":
            get_state(app).dispatcher.run_pass()
        clock.now += timedelta(days=1)
    return app


def keys(app: Flask, *arguments: str) -> list[str]:
    listed = run(app, "list", "--json", *arguments)
    assert listed.exit_code == 0, listed.output
    return [entry["customer_key"] for entry in json.loads(listed.output)]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["three", "two", "one"]),
        (["--status", "dead"], ["two"]),
        (["--partner", "ann"], ["one"]),
        (["--customer", "TWO"], ["two"]),
        (["--customer", "one@acme"], ["one"]),
        (["--customer", XID], ["three", "two", "one"]),
        (["--customer", "bob"], ["two"]),
        (["--since", "2026-03-02"], ["three", "two"]),
        (["--until", "2026-03-02T12:00"], ["one"]),
        (["--since", "2026-03-02T12:00Z", "--until", "2026-03-03T12:00:00+00:00"], ["two"]),
        (["--since", "36h"], ["three"]),
        (["--since", "1w", "--limit", "1"], ["three"]),
        (["--customer", "nobody"], []),
    ],
)
def test_list_chooses(shop: Flask, arguments: list[str], found: list[str]) -> None:
    """By state, partner, customer and time, in any combination, newest first."""
    assert keys(shop, *arguments) == found


def test_list_says_all_of_an_entry(shop: Flask) -> None:
    """As JSON each field has its own name, moments are ISO 8601 and nothing is cut."""
    (entry,) = json.loads(run(shop, "list", "--json", "--status", "dead").output)
    assert entry["recorded_at"] == "2026-03-02T12:00:00+00:00"
    assert (entry["status"], entry["due_at"], entry["attempts"]) == ("dead", None, 1)


@pytest.mark.parametrize(
    "arguments", [["list", "--since", "999999w"], ["list", "--until", "36501d"]]
)
def test_longer_ago_than_there_are_dates_is_refused(app: Flask, arguments: list[str]) -> None:
    """What was typed is said back, with the most that there can be; exit code 2."""
    result = run(app, *arguments)
    assert result.exit_code == 2
    assert f"'{arguments[2]}': expected 36500 days at most." in " ".join(result.output.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "k\udcff"],
        ["erase", "k\udcff"],
        ["requeue", "k\udcff"],
        ["verify", "k\udcff"],
        ["track", "k\udcff", "--xid", XID],
        ["list", "--customer", "k\udcff"],
        ["list", "--partner", "k\udcff"],
        ["requeue", "--all", "--partner", "k\udcff"],
        ["requeue", "--all", "--reason", "k\udcff"],
    ],
)
def test_bytes_that_are_no_text_are_refused(app: Flask, arguments: list[str]) -> None:
    """No ledger has them, and no database could be asked; exit code 2."""
    result = run(app, *arguments)
    assert result.exit_code == 2
    assert "expected UTF-8." in result.output


@pytest.mark.parametrize("command", ["status", "list", "show", "export", "check"])
def test_what_cannot_be_said_is_one_line(tmp_path: Path, command: str) -> None:
    """Where a full disk takes the output the system's reason is told: no traceback, exit code 1."""
    (tmp_path / "shop.py").write_text(SITE)
    key = ["acme"][: command == "show"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "shop", "partnerstack", command, *key],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "Error: Nothing more can be read or written: [Errno 28] No space left on device.\n"
    )
    assert "Traceback" not in ended.stderr


SITE = f"""
from flask import Flask
from flask_partnerstack import PartnerStack, track_conversion
app = Flask("site", instance_path=__file__ + ".instance")
app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none")
PartnerStack(app)
with app.app_context():
    track_conversion("acme", xid={XID!r})
"""


def test_an_app_that_does_not_load_has_its_own_traceback() -> None:
    """A file that the app itself misses is not the command's to put in words."""

    def create_app() -> Flask:
        raise FileNotFoundError

    result = CliRunner().invoke(FlaskGroup(create_app=create_app), ["partnerstack", "status"])
    assert isinstance(result.exception, FileNotFoundError)


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("status", "flask_partnerstack.ledger.Ledger.counts"),
        ("list", "flask_partnerstack.ledger.Ledger.newest"),
        ("check", "flask_partnerstack.cli.checking.examine"),
    ],
)
def test_ctrl_c_is_exit_code_130(
    app: Flask, monkeypatch: pytest.MonkeyPatch, command: str, where: str
) -> None:
    """What looks and is stopped says so in one line, and ends as what works does."""

    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    result = run(app, command)
    assert (result.exit_code, result.stderr) == (130, "Stopped.\n")


@pytest.mark.parametrize("when", ["yesterday", "7", "2026-13-01", "-1d", ""])
def test_list_refuses_what_is_no_time(shop: Flask, when: str) -> None:
    """What was typed is said back, with what would be right; exit code 2."""
    result = run(shop, "list", "--since", when)
    assert result.exit_code == 2
    assert "expected a day (2026-03-01)" in " ".join(result.output.split())


def test_status_as_json(shop: Flask) -> None:
    """The counts, their sum, since when somebody waits, and no pause."""
    said = json.loads(run(shop, "status", "--json").output)
    assert said["conversions"]["dead"] == said["conversions"]["pending"] == 1
    assert (said["all"], said["pause"]) == (3, None)
    assert said["oldest_undelivered"] == "2026-03-03T12:00:00+00:00"


def test_status_as_json_says_the_pause(app: Flask, transport: ScriptedTransport) -> None:
    """Why, since when, and when it is tried again."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    transport.answers = [Response(401)]
    get_state(app).dispatcher.take(1)[0]()
    pause = json.loads(run(app, "status", "--json").output)["pause"]
    assert pause["cause"] == "denied"
    assert pause["since"] == "2026-03-01T12:00:00+00:00"


def test_show_has_all_that_is_reported(shop: Flask) -> None:
    """Beside the entry and its trail what PartnerStack is told; what is not known is left out."""
    output = run(shop, "show", "two").output
    assert "email         two@acme.com" in output
    assert "sub_ids       a, b" in output
    assert "user_agent" not in output


def test_show_has_custom_fields_as_they_are_reported(app: Flask) -> None:
    """``meta`` is the JSON that PartnerStack is told, and not Python's way of writing it."""
    with app.app_context():
        track_conversion("acme", xid=XID, meta={"seats": [1, None], "town": "Köln"})
    assert 'meta          {"seats": [1, null], "town": "Köln"}' in run(app, "show", "acme").output


@pytest.mark.parametrize("command", [["show", "\u202eacme"], ["list"]])
def test_what_a_form_was_sent_does_nothing_to_a_terminal(app: Flask, command: list[str]) -> None:
    """A character that turns the order of letters around is shown as Python escapes it."""
    with app.app_context():
        track_conversion("\u202eacme", xid=XID, name="Jo\u2066Doe")
    output = run(app, *command).output
    assert r"\u202eacme" in output
    assert all(line.isprintable() for line in output.splitlines())


def test_show_as_json(shop: Flask) -> None:
    """The entry, what is reported, and each line of the trail."""
    said = json.loads(run(shop, "show", "two", "--json").output)
    assert (said["customer_key"], said["email"], said["name"]) == ("two", "two@acme.com", None)
    (line,) = said["trail"]
    assert (line["judged"], line["status"], line["answer"]) == ("rejected", 400, "unknown xid")


def test_bad_input_of_the_others() -> None:
    """An option that is none, a number that is none: exit code 2 from click itself."""
    app = Flask("bare")
    for arguments in (["list", "--limit", "0"], ["status", "--xml"], ["show"]):
        assert run(app, *arguments).exit_code == 2


def test_a_damaged_conversion_is_shown_by_what_its_entry_knows(app: Flask) -> None:
    """What brought somebody to look at it is no reason not to show it; the trail is there too."""
    with app.app_context():
        track_conversion("acme", xid=XID, email="jo@acme.com")
    damage(app)
    get_state(app).dispatcher.run_pass()
    result = run(app, "show", "acme", "--json")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert (said["xid"], said["email"], said["status"]) == (XID, None, "dead")
    assert "unreadable" in said["trail"][0]["reason"]


def damage(app: Flask) -> None:
    with get_state(app).ledger.storage.write() as conn:
        conn.execute(entries.update(), {"payload": '{"v": 1, "customer_key"'})


def test_a_name_that_the_terminal_cannot_write(app: Flask) -> None:
    """Windows in a file, and old locales, have not every letter: those are spelled out."""
    with app.app_context():
        track_conversion("one", xid=XID, name="Zoë 日本")
    group = FlaskGroup(create_app=lambda: app)
    shown = CliRunner(charset="latin-1").invoke(group, ["partnerstack", "show", "one"])
    assert shown.exit_code == 0, shown.exception
    assert "Zoë \\u65e5\\u672c" in shown.output
