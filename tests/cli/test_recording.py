"""``track`` and ``import``: what was missed."""

from __future__ import annotations

import json
import logging
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_partnerstack import Conversion
from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.cli import progress
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.signals import conversion_recorded
from tests.kit import XID
from tests.kit import ScriptedTransport
from tests.kit import run

MakeApp = Callable[..., Flask]


def test_track_records_all_fields(app: Flask, transport: ScriptedTransport) -> None:
    """Each argument of track_conversion has its option, and all are delivered later."""
    fields = {
        "email": "jo@acme.com",
        "name": "Jo Doe",
        "provider_key": "cus_1",
        "origin": "acme.com",
        "ip_address": "198.51.100.7",
        "user_agent": "Lynx",
        "external_type": "trial",
    }
    options = [
        part for name, value in fields.items() for part in (f"--{name.replace('_', '-')}", value)
    ]
    more = ["--sub-id", "a", "--sub-id", "b", "--meta", '{"company": "Acme"}', "--partner", "ann"]
    result = run(app, "track", "acme", "--xid", XID, *options, *more)
    assert result.output == f"Recorded entry 1: customer acme, xid {XID}.\n"
    get_state(app).dispatcher.run_pass()
    (sent,) = transport.conversions
    wanted = {**fields, "sub_ids": ["a", "b"], "meta": {"company": "Acme"}}
    assert sent == {"customer_key": "acme", "xid": XID, **wanted}
    assert get_state(app).ledger.get("acme").partner_key == "ann"


def test_track_repairs_what_the_log_says(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ERROR line of a signup that could not be recorded has the command and its arguments."""
    from flask_partnerstack import set_customer
    from flask_partnerstack import track_signup

    @app.post("/signup")
    @track_signup
    def signup() -> str:
        set_customer("acme")
        return "welcome"

    def fail(*_args: object, **_kwargs: object) -> None:
        raise LedgerUnavailable("here", "disk full")

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "record", fail)
        app.test_client().post(f"/signup?ps_xid={XID}")
    assert f"customer acme, xid {XID}: " in caplog.text
    assert "Record it with: flask partnerstack track CUSTOMER_KEY --xid XID" in caplog.text
    assert run(app, "track", "acme", "--xid", XID).exit_code == 0
    assert get_state(app).ledger.get("acme").status is Status.PENDING


def test_track_twice_is_once(app: Flask) -> None:
    """Nothing is doubled, and the second time says what there is."""
    run(app, "track", "acme", "--xid", XID)
    result = run(app, "track", "acme", "--xid", "AnotherClick12")
    assert (result.exit_code, result.output) == (0, "Nothing to do: acme is entry 1, pending.\n")


@pytest.mark.parametrize("state", ["dead", "parked"])
def test_track_of_what_is_stuck_is_no_success(app: Flask, state: str) -> None:
    """Nobody sends it by itself, so whoever tracks it again is told why, and fails."""
    run(app, "track", "acme", "--xid", XID)
    ledger = get_state(app).ledger
    (claim,) = ledger.claim(1)
    (ledger.bury if state == "dead" else ledger.park)(claim, reason="HTTP 404")
    result = run(app, "track", "acme", "--xid", "AnotherClick12")
    said = f"Entry 1 is {state}, and will not be sent: HTTP 404.\n"
    assert (result.exit_code, result.output) == (1, said)


def test_track_as_json(app: Flask) -> None:
    """The entry, and whether it is new."""
    first, second = (
        json.loads(run(app, "track", "acme", "--xid", XID, "--json").output) for _ in range(2)
    )
    assert (first["customer_key"], first["xid"], first["new"]) == ("acme", XID, True)
    assert (second["id"], second["new"]) == (first["id"], False)


@pytest.fixture
def forgotten(app: Flask, bury: Callable[[Flask, str], None]) -> Ledger:
    """A ledger in which the customer "one" was given up, and then erased."""
    bury(app, "one")
    ledger = get_state(app).ledger
    ledger.erase("one")
    return ledger


def test_track_says_that_it_recorded_who_was_forgotten(app: Flask, forgotten: Ledger) -> None:
    """Who was given up and erased is recorded anew, and so it is said."""
    result = run(app, "track", "one", "--xid", XID)
    said = f"Recorded entry 1: customer one, xid {XID}.\n"
    assert (result.exit_code, result.output) == (0, said)
    assert forgotten.get("one").status is Status.PENDING


def test_track_names_who_was_delivered_and_forgotten(app: Flask) -> None:
    """The entry knows them no more, so they are called as whoever tracks them calls them."""
    run(app, "track", "acme", "--xid", XID)
    get_state(app).dispatcher.run_pass()
    get_state(app).ledger.erase("acme")
    result = run(app, "track", "acme", "--xid", XID)
    said = "Nothing to do: acme is entry 1, delivered and erased.\n"
    assert (result.exit_code, result.output) == (0, said)


def test_track_as_json_calls_who_was_forgotten_new(app: Flask, forgotten: Ledger) -> None:
    """Also for a script: as new as a customer whom nobody knew."""
    assert json.loads(run(app, "track", "one", "--xid", XID, "--json").output)["new"] is True


def test_import_records_who_was_forgotten(app: Flask, forgotten: Ledger) -> None:
    """A row of theirs is none that is known already."""
    result = run(app, "import", "-", "--commit", stdin=CSV)
    assert result.output == "Recorded 2 entries; 0 known already, 0 bad.\n"
    assert forgotten.get("one").status is Status.PENDING


def test_track_sends_nothing_itself(make_app: MakeApp, transport: ScriptedTransport) -> None:
    """A command that ends at once leaves the sending to the site; the app is as it was after."""
    app = make_app(ENGINE="inline")
    before = get_state(app)
    told = []
    with conversion_recorded.connected_to(lambda _app, entry: told.append(entry), sender=app):
        run(app, "track", "acme", "--xid", XID)
    assert transport.requests == []
    assert len(told) == 1
    assert get_state(app) is before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme"], "Missing option '--xid'"),
        (["acme", "--xid", "?"], "Error: --xid: expected PartnerStack's click ID"),
        (["acme", "--xid", "?", "--partner", "ann"], "--xid: expected PartnerStack's click ID"),
        (["", "--xid", XID], "Error: CUSTOMER_KEY: expected your own ID"),
        (["acme", "--xid", XID, "--ip-address", "home"], "Error: --ip-address: expected one IPv4"),
        (["acme", "--xid", XID, "--partner", "a\ab"], "Error: --partner: expected text without"),
        (["acme", "--xid", XID, "--sub-id", "a\ab"], "Error: --sub-id: expected text without"),
        (["acme", "--xid", XID, "--meta", "[1]"], "expected a JSON object"),
        (["acme", "--xid", XID, "--meta", "{"], "expected a JSON object"),
        (["acme", "--xid", XID, "--meta", "[" * 100_000], "expected a JSON object"),
    ],
)
def test_track_refuses_bad_input(app: Flask, arguments: list[str], said: str) -> None:
    """What was typed is named as it was typed, and nothing is written; exit code 2."""
    result = run(app, "track", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert get_state(app).ledger.entries() == []


def test_track_names_a_bad_argument_before_the_ledger(make_app: MakeApp) -> None:
    """Where its tables are not there either, what was typed is put right first."""
    result = run(make_app(LEDGER_URL="sqlite:///mine.db"), "track", "acme", "--xid", "1")
    assert result.exit_code == 2
    assert "Error: --xid: expected" in result.stderr


def test_track_says_when_nothing_can_be_recorded(make_app: MakeApp) -> None:
    """An app that is switched off records nothing, and the exit code says so."""
    result = run(make_app(ENABLED=False), "track", "acme", "--xid", XID)
    assert result.exit_code == 1
    assert "PARTNERSTACK_ENABLED is False" in result.output


# --- import ---------------------------------------------------------------------------------------

CSV = f"""customer_key,xid,email,partner_key,sub_ids
one,{XID},one@acme.com,ann,"[""a""]"
two,{XID},two@acme.com,,
"""


def test_import_is_a_rehearsal_first(app: Flask) -> None:
    """Without --commit it says what would be done, and writes nothing."""
    result = run(app, "import", "-", stdin=CSV)
    assert result.exit_code == 0
    assert "Would record 2 entries; 0 known already, 0 bad." in result.output
    assert "--commit" in result.output
    assert get_state(app).ledger.entries() == []


def test_import_records(app: Flask, tmp_path: Path) -> None:
    """With --commit every row is an entry; a file may begin as Excel begins it."""
    (tmp_path / "missed.csv").write_text(CSV, encoding="utf-8-sig")
    result = run(app, "import", str(tmp_path / "missed.csv"), "--commit")
    assert result.output == "Recorded 2 entries; 0 known already, 0 bad.\n"
    ledger = get_state(app).ledger
    said = ledger.conversion_of(ledger.get("one"))
    assert (said.email, said.partner_key, said.sub_ids) == ("one@acme.com", "ann", ("a",))


def test_import_twice_is_once(app: Flask) -> None:
    """Who is known is left alone, in the ledger and further down in the file."""
    run(app, "import", "-", "--commit", stdin=CSV)
    again = run(app, "import", "-", "--commit", stdin=CSV)
    assert again.output == "Recorded 0 entries; 2 known already, 0 bad.\n"
    doubled = CSV + f"three,{XID},,,\nthree,{XID},,,\n"
    assert "Would record 1 entry; 3 known" in run(app, "import", "-", stdin=doubled).output


BAD = f"""customer_key,xid,ip_address,meta
one,{XID},198.51.100.7,
two,?,,
,{XID},,
four,,,
five,{XID},home,
six,{XID},,not json
seven,{XID}

eight,{XID},,"{{""a"": 1}}"
"""


@pytest.mark.parametrize("delimiter", ["", ", ", '"', "\n"])
def test_import_refuses_what_cannot_stand_between_columns(app: Flask, delimiter: str) -> None:
    """One character, which neither begins a cell nor ends a line."""
    result = run(app, "import", "-", "--delimiter", delimiter, stdin=CSV)
    assert result.exit_code == 2
    assert "--delimiter: expected one character" in result.output


@pytest.mark.parametrize("commit", [[], ["--commit"]])
def test_import_names_bad_rows(app: Flask, commit: list[str]) -> None:
    """By line and field; the good rows count, and the exit code says that there are others."""
    result = run(app, "import", "-", *commit, stdin=BAD)
    assert result.exit_code == 1
    lines = [line.partition(": expected")[0] for line in result.stderr.splitlines()]
    assert [line.rpartition(": it is")[0] or line for line in lines] == [
        "line 3: xid",
        "line 4: customer_key",
        "line 5: xid",
        "line 6: ip_address",
        "line 7: meta",
        "line 8: row",
    ]
    assert "2 entries; 0 known already, 6 bad." in result.stdout
    assert len(get_state(app).ledger.entries()) == (2 if commit else 0)


def test_import_as_json(app: Flask) -> None:
    """The counts, and each bad row with line, field and what was expected."""
    said = json.loads(run(app, "import", "-", "--json", stdin=BAD).stdout)
    assert (said["committed"], said["new"], said["known"]) == (False, 2, 0)
    assert said["bad"][0]["line"] == 3
    assert said["bad"][0]["field"] == "xid"


def test_import_reads_on_after_a_byte_that_is_not_utf_8(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is a bad one, by the line that an editor shows, and all the others are recorded."""
    monkeypatch.setattr(progress, "IN_LOG", math.inf)  # how far it is, on a slow machine
    rows = [f"k{number},{XID},Jo\r\n".encode() for number in range(2, 2002)]
    rows[1499] = f"k1501,{XID},M\xfcller\r\n".encode("latin-1")
    path = tmp_path / "missed.csv"
    path.write_bytes(b"\xef\xbb\xbfcustomer_key,xid,name\r\n" + b"".join(rows))
    result = run(app, "import", str(path), "--commit")
    assert result.exit_code == 1
    assert result.stderr == "line 1501: name: expected UTF-8, got the byte 0xfc.\n"
    assert result.stdout == "Recorded 1999 entries; 0 known already, 1 bad.\n"
    assert get_state(app).ledger.counts()[Status.PENDING] == 1999


#: A row in two lines, one with an end that no cell has, and one whose cell does not end.
BROKEN = f"""customer_key,xid,meta
one,{XID},"{{
}}"
two,?,"{{
}}"
"three"!,{XID},
four,{XID},
"five,{XID},
six,{XID},
"""


def test_import_reads_on_after_a_row_that_is_no_csv(app: Flask) -> None:
    """A row is named by the line where it begins; one that swallows others says up to where."""
    result = run(app, "import", "-", "--commit", stdin=BROKEN)
    xid, wrong_end, no_end = result.stderr.splitlines()
    assert xid.startswith("line 4: xid: expected")
    assert wrong_end.startswith("line 6: row: this is not CSV: ")
    assert no_end.startswith("line 8: row: this is not CSV, up to line 9: ")
    assert result.stdout == "Recorded 2 entries; 0 known already, 3 bad.\n"
    assert [entry.customer_key for entry in get_state(app).ledger.entries()] == ["four", "one"]


def test_import_takes_a_bottomless_cell_for_a_bad_one(app: Flask) -> None:
    """JSON deeper than anything can read it spoils its own row only."""
    deep = "[" * 100_000
    result = run(app, "import", "-", stdin=f"customer_key,xid,meta\none,{XID},{deep}\ntwo,{XID},\n")
    assert result.stderr == 'line 2: meta: expected JSON, like {"company": "Acme"}.\n'
    assert "Would record 1 entry; 0 known already, 1 bad." in result.stdout


def test_import_says_what_is_done_when_the_ledger_goes_away(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stopped it is said, and how many had been recorded before."""
    record = Ledger.record

    def fail_on_two(ledger: Ledger, conversion: Conversion, **how: Any) -> object:
        if conversion.customer_key == "two":
            raise LedgerUnavailable("here", "disk full")
        return record(ledger, conversion, **how)

    monkeypatch.setattr(Ledger, "record", fail_on_two)
    result = run(app, "import", "-", "--commit", stdin=CSV)
    assert result.exit_code == 1
    assert result.stdout == "Recorded 1 entry; 0 known already, 0 bad.\n"
    assert "disk full" in result.stderr


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 2, "line 1: expected one column customer_key"),
        ("customer_key\none\n", 2, "line 1: expected one column xid"),
        ("customer_key,xid,e-mail\n", 2, "line 1: unknown column 'e-mail'"),
        ("customer_key;xid\n", 2, "between them, --delimiter"),
        ("customer_key,xid,xid\n", 2, "line 1: expected one column xid"),
        ("customer_key,xid,email,email\n", 2, "line 1: expected one column email, got 2."),
        ('customer_key,xid\n"one', 1, "this is not CSV"),
        ('"customer_key', 1, "line 1: this is not CSV"),
    ],
)
def test_import_refuses_what_is_no_table(app: Flask, text: str, code: int, said: str) -> None:
    """A file with a column that nobody knows, or one twice, is stopped at its first line."""
    result = run(app, "import", "-", stdin=text)
    assert result.exit_code == code
    assert said in result.output


def test_import_counts_what_hooks_skip(app: Flask) -> None:
    """The app's own vetoes hold for what is imported as well."""
    get_state(app).hooks.add_skip_if(lambda c: "staff" if c.customer_key == "two" else None)
    result = run(app, "import", "-", "--commit", stdin=CSV)
    assert "Recorded 1 entry" in result.output
    assert "1 entry skipped by the app's own hooks." in result.output


def test_import_stops_at_ctrl_c(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """What is done is done, it is said how much that is, and the exit code is 130."""
    caplog.set_level(logging.CRITICAL)

    def interrupt(_app: Flask, entry: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with conversion_recorded.connected_to(interrupt, sender=app):
        result = run(app, "import", "-", "--commit", stdin=CSV)
    assert result.exit_code == 130
    assert "Stopped. Imported 1; what is done is done" in result.stderr
    assert result.stdout == "Recorded 1 entry; 0 known already, 0 bad.\n"
    assert [entry.customer_key for entry in get_state(app).ledger.entries()] == ["one"]


def test_what_was_exported_can_be_imported(app: Flask, make_app: MakeApp) -> None:
    """Every field survives the way through a file, formulas included."""
    with app.app_context():
        track_conversion(
            "-7", xid=XID, email="jo@acme.com", name="=HYPERLINK(1)", sub_ids=["a"], meta={"b": 2}
        )
    csv = run(app, "export").output
    assert "'=HYPERLINK(1)" in csv
    other = make_app()
    assert run(other, "import", "-", "--commit", stdin=csv).exit_code == 0
    one, two = (
        a_ledger.conversion_of(a_ledger.get("-7"))
        for a_ledger in (get_state(app).ledger, get_state(other).ledger)
    )
    assert one == two
