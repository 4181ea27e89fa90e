"""Commands in a ledger that was moved away: none says that something is done which is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import make_url

from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.ledger import Ledger
from tests.kit import XID
from tests.kit import ScriptedTransport
from tests.kit import run
from tests.servers import Servers

MakeApp = Callable[..., Flask]


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, make_app: MakeApp, servers: Servers) -> Flask:
    """The app after its move, to a file or to a server."""
    if request.param == "sqlite":
        return make_app()
    url = servers.empty("postgresql").render_as_string(hide_password=False)
    app = make_app(LEDGER_URL=url)
    assert run(app, "init-db").exit_code == 0
    return app


@pytest.fixture
def old(make_app: MakeApp, new: Flask) -> Flask:
    """The app before its move."""
    return moved_away(make_app, new)


def moved_away(make_app: MakeApp, new: Flask) -> Flask:
    """Return an app whose one customer, acme, went along to ``new``."""
    app = make_app()
    with app.app_context():
        track_conversion("acme", xid=XID, email="jo@acme.com", name="Jo Doe")
    (claim,) = ledger_of(app).claim(1)
    ledger_of(app).bury(claim, reason="HTTP 400")
    source = make_url(f"sqlite:///{app.instance_path}/partnerstack.db")
    assert "1 entry copied" in run(new, "move", "--from", str(source)).output
    return app


def ledger_of(app: Flask) -> Ledger:
    return get_state(app).ledger


@pytest.mark.parametrize("arguments", [["acme"], ["--all"], ["acme", "--json"]])
def test_requeue_is_refused_with_the_place(old: Flask, new: Flask, arguments: list[str]) -> None:
    """Nothing is sent from there, so nothing is due; in the new ledger it is."""
    result = run(old, "requeue", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"was moved to {ledger_of(new).location}." in result.stderr
    assert "requeue there" in result.stderr
    assert ledger_of(old).get("acme").status is Status.DEAD
    assert run(new, "requeue", "acme").exit_code == 0


def test_erase_says_that_it_is_half_done(old: Flask, new: Flask) -> None:
    """What is here is gone; that the new ledger has it is said, until it is erased there."""
    result = run(old, "erase", "acme")
    assert result.exit_code == 1
    assert f"was moved to {ledger_of(new).location}." in result.stderr
    assert "erased here only" in result.stderr
    assert ledger_of(old).get("acme").customer_key == ""
    assert b"jo@acme.com" not in Path(old.instance_path, "partnerstack.db").read_bytes()
    assert ledger_of(new).get("acme").customer_key == "acme"
    assert run(new, "erase", "acme").exit_code == 0


def test_erase_of_one_who_never_was_there(old: Flask, new: Flask) -> None:
    """Who signed up after the move is erased in the new ledger, and nowhere else."""
    with new.app_context():
        track_conversion("globex", xid=XID)
    result = run(old, "erase", "globex")
    assert result.exit_code == 1
    assert "is not in here. Expected: erase there." in result.stderr
    with pytest.raises(EntryNotFound):
        ledger_of(old).get("globex")


def test_prune_says_that_it_is_half_done(old: Flask, new: Flask) -> None:
    """It prunes what is here, and says where the rest went."""
    result = run(old, "prune", "--older-than", "30")
    assert result.exit_code == 1
    assert result.stdout == "Pruned 0 entries.\n"
    assert f"it was moved to {ledger_of(new).location}." in result.stderr
    assert run(new, "prune", "--older-than", "30").exit_code == 0


def test_track_says_that_nothing_is_delivered(old: Flask, new: Flask) -> None:
    """It is recorded, with the command that takes it along; which does."""
    result = run(old, "track", "globex", "--xid", XID, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["new"] is True
    assert f"it was moved to {ledger_of(new).location}." in result.stderr
    assert "Run flask partnerstack move there" in result.stderr
    source = f"sqlite:///{old.instance_path}/partnerstack.db"
    assert "1 entry copied" in run(new, "move", "--from", source).output
    assert ledger_of(new).get("globex").status is Status.PENDING


def test_import_says_that_nothing_is_delivered(old: Flask, new: Flask) -> None:
    """A rehearsal says it already."""
    table = f"customer_key,xid\nglobex,{XID}\n"
    for more in ([], ["--commit"]):
        result = run(old, "import", "-", *more, stdin=table)
        assert result.exit_code == 1
        assert "ecord 1 entry" in result.stdout.replace("ecorded", "ecord")
        assert f"it was moved to {ledger_of(new).location}." in result.stderr


def test_going_back_lifts_it(make_app: MakeApp) -> None:
    """What came back is requeued and erased as ever."""
    new = make_app()
    old = moved_away(make_app, new)
    source = f"sqlite:///{new.instance_path}/partnerstack.db"
    assert run(old, "move", "--from", source).exit_code == 0
    assert run(old, "requeue", "acme").exit_code == 0
    assert run(old, "erase", "acme").exit_code == 0
    assert run(new, "erase", "acme").exit_code == 1


def test_nobody_is_looked_up_in_the_ledger_that_was_left(
    make_app: MakeApp, transport: ScriptedTransport
) -> None:
    """``verify --all`` claims nothing there: what is delivered is the new ledger's to look up."""
    old, new = (make_app(PUBLIC_KEY="pk_1", SECRET_KEY="sk_1") for _ in range(2))
    with old.app_context():
        track_conversion("acme", xid=XID)
    get_state(old).dispatcher.run_pass()
    assert (
        run(new, "move", "--from", f"sqlite:///{old.instance_path}/partnerstack.db").exit_code == 0
    )
    asked = len(transport.requests)
    assert "Found 0 of 0 entries" in run(old, "verify", "--all").output
    assert len(transport.requests) == asked
