"""``export``, ``prune`` and ``erase``: all of it, or none of it any more."""

from __future__ import annotations

import csv
import io
import json
import signal
import tracemalloc
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.exceptions import Exit
from flask import Flask

from benchmarks.ledger import fill
from flask_partnerstack import Entry
from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.cli import forgetting
from flask_partnerstack.cli.progress import LongWork
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import survey
from tests.kit import XID
from tests.kit import Clock
from tests.kit import run

MakeApp = Callable[..., Flask]


@pytest.fixture
def shop(app: Flask) -> Flask:
    """Two customers, both delivered."""
    with app.app_context():
        for key in ("one", "two"):
            track_conversion(key, xid=XID, email=f"{key}@acme.com", name="Jo, Doe")
    get_state(app).dispatcher.run_pass()
    return app


def test_export_as_csv(shop: Flask) -> None:
    """A line of headings, then each entry with what is reported of it, oldest first."""
    rows = list(csv.DictReader(io.StringIO(run(shop, "export").output)))
    assert [row["customer_key"] for row in rows] == ["one", "two"]
    assert (rows[0]["status"], rows[0]["email"]) == ("delivered", "one@acme.com")
    assert (rows[0]["name"], rows[0]["test"], rows[0]["due_at"]) == ("Jo, Doe", "", "")


def test_export_as_json_lines(shop: Flask) -> None:
    """One JSON object on each line, whatever a name holds."""
    lines = run(shop, "export", "--format", "jsonl").output.split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["email"] for line in lines] == ["one@acme.com", "two@acme.com"]


def test_export_into_a_file_of_some(shop: Flask, tmp_path: Path) -> None:
    """Chosen as list chooses."""
    path = tmp_path / "all.csv"
    assert run(shop, "export", "-o", str(path), "--customer", "two").output == ""
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    "arguments", [["--format", "xlsx"], ["--status", "lost"], ["-o", "/nowhere/at/all.csv"]]
)
def test_export_refuses_bad_input(app: Flask, arguments: list[str]) -> None:
    """An unknown format or state, or a file that cannot be."""
    result = run(app, "export", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output


def test_export_replaces_what_a_file_had(shop: Flask, tmp_path: Path) -> None:
    """A second export into one file is the whole of it."""
    path = tmp_path / "all.csv"
    for _ in range(2):
        assert run(shop, "export", "-o", str(path)).exit_code == 0
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_export_leaves_a_file_alone_that_it_has_nothing_for(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """A ledger that cannot be read costs nobody the export that they have."""
    path = tmp_path / "all.csv"
    path.write_text("of yesterday")
    assert run(make_app(LEDGER_URL="sqlite:///mine.db"), "export", "-o", str(path)).exit_code == 1
    assert path.read_text(encoding="utf-8") == "of yesterday"


def test_export_onto_a_full_disk_is_one_line(shop: Flask) -> None:
    """The system's reason and no traceback; exit code 1."""
    result = run(shop, "export", "-o", "/dev/full")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Nothing more can be read or written: [Errno 28] No space left on device.\n"
    )


def test_export_reads_a_few_at_once(shop: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pieces, nothing is missing and nothing doubled."""
    monkeypatch.setattr(survey, "CHUNK", 1)
    assert len(run(shop, "export").output.splitlines()) == 3


def test_export_stops_at_ctrl_c(shop: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines are written, it is said how many, and the exit code is 130."""
    stream = Ledger.stream

    def interrupted(*args: object) -> Iterator[object]:
        signal.raise_signal(signal.SIGINT)
        yield from stream(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "stream", interrupted)
    result = run(shop, "export")
    assert result.exit_code == 130
    assert "Stopped. Exported 1 of 2" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_export_tells_of_damage_what_there_is(shop: Flask) -> None:
    """An entry whose conversion cannot be read does not keep the others from being exported."""
    from flask_partnerstack.ledger.tables import entries

    with get_state(shop).ledger._database.write() as conn:
        conn.execute(entries.update().where(entries.c.customer_key == "one"), {"payload": "x"})
    rows = list(csv.DictReader(io.StringIO(run(shop, "export").output)))
    assert [(row["customer_key"], row["email"]) for row in rows] == [
        ("one", ""),
        ("two", "two@acme.com"),
    ]


# --- prune and erase ------------------------------------------------------------------------------


def test_prune_goes_by_retention(make_app: MakeApp, clock: Clock) -> None:
    """Those that were settled so long ago lose their personal data; a dry run counts them."""
    app = make_app(RETENTION=30)
    with app.app_context():
        track_conversion("acme", xid=XID, email="jo@acme.com")
    get_state(app).dispatcher.run_pass()
    assert run(app, "prune").output == "Pruned 0 entries.\n"
    clock.now += timedelta(days=30)
    assert run(app, "prune", "--dry-run").output == "Would prune 1 entry.\n"
    assert run(app, "prune").output == "Pruned 1 entry.\n"
    ledger = get_state(app).ledger
    assert ledger.conversion_of(ledger.get("acme")).email is None


@pytest.mark.parametrize(
    ("older_than", "count"), [("0", 2), ("1", 0), ("0h", 2), ("2w", 0), ("1d", 0)]
)
def test_prune_older_than(shop: Flask, older_than: str, count: int) -> None:
    """Days, or another unit, in the place of RETENTION."""
    said = json.loads(run(shop, "prune", "--older-than", older_than, "--json").output)
    assert said == {"pruned": count, "prunable": 0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PARTNERSTACK_RETENTION is not set. Give --older-than DAYS."),
        (["--older-than", "soon"], "expected days (90), or 12h, 90d, 2w."),
        (["--older-than", "-1"], "expected days (90)"),
        (["--older-than", "106000w"], "'106000w': expected 36500 days at most."),
    ],
)
def test_prune_wants_to_know_how_old(app: Flask, arguments: list[str], said: str) -> None:
    """Without RETENTION nothing is pruned by mistake; exit code 2."""
    result = run(app, "prune", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_prune_stops_at_ctrl_c(shop: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the batch under way; the rest is there for the next time."""
    prune = Ledger.prune

    def interrupted(ledger: Ledger, older_than: timedelta, *, limit: int) -> int:
        signal.raise_signal(signal.SIGINT)
        return prune(ledger, older_than, limit=limit)

    monkeypatch.setattr(forgetting, "BATCH", 1)
    monkeypatch.setattr(Ledger, "prune", interrupted)
    result = run(shop, "prune", "--older-than", "0")
    assert result.exit_code == 130
    assert "Stopped. Pruned 1 of 2" in result.stderr
    assert get_state(shop).ledger.prunable(timedelta(0)) == 1


def test_erase_empties_one_customer(shop: Flask) -> None:
    """The customer is gone from show, list and search; that PartnerStack is another is said."""
    result = run(shop, "erase", "one")
    assert result.exit_code == 0
    assert result.output.startswith("Entry 1 is erased; it is delivered.\nPartnerStack may know")
    assert json.loads(run(shop, "list", "--json", "--customer", "one").output) == []
    assert json.loads(run(shop, "show", "one", "--json").output)["customer_key"] == ""
    assert "customer_key  -\n" in run(shop, "show", "one").output


def test_erase_of_what_waits(app: Flask) -> None:
    """Who is not sent yet is not sent, which the app is told once; nobody else need be asked."""
    told: list[tuple[int, str]] = []

    def hear(_app: Flask, entry: Entry, reason: str) -> None:
        told.append((entry.id, reason))

    with app.app_context():
        track_conversion("acme", xid=XID)
    with signals.conversion_skipped.connected_to(hear, sender=app):
        assert run(app, "erase", "acme").output == "Entry 1 is erased; it is skipped.\n"
        assert json.loads(run(app, "erase", "acme", "--json").output)["status"] == "skipped"
    assert told == [(1, "erased")]


def test_erase_refuses(shop: Flask) -> None:
    """Nobody is not there (exit code 1); without a name it was called wrongly (2)."""
    assert run(shop, "erase", "nobody").exit_code == 1
    assert run(shop, "erase").exit_code == 2


# --- long work ------------------------------------------------------------------------------------


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, now and then; in a log each word is a line of its own."""
    seconds = iter(range(0, 100, 6))
    with LongWork("Pruned", 5, clock=lambda: float(next(seconds))) as work:
        for _ in range(5):
            work.advance()
    captured = capsys.readouterr()
    assert captured.err == "Pruned 2 of 5\nPruned 4 of 5\n"
    assert captured.out == ""


@pytest.fixture
def listens_to_ctrl_c() -> Iterator[None]:
    """A process that a shell puts in its background begins with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(second: signal.Signals) -> None:
    """After a SIGTERM, too; the exit code says what came first, and all is heard as before."""
    before = signal.getsignal(signal.SIGTERM)
    work = LongWork("Pruned")

    def interrupted() -> None:
        with work:
            signal.raise_signal(signal.SIGTERM)
            work.advance()
            signal.raise_signal(second)
            work.advance()

    with pytest.raises(Exit) as ended:
        interrupted()
    assert (ended.value.exit_code, work.done) == (143, 1)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_a_second_ctrl_c_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The first lets the bit under way be finished, the second does not; both are 130."""
    work = LongWork("Pruned")

    def interrupted() -> None:
        with work:
            signal.raise_signal(signal.SIGINT)
            work.advance()
            signal.raise_signal(signal.SIGINT)
            work.advance()

    with pytest.raises(Exit) as ended:
        interrupted()
    assert ended.value.exit_code == 130
    assert "Stopped. Pruned 1; what is done is done" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


#: Bytes of Python's that 100,000 entries may take on their way. A tenth of them is more.
FLAT = 8_000_000


def test_memory_is_flat_whatever_the_ledger_holds(
    app: Flask, tmp_path: Path, size: Callable[[int, int], int]
) -> None:
    """All entries are exported, and pruned, with a few of them in memory."""
    count = size(20_000, 100_000)
    ledger = get_state(app).ledger
    ledger.init()
    fill(ledger, count, now=get_state(app).clock())
    out = tmp_path / "all.jsonl"
    tracemalloc.start()
    try:
        assert run(app, "export", "--format", "jsonl", "-o", str(out)).exit_code == 0
        assert run(app, "prune", "--older-than", "1").exit_code == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with out.open(encoding="utf-8") as lines:
        assert sum(1 for _ in lines) == count
    assert out.stat().st_size > 500 * count
    assert peak < FLAT
    assert ledger.prunable(timedelta(days=1)) == 0
    assert ledger.counts()[Status.PENDING] > 0
