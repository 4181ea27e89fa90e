"""When all delivery pauses, how it is probed, and how it goes on. No clock is waited for."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from datetime import timedelta

import pytest
from flask import Flask

from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import State
from flask_partnerstack._state import get_state
from flask_partnerstack.backoff import unclear_delay
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.errors import NotSent
from flask_partnerstack.errors import Unclear
from flask_partnerstack.ledger import Cause
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import Response
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import let_time_pass

MakeApp = Callable[..., Flask]


@pytest.fixture
def state(app: Flask) -> State:
    """Fifty conversions that wait."""
    record(app, 50)
    return get_state(app)


def record(app: Flask, count: int) -> None:
    with app.app_context():
        for number in range(count):
            track_conversion(f"customer {number}", xid="h8pb9E7TZK6YMO")


def record_more(app: Flask, count: int) -> None:
    with app.app_context():
        for number in range(count):
            track_conversion(f"another customer {number}", xid="h8pb9E7TZK6YMO")


def run(state: State, clock: Clock, seconds: int, step: float = 1.0) -> None:
    """Run a pass every ``step`` seconds of the clock, wherever there is something to do."""
    let_time_pass(state.dispatcher, clock, timedelta(seconds=seconds), timedelta(seconds=step))


def count(state: State, status: Status) -> int:
    return state.ledger.counts()[status]


def test_a_service_that_refuses_is_left_alone(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Down for 15 seconds: a handful of requests, then all 50 within seconds of its return."""
    transport.answers = [Response(503) for _ in range(1000)]
    run(state, clock, 15)
    assert len(transport.requests) < 30
    transport.answers, before = [], len(transport.requests)
    run(state, clock, 20)
    assert count(state, Status.DELIVERED) == 50
    assert len(transport.requests) - before == 50


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (Response(429), Cause.UNAVAILABLE),
        (NotSent("could not connect"), Cause.UNAVAILABLE),
        (Response(502), Cause.UNAVAILABLE),
        (Unclear("no answer in time"), Cause.UNAVAILABLE),
        (Response(403), Cause.DENIED),
        (Response(404), Cause.REJECTING),
    ],
)
def test_three_different_entries_in_a_row_pause_everything(
    state: State, transport: ScriptedTransport, clock: Clock, failure: Response, cause: Cause
) -> None:
    """It is not their fault: nothing is buried, and the reason is kept for everybody."""
    transport.answers = [failure] * 5
    state.dispatcher.run_pass()
    pause = state.ledger.outlook().pause
    assert pause is not None
    assert pause.cause is cause
    assert count(state, Status.PENDING) == 50


def test_one_401_pauses_everything(
    state: State, transport: ScriptedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that is not accepted is so for all: one is enough, and the hint is said."""
    transport.answers = [Response(401)] * 5
    state.dispatcher.run_pass()
    assert state.ledger.outlook().pause is not None
    assert len(transport.requests) == 1  # whoever began it does not probe at once
    assert "not the pk_/sk_ pair" in caplog.text


def test_a_pause_is_signalled_once(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """``delivery_paused`` is sent with its reason when it begins, and not with each probe."""
    heard: list[str] = []

    def receive(_sender: Flask, reason: str) -> None:
        heard.append(reason)

    transport.answers = [Response(401)] * 10
    with signals.delivery_paused.connected_to(receive):
        run(state, clock, 60)
    assert len(heard) == 1
    assert heard[0].startswith("HTTP 401")


def test_probes_come_at_growing_intervals_each_with_another_entry(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """In an hour of 401 some twenty probes: 2 seconds, half as long again to 5 minutes, in turn."""
    transport.answers = [Response(401)] * 1000
    run(state, clock, 3600)
    keys = [conversion["customer_key"] for conversion in transport.conversions]
    assert 15 <= len(keys) <= 25
    assert len(set(keys)) == len(keys)


def test_the_right_token_drains_the_rest(
    make_app: MakeApp, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """401 until the token is put right: 50 of 50, nothing counted against anybody."""
    transport.answers = [Response(401)] * 20
    run(state, clock, 20 * 3600, step=300)
    assert transport.answers == []
    assert count(state, Status.DELIVERED) == 50
    assert state.ledger.outlook().pause is None


def anew(state: State, **settings: object) -> Dispatcher:
    """Return what delivers in a process that is new, with other settings or the same."""
    return Dispatcher(
        replace(state.settings, **settings),  # type: ignore[arg-type]  # of each kind
        state.ledger,
        state.dispatcher._client,
    )


def test_a_new_set_up_is_probed_at_once(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """A deploy may be the cure: a process with another token does not wait for the others."""
    transport.answers = [Response(401)] * 30
    run(state, clock, 1200)
    pause = state.ledger.outlook().pause
    assert pause is not None
    assert pause.probe_at > clock()
    transport.answers = []
    assert anew(state).run_pass() == 0  # nothing has changed
    assert anew(state, token="another").run_pass() == 50


@pytest.mark.parametrize("setting", ["token", "conversion_url"])
def test_a_new_set_up_that_is_no_cure_is_probed_once(
    state: State, transport: ScriptedTransport, setting: str
) -> None:
    """Each run from cron is a new process, and waits for the next probe like any other."""
    transport.answers = [Response(401)] * 100
    state.dispatcher.run_pass()
    other = {setting: "https://elsewhere.example/conversion/xid"}
    assert sum(anew(state, **other).run_pass() for _ in range(20)) == 1


def test_a_process_that_has_sent_is_new_no_more(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """What was set up before a pause began is no cure of it, and waits for its probe."""
    other = anew(state, token="another")
    other.take(1)[0]()
    transport.answers = [Response(401)] * 2
    state.dispatcher.run_pass()
    assert other.run_pass() == 0


@pytest.mark.parametrize(
    ("answer", "sends"),
    [
        (Response(500, elapsed=timedelta(seconds=3)), 25),
        (Response(429, {"Retry-After": "3600"}), 5),
    ],
)
def test_cron_keeps_to_what_was_asked_for(
    state: State, transport: ScriptedTransport, clock: Clock, answer: Response, sends: int
) -> None:
    """A run each minute, each a new process: it sends no more in 110 minutes than one process."""
    transport.answers = [answer] * 1000
    for _ in range(110):
        anew(state).run_pass()
        clock.tick(minutes=1)
    assert len(transport.requests) <= sends
    before = len(transport.requests)
    assert anew(state, token="another").run_pass() == 0
    assert len(transport.requests) == before


def test_a_pause_is_shared(state: State, transport: ScriptedTransport, clock: Clock) -> None:
    """Another process, which has probed already, sends nothing while the pause lasts."""
    other = anew(state)
    transport.answers = [Response(401)] * 3
    state.dispatcher.run_pass()
    other.run_pass()
    sent = len(transport.requests)
    assert other.run_pass() == 0
    assert 0 < (other.next_due() or 0) <= 10
    assert len(transport.requests) == sent


def test_a_probe_that_succeeds_ends_the_pause_whoever_hears_of_it(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """A receiver that ends its process is told when the pause is over: no other has to probe."""
    transport.answers = [Response(401)]
    state.dispatcher.run_pass()
    clock.tick(seconds=2)

    def leave(_sender: Flask, **_facts: object) -> None:
        sys.exit()

    with signals.conversion_delivered.connected_to(leave), pytest.raises(SystemExit):
        state.dispatcher.run_pass()
    assert state.ledger.outlook().pause is None


def test_retry_after_holds_for_the_probe(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """A service that asks for 30 seconds gets them, from a process that has tried."""
    transport.answers = [Response(429, {"Retry-After": "30"}) for _ in range(3)]
    state.dispatcher.run_pass()
    sent = len(transport.requests)
    run(state, clock, 25)
    assert len(transport.requests) == sent
    run(state, clock, 10)
    assert count(state, Status.DELIVERED) == 50


def test_nobody_grows_older_while_paused(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Forty days of a wrong token are no reason to give anybody up."""
    app = make_app(GIVE_UP_AFTER=30)
    record(app, 5)
    state = get_state(app)
    transport.answers = [Response(429)]
    state.dispatcher.take(1)[0]()
    transport.answers = [Response(401)] * 100_000
    run(state, clock, 40 * 86400, step=7200)
    transport.answers = [Response(200), Response(429)]
    run(state, clock, 3600, step=10)
    assert count(state, Status.DELIVERED) == 5


def test_nobody_grows_older_without_a_token(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """The time without a token counts for nobody, and ends by itself when there is one."""
    app = make_app(GIVE_UP_AFTER=30)
    record(app, 1)
    state = get_state(app)
    transport.answers = [Response(429), Response(429)]
    state.dispatcher.take(1)[0]()
    mute = type(state.dispatcher)(
        type(state.settings)(token=None), state.ledger, state.dispatcher._client
    )
    clock.tick(hours=2)  # nobody has sent for so long
    mute.take(1)
    clock.tick(days=40)
    run(state, clock, 60)
    assert count(state, Status.DELIVERED) == 1


def test_a_process_without_a_token_hurries_nobody(
    app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Beside it a Retry-After of three hours is kept to, and so is what was counted so far."""
    record(app, 1)
    state = get_state(app)
    mute = anew(state, token=None)
    transport.answers = [Response(429, {"Retry-After": "10800"})] * 100
    for _ in range(170):
        state.dispatcher.run_pass()
        mute.run_pass()
        clock.tick(minutes=1)
    assert len(transport.requests) == 1
    assert state.ledger.resumed_at() is None


def test_a_process_without_a_token_pauses_nothing_beside_one_that_sends(
    app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Somebody has sent within two hours: it is not the token that is missing, but here."""
    record(app, 2)
    state = get_state(app)
    state.dispatcher.take(1)[0]()
    clock.tick(hours=1)
    anew(state, token=None).run_pass()
    assert state.ledger.outlook().pause is None
    clock.tick(hours=2)
    anew(state, token=None).run_pass()
    assert state.ledger.outlook().pause is not None


def test_a_process_without_a_token_pauses_nothing_for_what_has_time(
    app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Whoever has one waits as well, and would end that pause at its next look, again and again."""
    record(app, 1)
    state = get_state(app)
    transport.answers = [Response(429, {"Retry-After": "10800"})] * 100
    state.dispatcher.run_pass()
    clock.tick(hours=2.5)
    anew(state, token=None).run_pass()
    assert state.ledger.outlook().pause is None


def test_one_that_alone_is_forbidden_is_buried(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """49 delivered, and the one that alone gets 403 is dead, with its answer."""

    def answer(request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 7"
        return Response(403, body=b"partner left") if bad else Response(200)

    transport.answers = [answer] * 1000
    run(state, clock, 60)
    assert count(state, Status.DELIVERED) == 49
    dead = state.ledger.get("customer 7")
    assert dead.status is Status.DEAD
    assert state.ledger.trail(dead)[-1].answer == "partner left"


def test_one_that_is_forbidden_again_is_buried_whatever_came_between(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """403, turned away for now, 403: what counts is in its trail. Requeued, it begins anew."""
    ill = itertools.cycle((403, 429))

    def answer(request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 7"
        return Response(next(ill) if bad else 200)

    transport.answers = [answer] * 1000
    run(state, clock, 120)
    assert state.ledger.get("customer 7").attempts == 3
    state.ledger.requeue("customer 7")
    record(app, 60)  # ten more, that succeed beside it
    run(state, clock, 120)
    dead = state.ledger.get("customer 7")
    assert (dead.status, dead.attempts) == (Status.DEAD, 3 + 4)


def test_one_that_alone_is_rejected_is_buried(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """The first of fifty is bad: it is held until others show that it is its own fault."""

    def answer(request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 0"
        return Response(400, body=b"bad xid") if bad else Response(200)

    transport.answers = [answer] * 1000
    run(state, clock, 60)
    assert count(state, Status.DELIVERED) == 49
    assert state.ledger.get("customer 0").status is Status.DEAD


def test_one_that_alone_is_refused_is_buried_in_the_end(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """While all others are taken, one that is refused a dozen times is for a person."""

    def answer(request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 7"
        return Response(429) if bad else Response(200)

    transport.answers = [answer] * 1000
    run(state, clock, 86400, step=60)
    dead = state.ledger.get("customer 7")
    assert (dead.status, dead.attempts) == (Status.DEAD, 13)


@pytest.mark.parametrize("wish", ["0", "1", "Sun, 01 Mar 2020 12:00:00 GMT"])
def test_a_short_retry_after_hurries_nobody(
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    wish: str,
) -> None:
    """Asked back at once, one that alone is refused waits longer each time all the same."""
    monkeypatch.setattr("random.random", lambda: 0.5)

    def answer(_request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 7"
        return Response(429, {"Retry-After": wish}) if bad else Response(200)

    transport.answers = [answer] * 10_000
    run(state, clock, 1800, step=5)
    refused = state.ledger.get("customer 7")
    assert (refused.status, refused.attempts) == (Status.PENDING, 11)


@pytest.mark.parametrize("failure", [Response(429), Response(403)])
def test_an_outage_after_a_refusal_buries_nobody(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock, failure: Response
) -> None:
    """Refused once while others were taken, and then with everybody: it is not its own fault."""
    state = get_state(app := make_app())
    record(app, 12)
    transport.answers = [failure, *[Response(200)] * 3, *[failure] * 10_000]
    run(state, clock, 86_400, step=60)
    assert state.ledger.outlook().pause is not None
    assert count(state, Status.DEAD) == 0


def test_a_wrong_address_buries_nothing(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """404 to all, for a day: paused and probed, and delivered when it is put right."""
    transport.answers = [Response(404)] * 100_000
    run(state, clock, 86400, step=60)
    assert count(state, Status.DEAD) == 0
    transport.answers = []
    run(state, clock, 900, step=10)
    assert count(state, Status.DELIVERED) == 50


# --- answers that do not say whether it was taken -----------------------------------------------


def test_a_blip_of_bad_gateways_costs_a_few_their_half_hour(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """502 for 15 seconds: what is probed meanwhile waits its time, all others are delivered."""
    transport.answers = [Response(502)] * 1000
    run(state, clock, 15)
    unclear = len(transport.requests)
    transport.answers = []
    run(state, clock, 20)
    assert unclear <= 8
    assert count(state, Status.DELIVERED) == 50 - unclear
    run(state, clock, 1860, step=60)
    assert count(state, Status.DELIVERED) == 50


def test_two_days_of_bad_gateways_bury_nobody(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Without keys: nobody is buried, most are never sent in vain, and all are delivered."""
    transport.answers = [Response(502)] * 10_000
    run(state, clock, 2 * 86_400, step=120)
    in_vain = len(transport.requests)
    assert count(state, Status.PENDING) == 50
    assert in_vain < 130
    assert len({conversion["customer_key"] for conversion in transport.conversions}) < 35
    transport.answers = []
    run(state, clock, 2 * 86_400, step=1800)
    assert count(state, Status.DELIVERED) == 50
    assert len(transport.requests) == in_vain + 50


def test_an_outage_makes_nobody_be_sent_again_before_its_time(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Each keeps its own half hour, then an hour, then two, whatever else is probed."""
    sent: dict[str, list[datetime]] = {}

    def answer(_request: object) -> Response:
        sent.setdefault(transport.conversions[-1]["customer_key"], []).append(clock())
        return Response(504)

    transport.answers = [answer] * 10_000
    run(state, clock, 12 * 3600, step=60)
    for moments in sent.values():
        waits = [later - before for before, later in itertools.pairwise(moments)]
        assert all(wait >= unclear_delay(n) for n, wait in enumerate(waits, 1))
    assert max(map(len, sent.values())) > 2


def test_what_may_have_been_taken_already_is_probed_first(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """After an unclear answer the next that is sent again is one whose answer was unclear."""
    transport.answers = [Response(502)] * 10_000
    run(state, clock, 7200, step=10)
    keys = [conversion["customer_key"] for conversion in transport.conversions]
    assert set(keys[-4:]) <= set(keys[:-4])


def test_what_was_turned_away_is_probed_in_turn(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """After a refusal, which took nothing, the next probe is one that was never tried."""
    transport.answers = [*[Response(502)] * 3, *[Response(503)] * 1000]
    run(state, clock, 40 * 60, step=10)
    keys = [conversion["customer_key"] for conversion in transport.conversions]
    assert len(keys) == len(set(keys))


def test_probes_leave_alone_what_may_have_been_taken(
    app: Flask, make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """An unclear entry keeps its half hour: while there is no other, nothing is probed."""
    record(app, 3)
    state = get_state(app)
    transport.answers = [Unclear("hung up")] * 3
    state.dispatcher.run_pass()
    assert state.ledger.outlook().pause is not None
    run(state, clock, 1790, step=10)
    assert len(transport.requests) == 3
    run(state, clock, 400, step=10)
    assert count(state, Status.DELIVERED) == 3


def test_one_that_alone_is_unclear_is_given_up(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """While all others are taken nothing pauses, and one that never answers is sent five times."""

    def answer(_request: object) -> Response:
        bad = transport.conversions[-1]["customer_key"] == "customer 7"
        return Response(502) if bad else Response(200)

    transport.answers = [answer] * 1000
    run(state, clock, 86_400, step=60)
    dead = state.ledger.get("customer 7")
    assert (dead.status, dead.attempts) == (Status.DEAD, 5)
    assert count(state, Status.DELIVERED) == 49


def test_an_outage_counts_against_nobody_after_it(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Sent five times and more in an outage, and once in vain after it: that is once."""
    app = make_app()
    record(app, 3)
    state = get_state(app)
    transport.answers = [Response(502)] * 1000
    run(state, clock, 2 * 86_400, step=300)
    assert max(entry.attempts for entry in state.ledger.entries()) > 5
    transport.answers = [Response(200), Response(502)]
    run(state, clock, 5 * 86_400, step=3600)
    assert count(state, Status.DELIVERED) == 3


def test_an_outage_with_keys_buries_nobody(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """With keys, too: looked up in between, and delivered when it is over."""
    app = make_app(PUBLIC_KEY="pk_live", SECRET_KEY="sk_live", VERIFY_AFTER=timedelta(minutes=15))
    record(app, 5)
    state = get_state(app)
    state.ledger.note_found("pk_live")

    def answer(request: Request) -> Response:
        if request.method == "GET":
            return Response(404, body=b'{"message": "Customer not found", "status": 404}')
        return Response(502)

    transport.answers = [answer] * 100_000
    run(state, clock, 9 * 86_400, step=900)
    assert max(entry.attempts for entry in state.ledger.entries()) > 5
    assert count(state, Status.DEAD) == 0


def test_senders_that_are_killed_pause_nothing(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """A worker that is killed with four entries in hand says nothing of the service."""
    for claim in state.ledger.claim(4):
        state.ledger.count_attempt(claim)
    clock.tick(minutes=10)
    state.dispatcher.run_pass()
    assert state.ledger.outlook().pause is None
    assert count(state, Status.DELIVERED) == 46


def test_an_outage_of_forty_days_makes_nobody_too_old(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """The time of a pause counts for nobody, also while it lasts."""
    app = make_app(GIVE_UP_AFTER=30)
    record(app, 5)
    state = get_state(app)
    transport.answers = [Response(503), Response(502), NotSent("could not connect")] * 10_000
    run(state, clock, 40 * 86_400, step=7200)
    assert count(state, Status.DEAD) == 0
    transport.answers = []
    run(state, clock, 2 * 86_400, step=3600)
    assert count(state, Status.DELIVERED) == 5


# --- look-ups go on -----------------------------------------------------------------------------

FOUND = Response(200, body=b'{"data": {"key": "cus_1", "test": false}}')
KEYS = {"PUBLIC_KEY": "pk_live", "SECRET_KEY": "sk_live"}


def test_a_pause_keeps_nobody_from_being_looked_up(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """While the token is not accepted, what was taken before is looked up in its time."""
    state = get_state(app := make_app(**KEYS))
    record(app, 5)
    state.dispatcher.run_pass()
    state.ledger.begin_pause(Cause.DENIED, "HTTP 401")
    transport.answers = [FOUND] * 5
    run(state, clock, 16 * 60, step=60)
    assert count(state, Status.VERIFIED) == 5
    assert state.ledger.outlook().pause is not None


def test_nobody_needs_a_token_to_be_looked_up(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """The key pair is another credential: without a token look-ups go on, and nothing is sent."""
    state = get_state(app := make_app(**KEYS))
    record(app, 1)
    state.dispatcher.run_pass()
    mute = type(state.dispatcher)(
        type(state.settings)(token=None, public_key="pk_live", secret_key="sk_live"),
        state.ledger,
        state.dispatcher.client,
    )
    assert mute.next_due() == 15 * 60.0
    transport.answers, before = [FOUND], len(transport.conversions)
    clock.tick(minutes=15)
    mute.run_pass()
    assert count(state, Status.VERIFIED) == 1
    assert mute.next_due() is None
    assert len(transport.conversions) == before


@pytest.mark.parametrize("cause", [Cause.MOVING, Cause.MOVED])
def test_nobody_is_looked_up_while_entries_are_moved(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock, cause: Cause
) -> None:
    """They are another ledger's, or will be: that one asks."""
    state = get_state(app := make_app(**KEYS))
    record(app, 1)
    state.dispatcher.run_pass()
    state.ledger.begin_pause(cause, "moved to another ledger", wish=timedelta(hours=1))
    clock.tick(minutes=20)
    sent = len(transport.requests)
    assert state.dispatcher.run_pass() == 0
    assert state.dispatcher.next_due() != 0.0
    assert len(transport.requests) == sent


def test_both_hosts_away_are_asked_little(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Nothing answers for two days: each customer is looked up a few times, and none is lost."""
    state = get_state(app := make_app(**KEYS))
    record(app, 20)
    state.dispatcher.run_pass()
    record_more(app, 5)
    transport.answers = [NotSent("could not connect")] * 100_000
    run(state, clock, 2 * 86_400, step=300)
    looked_up = sum(request.method == "GET" for request in transport.requests)
    assert looked_up < 20 * 12
    assert count(state, Status.DEAD) == 0
    transport.answers = [*[Response(200)] * 5, *[FOUND] * 1000]
    run(state, clock, 4 * 86_400, step=3600)
    assert count(state, Status.VERIFIED) == 25


# --- how it goes on -----------------------------------------------------------------------------


def test_resuming_is_said(
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the end of a pause as it has its beginning."""
    caplog.set_level(logging.WARNING)
    transport.answers = [Response(401)] * 2
    run(state, clock, 10)
    assert "All delivery is paused" in caplog.text
    assert "Delivery goes on" in caplog.text
    assert "paused since 2026-03-01 12:00:00Z: HTTP 401" in caplog.text
    assert state.ledger.end_pause() is None


def test_a_clock_that_is_set_back_delays_nobody(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Scheduled by a clock five days ahead: each waits its delay again, and no more."""
    clock.tick(days=5)
    for _ in range(25):  # one lost and one taken: no three in a row, so that nothing pauses
        transport.answers += [Unclear("hung up"), Response(200)]
    state.dispatcher.run_pass()
    clock.tick(days=-5)
    fresh = type(state.dispatcher)(state.settings, state.ledger, state.dispatcher._client)
    sent = len(transport.requests)
    run(state, clock, 1700, step=60)
    assert len(transport.requests) == sent
    clock.tick(minutes=2)
    fresh.run_pass()
    assert count(state, Status.DELIVERED) == 50


def test_a_clock_set_back_after_a_pause_lets_nobody_be_sent_without_end(
    app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Unclear answers count from the end of the last pause, though it ended in the future."""
    state = get_state(app)
    state.ledger.begin_pause(Cause.UNAVAILABLE, "HTTP 503")
    clock.tick(seconds=2)
    state.ledger.end_pause()
    clock.tick(days=-60)
    state.dispatcher.run_pass()
    clock.tick(seconds=1)
    record(app, 1)
    transport.answers = [Unclear("no answer in time")] * 20
    run(state, clock, 5 * 86_400, step=1800)
    assert state.ledger.get("customer 0").status is Status.DEAD
    assert len(transport.requests) == 5


def test_a_success_in_the_future_makes_nobody_alone(
    app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """By a clock that was set back it was before what is refused now, and says nothing of it."""
    record(app, 1)
    state = get_state(app)
    state.dispatcher.run_pass()
    clock.tick(days=-60)
    record_more(app, 1)
    transport.answers = [Response(429)] * 500
    run(state, clock, 12 * 3600, step=120)
    assert state.ledger.get("another customer 0").status is Status.PENDING


def test_a_clock_that_is_set_forward_doubles_nobody(
    state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """A lease that ends early because of the clock lets nobody be sent twice."""
    (job,) = state.dispatcher.take(1)
    clock.tick(days=1)
    state.dispatcher.run_pass()
    job()
    keys = [conversion["customer_key"] for conversion in transport.conversions]
    assert len(keys) == len(set(keys)) == 50
