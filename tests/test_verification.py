"""Looking up: what a 2xx cannot prove, and what an unclear answer hides. No clock is waited for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta

import pytest
from flask import Flask

from flask_partnerstack import Entry
from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import State
from flask_partnerstack._state import get_state
from flask_partnerstack.dispatcher.judging import MOST_UNCLEAR
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import NotSent
from flask_partnerstack.errors import Unclear
from flask_partnerstack.ledger import NO_PAIR
from flask_partnerstack.settings import DEADLINE
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import Response
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import let_time_pass

MakeApp = Callable[..., Flask]

KEYS = {"PUBLIC_KEY": "pk_live", "SECRET_KEY": "sk_live"}
NO_SUCH_CUSTOMER = Response(404, body=b'{"message": "Customer not found", "status": 404}')
FOUND = Response(200, body=b'{"data": {"key": "cus_1", "test": false}}')
FOUND_TEST = Response(200, body=b'{"data": {"key": "cus_1", "test": true}}')
CANNOT_TELL: list[Response | DeliveryError] = [
    Response(500),
    Response(502, body=b"<html>Bad Gateway</html>"),
    Response(401),
    Response(429, {"Retry-After": "60"}),
    Response(404, body=b"<html>Not Found</html>"),
    Response(404, body=b'{"error": "no such route"}'),
    Response(200, body=b"<html>a login page</html>"),
    Response(200, body=b'{"data": {}, "message": "Customer not found", "status": 404}'),
    Response(200, body=b'{"data": {"items": [], "has_more": false}}'),
    Response(200, body=b'{"data": {"key": "cus_2", "customer_key": "zen"}}'),
    Response(302, {"Location": "https://elsewhere.example"}),
    Unclear("no answer in time"),
    NotSent("could not connect"),
]


class LaggingPartnerStack:
    """Takes every conversion, and lets a customer be found so long after it was taken.

    :param hangs_up_on: the customers whose sender gets no answer.
    """

    def __init__(self, clock: Clock, lag: timedelta, *, hangs_up_on: str = "") -> None:
        self._clock = clock
        self._lag = lag
        self._hangs_up_on = hangs_up_on.split()
        self._taken: dict[str, datetime] = {}
        self.doubled: list[str] = []

    def answer(self, request: Request) -> Response:
        if request.method == "GET":
            taken_at = self._taken.get(request.url.rpartition("/")[2])
            visible = taken_at is not None and self._clock() - taken_at >= self._lag
            return FOUND if visible else NO_SUCH_CUSTOMER
        return self._take(json.loads(request.body)["customer_key"])

    def _take(self, key: str) -> Response:
        if key in self._taken:
            self.doubled.append(key)
        self._taken.setdefault(key, self._clock())
        if key in self._hangs_up_on:
            raise Unclear("hung up")
        return Response(200)


def take_nothing(request: Request) -> Response:
    """Answer as a PartnerStack that loses whatever it is sent, and hangs up."""
    if request.method == "GET":
        return NO_SUCH_CUSTOMER
    raise Unclear("hung up")


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(**KEYS)


@pytest.fixture
def state(app: Flask) -> State:
    return get_state(app)


@pytest.fixture
def trusted(app: Flask, state: State, transport: ScriptedTransport) -> State:
    """The same, with a key pair that has found a customer of this ledger."""
    state.ledger.note_found("pk_live")
    return state


def record(app: Flask, *customer_keys: str) -> None:
    with app.app_context():
        for customer_key in customer_keys:
            track_conversion(customer_key, xid="h8pb9E7TZK6YMO", email="jo@acme.com")


def after(state: State, clock: Clock, **time: float) -> None:
    """Let time pass, then run a pass."""
    clock.tick(**time)
    state.dispatcher.run_pass()


def run(state: State, clock: Clock, time: timedelta, step: timedelta) -> None:
    """Run a pass at every step of the clock that has something to do, as an engine would."""
    let_time_pass(state.dispatcher, clock, time, step)


def acme(state: State) -> Entry:
    return state.ledger.get("acme")


def judged(state: State) -> list[Judgement]:
    return [attempt.judged for attempt in state.ledger.trail(acme(state))]


def looked_up(transport: ScriptedTransport) -> int:
    return sum(request.method == "GET" for request in transport.requests)


def deliver_acme(app: Flask, transport: ScriptedTransport, *answers: Response) -> None:
    """Deliver one conversion, and say what its look-ups will answer."""
    record(app, "acme")
    transport.answers = [Response(200)]
    get_state(app).dispatcher.run_pass()
    transport.answers = [*answers]


def lose_acme(app: Flask, transport: ScriptedTransport, *answers: Response | DeliveryError) -> None:
    """Send one conversion without an answer, and say what will be answered next."""
    record(app, "acme")
    transport.answers = [Unclear("hung up")]
    get_state(app).dispatcher.run_pass()
    transport.answers = [*answers]


# --- after a 2xx ----------------------------------------------------------------------------------


def test_a_delivered_customer_is_looked_up_in_time(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Not before 15 minutes, then once, by the app's own key: found, and verified."""
    deliver_acme(app, transport, FOUND)
    after(state, clock, minutes=14)
    assert looked_up(transport) == 0
    after(state, clock, minutes=1)
    assert transport.requests[-1].url.endswith("/api/v2/customers/acme")
    assert (acme(state).status, acme(state).test) == (Status.VERIFIED, False)
    assert state.dispatcher.next_due() is None


def test_a_process_under_test_leaves_the_look_up_to_others(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """It may look nobody up, and whoever may is not kept from it for ever."""
    deliver_acme(app, transport, FOUND)
    app.testing = True
    after(state, clock, minutes=15)
    assert acme(state).due_at is not None
    app.testing = False
    after(state, clock, minutes=15)
    assert acme(state).status is Status.VERIFIED


def test_a_look_up_and_the_send_after_it_have_one_deadline(
    app: Flask,
    trusted: State,
    transport: ScriptedTransport,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who delivers in a request begins nothing that could not be done in time."""
    lose_acme(app, transport, *[NO_SUCH_CUSTOMER] * 2)
    after(trusted, clock, minutes=30)
    times: list[timedelta] = []
    send = transport.send

    def note(request: Request, *, within: timedelta) -> Response:
        times.append(within)
        return send(request, within=within)

    monkeypatch.setattr(transport, "send", note)
    after(trusted, clock, minutes=30)
    assert len(times) == 2
    assert sum(times, timedelta(0)) <= DEADLINE


def test_who_comes_back_unclear_is_given_up_in_time(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Sent without an answer, erased, recorded anew: the look-ups that cannot tell have an end."""
    app = make_app(**KEYS, GIVE_UP_AFTER=1)
    state = get_state(app)
    lose_acme(app, transport)
    state.ledger.erase("acme")
    record(app, "acme")
    transport.answers = [Response(500)] * 100
    run(state, clock, timedelta(days=2), timedelta(hours=1))
    assert acme(state).status is Status.DEAD


def test_look_ups_that_nobody_answers_are_not_due(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """While none may be made, nothing is due before the next may; what is to be sent still is."""
    record(app, *(f"c{n}" for n in range(6)))
    state.dispatcher.run_pass()
    clock.tick(minutes=16)
    transport.answers = [Unclear("no answer in time")] * 3
    state.dispatcher.run_pass()
    assert state.dispatcher.next_due() == pytest.approx(30, abs=5)
    record(app, "new")
    assert state.dispatcher.next_due() == 0.0


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (Response(429, {"Retry-After": "7200"}), 7200),
        (Response(503, {"Retry-After": "7200"}), 7200),
        (Response(429, {"Retry-After": "900000"}), 86400),
        (Response(429, {"Retry-After": "0"}), 30),
        (Response(429), 30),
    ],
    ids=lambda given: None if isinstance(given, int) else f"{given.status} {given.headers}",
)
def test_a_service_that_is_asked_too_often_is_left_alone(
    app: Flask,
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    answer: Response,
    wait: int,
) -> None:
    """No look-up is made before it lets us, of whomever; what is to be sent is sent meanwhile."""
    record(app, *(f"c{n}" for n in range(6)))
    state.dispatcher.run_pass()
    transport.answers = [answer, Response(200), *[FOUND] * 20]
    after(state, clock, minutes=16)
    record(app, "new")
    after(state, clock, seconds=wait - 1)
    assert looked_up(transport) == 1
    assert state.dispatcher.next_due() == pytest.approx(1.0)
    after(state, clock, seconds=1)
    assert looked_up(transport) > 5
    assert state.ledger.get("new").attempts == 1


def test_who_is_in_doubt_waits_as_long(
    app: Flask, trusted: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Whatever asks for this very entry: a queue's message, or the probe of a pause."""
    lose_acme(app, transport)
    clock.tick(minutes=16)
    trusted.ledger.let_look_ups_rest(timedelta(hours=2))
    record(app, "new")  # so that there is something to do
    asked = len(transport.requests)
    trusted.dispatcher.deliver(acme(trusted).id)
    assert len(transport.requests) == asked
    transport.answers = [Response(200), FOUND]
    after(trusted, clock, hours=2)
    assert acme(trusted).status is Status.VERIFIED


def test_a_shorter_wish_shortens_no_longer_one(state: State, clock: Clock) -> None:
    """Two look-ups at once may be asked to wait for different times."""
    state.ledger.let_look_ups_rest(timedelta(hours=2))
    state.ledger.let_look_ups_rest(timedelta(seconds=1))
    assert state.ledger.look_ups_rest() == timedelta(hours=2)
    clock.tick(hours=2)
    assert state.ledger.look_ups_rest() == timedelta(0)


def test_a_wish_by_a_clock_that_was_set_back_is_forgotten(state: State, clock: Clock) -> None:
    """Nobody waits for a time that a wrong clock named."""
    clock.tick(days=300)
    state.ledger.let_look_ups_rest(timedelta(hours=2))
    clock.tick(days=-300)
    assert state.ledger.look_ups_rest() == timedelta(0)


def test_verify_after_is_obeyed(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Another VERIFY_AFTER is another time of the first look."""
    app = make_app(**KEYS, VERIFY_AFTER=timedelta(hours=2))
    deliver_acme(app, transport, FOUND)
    assert get_state(app).dispatcher.next_due() == 2 * 3600.0


def test_a_verified_customer_is_told(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """``conversion_verified`` has the entry as it is then."""
    heard: list[Entry] = []

    def receive(_sender: Flask, entry: Entry) -> None:
        heard.append(entry)

    deliver_acme(app, transport, FOUND)
    with signals.conversion_verified.connected_to(receive):
        after(state, clock, minutes=15)
    assert heard == [acme(state)]


def test_a_test_customer_is_warned_about(
    app: Flask,
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Found as a test: kept as one, and said, because no partner is paid for it."""
    deliver_acme(app, transport, FOUND_TEST)
    caplog.set_level(logging.WARNING)
    after(state, clock, minutes=15)
    assert acme(state).test is True
    (warning,) = (r for r in caplog.records if "test customer" in r.getMessage())
    assert warning.levelno == logging.WARNING


def test_a_test_customer_among_real_ones_is_an_error(
    app: Flask,
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When the others are real, somebody has mixed up what is what: for a person."""
    deliver_acme(app, transport, FOUND)
    after(state, clock, minutes=15)
    record(app, "zen")
    state.dispatcher.run_pass()
    transport.answers = [FOUND_TEST]
    after(state, clock, minutes=15)
    (error,) = (r for r in caplog.records if "test customer" in r.getMessage())
    assert error.levelno == logging.ERROR
    assert "while others are real ones" in error.getMessage()


def test_what_never_appears_is_for_a_person(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Missing after 15 minutes, an hour more and a day more: dead, and never sent again."""
    deliver_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10)
    due = []
    for _ in range(3):
        due.append(trusted.dispatcher.next_due())
        after(trusted, clock, seconds=due[-1] or 0)
    assert due == [15 * 60.0, 3600.0, 86400.0]
    assert acme(trusted).reason == "accepted but never appeared: no such customer"
    assert acme(trusted).status is Status.DEAD
    assert len(transport.conversions) == 1


def test_what_appears_late_is_verified(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Two looks in vain are no harm: the third finds it."""
    deliver_acme(app, transport, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER, FOUND)
    run(trusted, clock, timedelta(hours=26), timedelta(minutes=15))
    assert acme(trusted).status is Status.VERIFIED
    assert len(transport.conversions) == 1


def test_a_person_may_send_what_never_appeared(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Requeued, it is looked up once more, because by now it may be there, and then sent."""
    deliver_acme(app, transport, *[NO_SUCH_CUSTOMER] * 3)
    run(trusted, clock, timedelta(hours=26), timedelta(minutes=15))
    trusted.ledger.requeue("acme")
    trusted.ledger.note_found("pk_live")
    transport.answers, before = [NO_SUCH_CUSTOMER], len(transport.requests)
    trusted.dispatcher.run_pass()
    assert [request.method for request in transport.requests[before:]] == ["GET", "POST"]
    assert acme(trusted).status is Status.DELIVERED


def test_without_keys_nobody_is_looked_up(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """Delivered is the end when there is no key pair."""
    app = make_app()
    deliver_acme(app, transport)
    assert get_state(app).dispatcher.next_due() is None


def test_keys_that_were_taken_away_ask_nobody(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Delivered with keys and due without: nothing is asked with none, and it is not dead."""
    deliver_acme(app, transport)
    settings = type(state.settings)(token="t0ken")
    bare = type(state.dispatcher)(settings, state.ledger, state.dispatcher._client)
    clock.tick(minutes=15)
    bare.run_pass()
    assert looked_up(transport) == 0
    assert acme(state).reason == NO_PAIR
    transport.answers = [FOUND]
    after(state, clock, days=1)
    assert acme(state).status is Status.VERIFIED


@pytest.mark.parametrize(
    ("key", "left", "status"),
    [("acme", "acme", Status.VERIFIED), ("jo@acme.com", "", Status.DELIVERED)],
)
def test_who_waits_for_keys_is_pruned_all_the_same(
    make_app: MakeApp,
    transport: ScriptedTransport,
    clock: Clock,
    key: str,
    left: str,
    status: Status,
) -> None:
    """Retention runs on; that nobody was asked stays known, and is made up for if a key is left."""
    app = make_app(**KEYS)
    state = get_state(app)
    record(app, key)
    state.dispatcher.run_pass()
    settings = type(state.settings)(token="t0ken", retention=timedelta(days=30))
    bare = type(state.dispatcher)(settings, state.ledger, state.dispatcher.client)
    for _ in range(31):
        bare.run_pass()
        assert state.ledger.prunable(timedelta(days=30)) == 0
        clock.tick(days=1)
    bare.run_pass()
    entry = state.ledger.get(key)
    assert (entry.customer_key, entry.status, entry.reason) == (left, Status.DELIVERED, NO_PAIR)
    assert state.ledger.conversion_of(entry).email is None
    transport.answers = [FOUND]
    after(state, clock, days=2)
    assert state.ledger.get(key).status is status


# --- whose 404 counts -----------------------------------------------------------------------------


def test_a_404_of_keys_that_never_found_anybody_counts_for_nothing(
    app: Flask,
    state: State,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Test keys beside a production token: said loudly, and nobody dies or is sent again of it."""
    deliver_acme(app, transport, *[NO_SUCH_CUSTOMER] * 1000)
    run(state, clock, timedelta(days=60), timedelta(hours=1))
    assert acme(state).status is Status.DELIVERED
    assert len(transport.conversions) == 1
    assert "test keys beside a production token" in caplog.text
    assert set(judged(state)) == {Judgement.ACCEPTED, Judgement.CANNOT_TELL}


def test_looks_that_cannot_tell_become_rare(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """In two months of wrong keys one customer is looked for some sixty times, not each hour."""
    deliver_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10_000)
    run(state, clock, timedelta(days=60), timedelta(hours=1))
    assert 50 <= looked_up(transport) <= 70


def test_other_keys_start_unknown(
    make_app: MakeApp, trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """What one pair has found is no credit for another."""
    deliver_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10)
    settings = type(trusted.settings)(token="t", public_key="pk_test", secret_key="sk_test")
    other = type(trusted.dispatcher)(settings, trusted.ledger, trusted.dispatcher._client)
    for _ in range(5):
        clock.tick(days=1)
        other.run_pass()
    assert acme(trusted).status is Status.DELIVERED
    assert not trusted.ledger.knows_pair("pk_test")


def test_a_find_makes_the_next_404_count(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """The pair that found one customer is believed when it misses another."""
    record(app, "known", "acme")
    transport.answers = [Response(200), Response(200), FOUND, NO_SUCH_CUSTOMER]
    state.dispatcher.run_pass()
    after(state, clock, minutes=15)
    assert judged(state) == [Judgement.ACCEPTED, Judgement.MISSING]


def test_after_three_404s_in_a_row_none_is_believed(
    trusted: State,
    app: Flask,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three delivered customers missing and none found: a fourth 404 does not count, loudly.

    Look-ups go on, ever more rarely: only they can show that it is over.
    """
    record(app, "a", "b", "c", "acme")
    trusted.dispatcher.run_pass()
    transport.answers = [NO_SUCH_CUSTOMER] * 1000
    run(trusted, clock, timedelta(days=40), timedelta(hours=1))
    assert trusted.ledger.counts()[Status.DELIVERED] == 4
    assert judged(trusted)[1] is Judgement.CANNOT_TELL
    assert "No 404 is believed" in caplog.text


def test_a_find_makes_404s_believed_again(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """As soon as anybody is found, a 404 counts again."""
    record(app, "a", "b", "c", "acme")
    trusted.dispatcher.run_pass()
    transport.answers = [NO_SUCH_CUSTOMER] * 4
    after(trusted, clock, minutes=15)
    transport.answers = [FOUND, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER]
    after(trusted, clock, hours=1)
    assert trusted.ledger.misses() == 3
    assert judged(trusted) == [Judgement.ACCEPTED, Judgement.CANNOT_TELL, Judgement.MISSING]


@pytest.mark.parametrize("answer", CANNOT_TELL, ids=str)
def test_anything_but_found_or_a_clean_404_cannot_tell(
    trusted: State,
    app: Flask,
    transport: ScriptedTransport,
    clock: Clock,
    answer: Response | DeliveryError,
) -> None:
    """Postponed, whatever it is and however often it comes, and never taken for missing."""
    deliver_acme(app, transport)
    for _ in range(5):
        transport.answers = [answer]
        after(trusted, clock, days=1)
    assert judged(trusted) == [Judgement.ACCEPTED] + [Judgement.CANNOT_TELL] * 5
    assert acme(trusted).status is Status.DELIVERED
    assert (trusted.ledger.misses(), len(transport.conversions)) == (0, 1)


def test_an_api_that_is_down_between_two_misses_changes_nothing(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """What was missed before still counts, and what cannot tell counts for nothing."""
    deliver_acme(app, transport, NO_SUCH_CUSTOMER, Response(500), NO_SUCH_CUSTOMER, Response(500))
    for _ in range(4):
        after(trusted, clock, days=1)
    assert acme(trusted).status is Status.DELIVERED
    transport.answers = [NO_SUCH_CUSTOMER]
    trusted.ledger.note_found("pk_live")
    after(trusted, clock, days=1)
    assert acme(trusted).status is Status.DEAD


# --- keys that are taken apart on the way ---------------------------------------------------------


def lose(app: Flask, transport: ScriptedTransport, key: str) -> None:
    """Send one conversion without an answer; whoever looks for it is told that it is not there."""
    record(app, key)
    transport.answers = [Unclear("hung up"), *[NO_SUCH_CUSTOMER] * 1000]
    get_state(app).dispatcher.run_pass()


@pytest.mark.parametrize("key", ["acme/42", "acme\\42", "50%", "%2F", "...", "acme//42"])
def test_a_404_for_a_key_that_may_be_taken_apart_sends_nothing_again(
    trusted: State,
    app: Flask,
    transport: ScriptedTransport,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    """A server that decodes %2F before it routes finds nobody, who is there all the same."""
    lose(app, transport, key)
    run(trusted, clock, timedelta(days=2), timedelta(minutes=30))
    entry = trusted.ledger.get(key)
    assert (entry.status, len(transport.conversions)) == (Status.PENDING, 1)
    told = {attempt.judged for attempt in trusted.ledger.trail(entry)}
    assert told == {Judgement.UNCLEAR, Judgement.CANNOT_TELL}
    assert "no such key was ever found" in caplog.text


def test_a_delivered_key_that_may_be_taken_apart_is_not_given_up(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Nobody dies, and nobody else's 404 is doubted, because slashes lead elsewhere."""
    record(app, "a/1", "a/2", "a/3", "acme")
    trusted.dispatcher.run_pass()
    transport.answers = [NO_SUCH_CUSTOMER] * 1000
    run(trusted, clock, timedelta(days=3), timedelta(minutes=30))
    assert trusted.ledger.counts()[Status.DELIVERED] == 3
    assert acme(trusted).status is Status.DEAD


def test_a_find_of_such_a_key_makes_its_404_count(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Where one key with a slash was found, another that is not there is sent again."""
    record(app, "acme/1")
    transport.answers = [Response(200), FOUND]
    run(trusted, clock, timedelta(minutes=16), timedelta(minutes=1))
    lose(app, transport, "acme/2")
    run(trusted, clock, timedelta(minutes=35), timedelta(minutes=5))
    assert len(transport.conversions) == 3


def test_a_find_of_one_kind_of_key_says_nothing_of_another(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """A slash that gets through is no reason to believe that a per cent sign does."""
    trusted.ledger.note_found("pk_live", kinds=["slash"])
    lose(app, transport, "50%/2")
    run(trusted, clock, timedelta(days=1), timedelta(minutes=30))
    assert len(transport.conversions) == 1


# --- what may have been taken ---------------------------------------------------------------------


def test_what_may_have_been_taken_is_looked_up_first(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Found: verified, and nothing is sent a second time."""
    lose_acme(app, transport, FOUND)
    after(state, clock, minutes=15)
    assert acme(state).status is Status.VERIFIED
    assert judged(state) == [Judgement.UNCLEAR, Judgement.FOUND]
    assert len(transport.conversions) == 1


def test_two_clean_404s_send_again(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Missing after 15 and after 30 minutes: sent again at the half hour, and not before."""
    lose_acme(app, transport, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER)
    after(trusted, clock, minutes=15)
    after(trusted, clock, minutes=14, seconds=59)
    assert (looked_up(transport), len(transport.conversions)) == (1, 1)
    after(trusted, clock, seconds=1)
    assert (looked_up(transport), len(transport.conversions)) == (2, 2)
    assert acme(trusted).status is Status.DELIVERED
    missing = [Judgement.MISSING, Judgement.MISSING]
    assert judged(trusted) == [Judgement.UNCLEAR, *missing, Judgement.ACCEPTED]


def test_the_second_404_is_half_an_hour_after_the_attempt(
    make_app: MakeApp, transport: ScriptedTransport, clock: Clock
) -> None:
    """However early the first look is, thirty minutes of silence are waited for."""
    app = make_app(**KEYS, VERIFY_AFTER=timedelta(minutes=1))
    state = get_state(app)
    state.ledger.note_found("pk_live")
    lose_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10)
    run(state, clock, timedelta(minutes=30), timedelta(seconds=30))
    assert len(transport.conversions) == 1
    after(state, clock, seconds=30)
    assert len(transport.conversions) == 2


def test_one_404_sends_nothing(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Missing at the first look and found at the second: verified, and sent once."""
    lose_acme(app, transport, NO_SUCH_CUSTOMER, FOUND)
    run(trusted, clock, timedelta(hours=2), timedelta(minutes=5))
    assert acme(trusted).status is Status.VERIFIED
    assert len(transport.conversions) == 1


def test_one_404_long_after_is_not_two(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """A first look after a whole day is a first look: the second comes, and finds it."""
    lose_acme(app, transport, NO_SUCH_CUSTOMER, FOUND)
    after(trusted, clock, days=1)
    assert trusted.dispatcher.next_due() == 60.0
    after(trusted, clock, minutes=1)
    assert (acme(trusted).status, len(transport.conversions)) == (Status.VERIFIED, 1)


@pytest.mark.parametrize("answer", CANNOT_TELL, ids=str)
def test_what_cannot_be_told_is_never_sent_again(
    trusted: State,
    app: Flask,
    transport: ScriptedTransport,
    clock: Clock,
    answer: Response | DeliveryError,
) -> None:
    """The v2 API down, or broken: an unclear entry waits for it for weeks, and is not sent."""
    lose_acme(app, transport, *[answer] * 1000)
    run(trusted, clock, timedelta(days=29), timedelta(hours=6))
    assert acme(trusted).status is Status.PENDING
    assert len(transport.conversions) == 1
    transport.answers = [FOUND]
    after(trusted, clock, hours=6)
    assert acme(trusted).status is Status.VERIFIED


def test_what_nobody_can_tell_about_is_given_up(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """After GIVE_UP_AFTER of looks that say nothing it is dead, for a person, sent once."""
    lose_acme(app, transport, *[Response(500)] * 10_000)
    run(trusted, clock, timedelta(days=31), timedelta(hours=6))
    assert acme(trusted).status is Status.DEAD
    assert (acme(trusted).reason or "").startswith("given up, it may have been taken")
    assert len(transport.conversions) == 1


def test_what_is_requeued_and_cannot_be_told_is_given_up_again(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Its time begins anew with the requeue, though it is only looked up and never sent."""
    lose_acme(app, transport, *[Response(500)] * 10_000)
    run(trusted, clock, timedelta(days=31), timedelta(hours=6))
    trusted.ledger.requeue("acme")
    run(trusted, clock, timedelta(days=29), timedelta(hours=6))
    assert acme(trusted).status is Status.PENDING
    run(trusted, clock, timedelta(days=2), timedelta(hours=6))
    assert (acme(trusted).status, len(transport.conversions)) == (Status.DEAD, 1)


def test_unclear_and_unknown_keys_send_nothing_again(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Test keys beside a production token re-send nobody, and give up in the end."""
    lose_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10_000)
    run(state, clock, timedelta(days=31), timedelta(hours=6))
    assert acme(state).status is Status.DEAD
    assert len(transport.conversions) == 1


def test_five_unclear_attempts_are_enough(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Sent five times without an answer, each after two clean misses: dead, for a person."""
    record(app, "acme")
    transport.answers = [take_nothing] * 1000
    run(trusted, clock, timedelta(days=2), timedelta(minutes=5))
    assert (acme(trusted).status, len(transport.conversions)) == (Status.DEAD, MOST_UNCLEAR)
    assert (acme(trusted).reason or "").startswith("given up, unclear too often")


def test_a_person_may_send_once_more_after_five(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Requeued after five unclear attempts it is looked up, and sent when it is not there."""
    record(app, "acme")
    transport.answers = [take_nothing] * 1000
    run(trusted, clock, timedelta(days=2), timedelta(minutes=5))
    assert acme(trusted).status is Status.DEAD
    trusted.ledger.requeue("acme")
    transport.answers, before = [NO_SUCH_CUSTOMER], len(transport.requests)
    trusted.dispatcher.run_pass()
    assert [request.method for request in transport.requests[before:]] == ["GET", "POST"]
    assert acme(trusted).status is Status.DELIVERED


def test_a_dead_one_that_may_have_been_taken_is_looked_up_when_requeued(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Given up at its first unclear answer: a requeue asks before it sends."""
    record(app, "acme")
    transport.answers = [Response(429)]
    trusted.dispatcher.run_pass()
    transport.answers = [Unclear("hung up")]
    after(trusted, clock, days=31)
    assert acme(trusted).status is Status.DEAD
    trusted.ledger.requeue("acme")
    transport.answers = [FOUND]
    trusted.dispatcher.run_pass()
    assert (acme(trusted).status, len(transport.conversions)) == (Status.VERIFIED, 2)


def test_a_send_again_that_is_refused_is_looked_up_again(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Once unclear, always looked up: each further send needs two clean misses of its own."""
    lose_acme(app, transport, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER, Response(429))
    run(trusted, clock, timedelta(minutes=35), timedelta(minutes=5))
    assert len(transport.conversions) == 2
    transport.answers = [NO_SUCH_CUSTOMER, FOUND]
    run(trusted, clock, timedelta(hours=2), timedelta(minutes=5))
    assert (acme(trusted).status, len(transport.conversions)) == (Status.VERIFIED, 2)


@pytest.mark.parametrize(
    ("answers", "sent"), [([FOUND], 0), ([NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER], 1)]
)
def test_an_interrupted_send_is_looked_up(
    trusted: State,
    app: Flask,
    transport: ScriptedTransport,
    clock: Clock,
    answers: list[Response],
    sent: int,
) -> None:
    """Killed after its attempt was counted: sent again only when it is cleanly missing."""
    record(app, "acme")
    (claim,) = trusted.ledger.claim(1)
    trusted.ledger.count_attempt(claim)
    transport.answers = [*answers]
    run(trusted, clock, timedelta(hours=1), timedelta(minutes=1))
    assert len(transport.conversions) == sent
    assert judged(trusted)[0] is Judgement.UNCLEAR
    assert acme(trusted).status in (Status.VERIFIED, Status.DELIVERED)


def test_an_interrupted_send_that_was_parked_is_looked_up(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Taken over by an app under test, which parks it: a requeue still asks before it sends."""
    record(app, "acme")
    (claim,) = trusted.ledger.claim(1)
    trusted.ledger.count_attempt(claim)
    clock.tick(minutes=3)
    (again,) = trusted.ledger.claim(1)
    trusted.ledger.park(again, reason="testing")
    trusted.ledger.requeue("acme")
    transport.answers = [FOUND]
    trusted.dispatcher.run_pass()
    assert (acme(trusted).status, transport.conversions) == (Status.VERIFIED, [])


def test_a_clock_that_is_set_back_holds_nobody(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Lost by a clock five days ahead: its half hour begins when the clock is put right."""
    clock.tick(days=5)
    lose_acme(app, transport, *[NO_SUCH_CUSTOMER] * 2)
    clock.tick(days=-5)
    run(trusted, clock, timedelta(minutes=29), timedelta(minutes=1))
    assert len(transport.conversions) == 1
    run(trusted, clock, timedelta(minutes=31), timedelta(minutes=1))
    assert len(transport.conversions) == 2


# --- customers that appear late -------------------------------------------------------------------


def test_a_read_back_lag_of_two_hours_doubles_nothing(
    app: Flask, state: State, transport: ScriptedTransport, clock: Clock
) -> None:
    """Six of twelve lose their answer, two hours apart and less: twelve sent, twelve found."""
    lost = "l0 l1 l2 l3 l4 l5"
    service = LaggingPartnerStack(clock, timedelta(hours=2), hangs_up_on=lost)
    transport.answers = [service.answer] * 10_000
    for number in range(6):
        record(app, f"l{number}", f"d{number}")
        run(state, clock, timedelta(minutes=25), timedelta(minutes=1))
    run(state, clock, timedelta(days=2), timedelta(minutes=5))
    assert state.ledger.counts()[Status.VERIFIED] == 12
    assert (len(transport.conversions), service.doubled) == (12, [])


def test_a_delivered_one_that_is_late_holds_the_unclear(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """A known pair and a sudden lag: who was taken and is not there shows that 404s lie."""
    service = LaggingPartnerStack(clock, timedelta(hours=2), hangs_up_on="acme")
    transport.answers = [service.answer] * 10_000
    record(app, "taken", "acme")
    run(trusted, clock, timedelta(days=2), timedelta(minutes=5))
    assert trusted.ledger.counts()[Status.VERIFIED] == 2
    assert service.doubled == []


def test_three_unclear_ones_that_are_all_missing_wait_for_a_day(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """A known pair, a lag, and no answer to anything: absence is not believed before a day."""
    service = LaggingPartnerStack(clock, timedelta(hours=2), hangs_up_on="acme bolt corp")
    transport.answers = [service.answer] * 10_000
    record(app, "acme", "bolt", "corp")
    run(trusted, clock, timedelta(days=2), timedelta(minutes=5))
    assert trusted.ledger.counts()[Status.VERIFIED] == 3
    assert service.doubled == []


def test_three_that_were_really_lost_are_sent_again_after_a_day(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """What never arrived is not held back for ever."""
    transport.answers = [take_nothing] * 10_000
    record(app, "acme", "bolt", "corp")
    run(trusted, clock, timedelta(hours=23), timedelta(minutes=30))
    assert len(transport.conversions) == 3
    run(trusted, clock, timedelta(hours=3), timedelta(minutes=30))
    assert len(transport.conversions) == 6


def test_the_lag_is_forgotten_when_it_is_over(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """One customer that is found at its first look brings back the half hour."""
    trusted.ledger.note_miss(timedelta(hours=20))
    record(app, "prompt")
    transport.answers = [Response(200), FOUND]
    run(trusted, clock, timedelta(minutes=20), timedelta(minutes=5))
    lose_acme(app, transport, NO_SUCH_CUSTOMER, NO_SUCH_CUSTOMER)
    run(trusted, clock, timedelta(minutes=35), timedelta(minutes=5))
    assert len(transport.conversions) == 3


def test_a_lag_is_waited_for_a_day_at_most(
    trusted: State, app: Flask, transport: ScriptedTransport, clock: Clock
) -> None:
    """Weeks of wrong keys look like a lag of weeks: an unclear entry waits for a day of it."""
    trusted.ledger.note_found("pk_live", took=timedelta(days=20), late=True)
    lose_acme(app, transport, *[NO_SUCH_CUSTOMER] * 10)
    run(trusted, clock, timedelta(days=1), timedelta(minutes=5))
    assert len(transport.conversions) == 1
    trusted.dispatcher.run_pass()
    assert len(transport.conversions) == 2
