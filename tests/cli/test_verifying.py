"""``verify`` and ``deliver``: what a person asks of PartnerStack now."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import Mock

import pytest
from flask import Flask

from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.cli import partnerstack
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import Response
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import run

MakeApp = Callable[..., Flask]
FOUND = Response(200, body=b'{"data": {"key": "cus_1", "test": false}}')
TEST = Response(200, body=b'{"data": {"key": "cus_1", "test": true}}')
MISSING = Response(404, body=b'{"message": "no such customer", "status": 404}')


@pytest.fixture
def shop(make_app: MakeApp) -> Flask:
    """Three that were delivered just now, and wait to be looked up."""
    app = make_app(PUBLIC_KEY="pk_a", SECRET_KEY="sk_b")
    with app.app_context():
        for key in ("one", "two", "three"):
            track_conversion(key, xid=XID)
    get_state(app).dispatcher.run_pass()
    return app


def test_verify_looks_one_up_now(shop: Flask, transport: ScriptedTransport) -> None:
    """Before its time; who was found is verified, and found again without being asked for."""
    transport.answers = [FOUND]
    assert run(shop, "verify", "two").output == "Found 1 of 1 entry.\n"
    assert get_state(shop).ledger.get("two").status is Status.VERIFIED
    asked = len(transport.requests)
    assert run(shop, "verify", "two").exit_code == 0
    assert len(transport.requests) == asked


def test_verify_changes_nothing_of_who_is_missing(
    shop: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Asked too early, and often: nobody is given up by it, and its own time stays."""
    transport.answers = [FOUND, *[MISSING] * 5]
    run(shop, "verify", "one")
    before = get_state(shop).ledger.get("two")
    clock.now += timedelta(minutes=1)
    for _ in range(5):
        result = run(shop, "verify", "two")
        assert result.exit_code == 1
        assert "missing      entry 2, two" in result.output
    ledger = get_state(shop).ledger
    assert ledger.get("two") == before
    assert ledger.misses() == 0
    assert len(ledger.trail(before)) == 6


def test_verify_all(shop: Flask, transport: ScriptedTransport) -> None:
    """Each that is delivered, once; the test customer is pointed at."""
    transport.answers = [FOUND, Response(500), TEST]
    result = run(shop, "verify", "--all")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "cannot tell  entry 2, two",
        "test         entry 3, three: pays nobody",
        "Found 2 of 3 entries.",
    ]
    assert get_state(shop).ledger.get("two").due_at is not None


def test_verify_as_json(shop: Flask, transport: ScriptedTransport) -> None:
    """Each entry as it is now, and what was found, in a line of its own."""
    transport.answers = [FOUND, MISSING, TEST]
    said = [json.loads(line) for line in run(shop, "verify", "--all", "--json").stdout.splitlines()]
    assert [(e["customer_key"], e["found"], e["test"]) for e in said] == [
        ("one", "found", False),
        ("two", "missing", None),
        ("three", "found", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"), [([], "cannot tell  entry 1, one\n"), (["--json"], '{"id": 1, ')]
)
def test_verify_says_at_once_what_was_found(
    shop: Flask,
    transport: ScriptedTransport,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    """The first is said before the second is asked for: nothing is kept, however many there are."""
    before: list[str] = []

    def note(_request: Request) -> Response:
        before.append(capsys.readouterr().out)
        return FOUND

    transport.answers = [MISSING, note, note]
    with shop.app_context():
        assert partnerstack.main(["verify", "--all", *arguments], standalone_mode=False) == 1
    assert before[0].startswith(said)
    assert before[0].count("\n") == 1


def test_verify_has_said_what_it_found_when_it_is_stopped(
    shop: Flask, transport: ScriptedTransport
) -> None:
    """Ctrl-C takes nothing back: the one under way is looked up and said, the next is not."""

    def interrupt(_request: Request) -> Response:
        signal.raise_signal(signal.SIGINT)
        return MISSING

    transport.answers = [FOUND, interrupt]
    result = run(shop, "verify", "--all")
    assert result.exit_code == 130
    assert result.stdout == "missing      entry 2, two\n"
    assert "Stopped. Looked up 2 of 3" in result.stderr


def test_verify_finds_what_was_delivered_without_keys(
    make_app: MakeApp, transport: ScriptedTransport
) -> None:
    """Keys that came later find what nobody would look up by itself."""
    app = make_app(PUBLIC_KEY="pk_a", SECRET_KEY="sk_b")
    ledger = get_state(app).ledger
    with app.app_context():
        track_conversion("acme", xid=XID)
    from flask_partnerstack.errors import Judgement
    from flask_partnerstack.ledger import Attempt

    (claim,) = ledger.claim(1)
    ledger.settle(claim, Status.DELIVERED, Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200"))
    transport.answers = [MISSING, FOUND]
    run(app, "verify", "--all")
    assert ledger.get("acme").due_at is None
    run(app, "verify", "--all")
    assert ledger.get("acme").status is Status.VERIFIED


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Name one CUSTOMER_KEY, or give --all."),
        (["one", "--all"], 2, "Name one CUSTOMER_KEY, or give --all."),
        (["nobody"], 1, "no entry for the customer key 'nobody'"),
        (["waits"], 1, "is pending, and only what is delivered is looked up"),
    ],
)
def test_verify_refuses(shop: Flask, arguments: list[str], code: int, said: str) -> None:
    """Whoever is not there, or not delivered, is not asked for."""
    with shop.app_context():
        track_conversion("waits", xid=XID)
    result = run(shop, "verify", *arguments)
    assert result.exit_code == code
    assert said in result.output


def test_verify_needs_the_pair(app: Flask) -> None:
    """Without keys the way out is said, and nobody is claimed."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    get_state(app).dispatcher.run_pass()
    result = run(app, "verify", "acme")
    assert result.exit_code == 1
    assert "PARTNERSTACK_PUBLIC_KEY: expected the key pair" in result.output


def test_verify_asks_nobody_while_testing(shop: Flask, transport: ScriptedTransport) -> None:
    """An app under test sends nothing to any host but this one."""
    asked = len(transport.requests)
    shop.testing = True
    result = run(shop, "verify", "--all")
    assert (result.exit_code, len(transport.requests)) == (1, asked)
    assert "Nobody is looked up: testing" in result.output


def test_deliver_finishes_the_one_under_way(app: Flask, transport: ScriptedTransport) -> None:
    """Ctrl-C never leaves a conversion half sent: it is settled, the next is not begun, 130."""

    def interrupt(_request: Request) -> Response:
        signal.raise_signal(signal.SIGINT)
        return Response(200)

    with app.app_context():
        for key in ("one", "two"):
            track_conversion(key, xid=XID)
    transport.answers = [interrupt]
    result = run(app, "deliver")
    assert result.exit_code == 130
    assert "Stopped. Dealt with 1; what is done is done" in result.stderr
    ledger = get_state(app).ledger
    assert [ledger.get(key).status for key in ("one", "two")] == [Status.DELIVERED, Status.PENDING]


def test_deliver_says_that_it_is_paused(app: Flask, transport: ScriptedTransport) -> None:
    """For cron: exit code 1 while nothing can be delivered, and JSON has the reason."""
    with app.app_context():
        track_conversion("acme", xid=XID)
    transport.answers = [Response(401), Response(401)]
    result = run(app, "deliver", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["pause"]["cause"] == "denied"
    assert "Delivery is paused: HTTP 401" in result.stderr
    assert result.stderr.endswith(" See: flask partnerstack check\n")


def test_requeue_as_json(app: Flask, bury: Callable[[Flask, str], None]) -> None:
    """The entry, or how many."""
    bury(app, "acme")
    assert json.loads(run(app, "requeue", "--all", "--json").output) == {"requeued": 1}
    bury(app, "acme")
    said = json.loads(run(app, "requeue", "acme", "--json").output)
    assert (said["id"], said["status"]) == (1, "pending")


# --- who waits to be sent -------------------------------------------------------------------------


@pytest.fixture
def restored(make_app: MakeApp) -> Flask:
    """An app whose ledger does not know what became of three: nothing was sent from it."""
    app = make_app(PUBLIC_KEY="pk_a", SECRET_KEY="sk_b")
    with app.app_context():
        for key in ("one", "two", "three"):
            track_conversion(key, xid=XID)
    return app


def test_whom_partnerstack_has_is_not_sent_again(
    restored: Flask, transport: ScriptedTransport
) -> None:
    """After a restore: who is found is verified, and only who is missing is sent."""
    transport.answers = [FOUND, MISSING, TEST]
    result = run(restored, "verify", "--all", "--status", "pending")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "missing      entry 2, two",
        "test         entry 3, three: pays nobody",
        "Found 2 of 3 entries.",
    ]
    assert transport.conversions == []
    transport.requests.clear()
    get_state(restored).dispatcher.run_pass()
    assert [sent["customer_key"] for sent in transport.conversions] == ["two"]


def test_what_cannot_be_told_of_who_waits_changes_nothing(
    restored: Flask, transport: ScriptedTransport
) -> None:
    """A pair that never found anybody is not believed; the exit code says that it is not done."""
    before = get_state(restored).ledger.get("two")
    transport.answers = [MISSING]
    result = run(restored, "verify", "two", "--status", "pending")
    assert (result.exit_code, result.output.splitlines()[0]) == (1, "cannot tell  entry 2, two")
    assert get_state(restored).ledger.get("two") == before


def test_who_waits_is_looked_up_only_when_that_is_said(restored: Flask) -> None:
    """A customer of another state is refused, with it."""
    result = run(restored, "verify", "two")
    assert result.exit_code == 1
    assert "Entry 2 is pending, and only what is delivered is looked up." in result.stderr


def test_an_interrupted_send_stays_in_doubt(
    restored: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """A person looked it up too early: it is still looked up before it is sent again."""
    state = get_state(restored)
    (claim,) = state.ledger.claim(1)
    state.ledger.count_attempt(claim)
    clock.tick(minutes=3)
    transport.answers = [FOUND, MISSING]
    run(restored, "verify", "two", "--status", "pending")
    run(restored, "verify", "one", "--status", "pending")
    transport.requests.clear()
    transport.answers = [MISSING]
    state.dispatcher.deliver(claim.entry.id)
    assert [request.method for request in transport.requests] == ["GET"]


@pytest.fixture
def parked(restored: Flask) -> Ledger:
    """Its ledger, with a fourth who is sent only when a person says so."""
    ledger = get_state(restored).ledger
    ledger.record(Conversion.of(customer_key="four", xid=XID), reason="testing", parked=True)
    return ledger


def test_who_is_parked_stays_so_when_a_look_up_is_stopped(
    restored: Flask, parked: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C, or a kill: nobody is sent because somebody stopped looking."""
    before = parked.get("four")
    with monkeypatch.context() as stopped:
        stopped.setattr(Client, "look_up", Mock(side_effect=KeyboardInterrupt))
        run(restored, "verify", "four", "--status", "pending")
    clock.tick(hours=1)
    assert parked.get("four") == before
    assert parked.claim_one(before.id) == []
    assert len(parked.claim_next(Status.PENDING, customer_key="four")) == 1


def test_who_is_requeued_while_looked_up_is_due(
    restored: Flask, parked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up, which found nobody, does not park them again."""

    def requeue(*_given: object, **_options: object) -> None:
        parked.requeue("four")

    monkeypatch.setattr(Client, "look_up", requeue)
    run(restored, "verify", "four", "--status", "pending")
    assert parked.get("four").due_at is not None


def test_a_find_of_who_was_never_sent_says_nothing_of_the_lag(
    restored: Flask, transport: ScriptedTransport
) -> None:
    """How long customers take to appear is known of those alone who were sent from here."""
    ledger = get_state(restored).ledger
    ledger.note_found("pk_a", took=timedelta(hours=2), late=True)
    transport.answers = [FOUND]
    run(restored, "verify", "one", "--status", "pending")
    assert ledger.get("one").status is Status.VERIFIED
    assert ledger.read_back() == timedelta(hours=2)


def test_verify_stops_when_it_is_asked_to_wait(
    shop: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Nor is anybody else looked up before that time, whoever asks."""
    transport.answers = [Response(429, {"Retry-After": "60"}), FOUND, FOUND, FOUND]
    asked = len(transport.requests)
    for options in (["--all"], ["two"]):
        result = run(shop, "verify", *options)
        assert result.exit_code == 1
        assert "PartnerStack asked us to wait, for another 60 s." in result.stderr
    assert len(transport.requests) == asked + 1
    clock.tick(minutes=1)
    assert run(shop, "verify", "--all").stdout == "Found 3 of 3 entries.\n"
