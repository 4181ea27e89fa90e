"""``track_signup`` and ``set_customer``: who is credited, and who is not."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Blueprint
from flask import Flask
from flask import Response
from flask import flash
from flask import redirect
from flask import request
from flask import stream_with_context
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.local import LocalProxy

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import set_customer
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from tests.kit import XID

MakeApp = Callable[..., Flask]
View = Callable[..., Any]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor who came by a partner's link."""
    client = app.test_client()
    client.set_cookie("ps_xid", XID)
    return client


def keys(app: Flask) -> list[str]:
    return [entry.customer_key for entry in get_state(app).ledger.entries()]


def route(app: Flask, view: View, rule: str = "/signup") -> None:
    app.add_url_rule(rule, view_func=view, methods=["GET", "POST", "PUT"])


def test_a_signup_is_recorded(app: Flask, client: FlaskClient) -> None:
    """The view says who signed up and redirects: that customer is credited to the click."""

    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer("acme", email="jo@acme.com", name="Jo")
        return redirect("/welcome")

    route(app, signup)
    assert client.post("/signup").status_code == 302
    entry = get_state(app).ledger.get("acme")
    assert entry.xid == XID
    assert get_state(app).ledger.conversion_of(entry).name == "Jo"


def test_what_is_not_said_comes_from_the_request(app: Flask, client: FlaskClient) -> None:
    """The click's sub IDs and the visitor's browser are there without being asked for."""

    @track_signup
    def signup() -> str:
        set_customer("acme")
        return "ok"

    route(app, signup)
    client.post("/signup?ps_xid=FreshClick1234&sid=news", headers={"User-Agent": "Firefox"})
    ledger = get_state(app).ledger
    conversion = ledger.conversion_of(ledger.get("acme"))
    assert (conversion.sub_ids, conversion.user_agent) == (("news",), "Firefox")


def test_a_visitor_whom_nobody_referred_is_not(app: Flask) -> None:
    """The same view records nothing for somebody who came by himself."""

    @track_signup
    def signup() -> str:
        set_customer("acme")
        return "welcome"

    route(app, signup)
    assert app.test_client().post("/signup").status_code == 200
    assert keys(app) == []


def test_a_form_shown_again_credits_nobody(app: Flask, client: FlaskClient) -> None:
    """Neither the empty form nor the one with errors calls ``set_customer``."""

    @track_signup
    def signup() -> str:
        if request.form.get("name"):
            set_customer("acme")
        return "form"

    route(app, signup)
    client.get("/signup")
    client.post("/signup", data={"name": ""})
    assert keys(app) == []


def test_a_double_submit_credits_once(app: Flask, client: FlaskClient) -> None:
    """The same customer twice is one entry."""

    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer("acme")
        return redirect("/welcome")

    route(app, signup)
    client.post("/signup")
    client.post("/signup")
    assert keys(app) == ["acme"]


def test_a_view_that_fails_credits_nobody(app: Flask, client: FlaskClient) -> None:
    """An exception of the view passes through untouched, and nothing is recorded."""

    @track_signup
    def signup() -> str:
        set_customer("acme")
        raise LookupError("the database of users")

    route(app, signup)
    assert client.post("/signup").status_code == 500
    app.testing = True
    with pytest.raises(LookupError, match="the database of users"):
        client.post("/signup")
    assert keys(app) == []


@pytest.mark.parametrize("status", [400, 409, 422, 500])
def test_an_answer_of_400_or_more_credits_nobody(
    app: Flask, client: FlaskClient, status: int
) -> None:
    """The view said who, and then answered that it did not work out."""

    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer("acme")
        return "no", status

    route(app, signup)
    client.post("/signup")
    assert keys(app) == []


def test_the_finished_response_counts(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that makes an error of the answer, a failed commit for one, credits nobody; said."""
    app = make_app()

    @app.after_request
    def fail(response: Response) -> Response:
        return Response("commit failed", 500) if request.path == "/signup" else response

    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer("acme")
        return redirect("/welcome")

    route(app, signup)
    client = app.test_client()
    client.set_cookie("ps_xid", XID)
    client.post("/signup")
    assert keys(app) == []
    assert f"customer acme, xid {XID}: the view named them, and was answered 500" in caplog.text
    assert caplog.records[-1].partnerstack_xid == XID  # type: ignore[attr-defined]


def test_an_error_is_not_spoken_of_for_whom_nobody_referred(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing would have been recorded of them anyhow."""

    @track_signup
    def signup() -> ResponseReturnValue:
        set_customer("acme")
        return "no", 422

    route(app, signup)
    app.test_client().post("/signup")
    assert caplog.records == []


def test_the_last_call_wins(app: Flask, client: FlaskClient) -> None:
    """A view that changes its mind is believed."""

    @track_signup
    def signup() -> str:
        set_customer("first")
        set_customer("second")
        return "ok"

    route(app, signup)
    client.post("/signup")
    assert keys(app) == ["second"]


# --- customer= and success= ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answer", "credited"),
    [
        ("POST /signup", ("created", 201), True),
        ("PUT /signup", ("created", 201), True),
        ("POST /signup", ("", 302, {"Location": "/welcome"}), True),
        ("POST /signup", ("", 303, {"Location": "https://app.acme.com/welcome"}), True),
        ("POST /signup", ("", 302, {"Location": "/signup"}), False),
        ("POST /signup", ("", 302, {"Location": "/signup?error=taken"}), False),
        ("POST /signup", ("", 302, {"Location": "http://localhost/signup"}), False),
        ("POST /signup", ("", 302, {"Location": "?again"}), False),
        ("POST /inscripción", ("", 302, {"Location": "/inscripción"}), False),
        ("POST /inscripción", ("", 302, {"Location": "/inscripci%C3%B3n?error=taken"}), False),
        ("POST /inscripción", ("", 302, {"Location": "?again"}), False),
        ("POST /inscripción", ("", 302, {"Location": "/bienvenido"}), True),
        ("POST /a%2520b", ("", 302, {"Location": "/a%2520b"}), False),
        ("POST /a%2520b", ("", 302, {"Location": "/a%20b"}), True),
        ("POST /signup", ("", 302), False),
        ("POST /signup", ("form", 200), False),
        ("POST /signup", ("no", 422), False),
        ("GET /signup", ("created", 201), False),
        ("GET /signup", ("", 302, {"Location": "/welcome"}), False),
    ],
)
def test_customer_is_asked_when_it_looks_like_success(
    app: Flask, client: FlaskClient, asked: str, answer: Any, credited: bool
) -> None:
    """An unsafe request that was answered with 201 or a redirect elsewhere, and no other."""
    view = track_signup(customer=lambda: {"customer_key": "acme"})(lambda **_path: answer)
    app.add_url_rule("/<path>", "signup", view, methods=["GET", "POST", "PUT"])
    method, path = asked.split()
    client.open(path, method=method)
    assert keys(app) == (["acme"] if credited else [])


@pytest.mark.parametrize(
    ("asked", "answer", "credited"),
    [
        ("https://www.acme.com/", "https://app.acme.com/", True),
        ("https://acme.com/", "//app.acme.com", True),
        ("http://acme.com/", "https://acme.com/", False),
        ("http://acme.com/", "https://acme.com", False),
        ("http://acme.com/", "https://ACME.com:8443/?error=taken", False),
        ("https://acme.com/", "https://www.acme.com/", False),
        ("https://www.acme.com/", "https://acme.com/", False),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/", False),
        ("https://acme.com/", "https://acme.com/welcome", True),
    ],
)
def test_the_same_path_of_another_host_is_elsewhere(
    app: Flask, asked: str, answer: str, credited: bool
) -> None:
    """A signup on the site may lead into the app, whose front page has the same path."""
    view = track_signup(customer=lambda: {"customer_key": "acme"})(lambda: redirect(answer))
    app.add_url_rule("/", "signup", view, methods=["POST"])
    app.test_client().post(f"/?ps_xid={XID}", base_url=asked)
    assert keys(app) == (["acme"] if credited else [])


def test_taken_and_back_to_the_form_credits_nobody(app: Flask, client: FlaskClient) -> None:
    """A flashed error and a redirect to the form itself is no signup."""
    app.secret_key = "s"

    @track_signup(customer=lambda: {"customer_key": "acme"})
    def signup() -> ResponseReturnValue:
        flash("That name is taken.")
        return redirect(request.url)

    route(app, signup)
    assert client.post("/signup").status_code == 302
    assert keys(app) == []


def test_customer_may_say_nobody(app: Flask, client: FlaskClient) -> None:
    """``None`` is nobody: find-or-create found one."""
    view = track_signup(customer=lambda: None)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert keys(app) == []


def test_success_replaces_the_rule(app: Flask, client: FlaskClient) -> None:
    """An endpoint that answers 200 with JSON says itself what success is."""

    def succeeded(response: Response) -> bool:
        return bool(response.get_json()["ok"])

    @track_signup(customer=lambda: {"customer_key": request.args["key"]}, success=succeeded)
    def signup() -> ResponseReturnValue:
        return {"ok": request.args["key"] == "good"}

    route(app, signup)
    client.post("/signup?key=bad")
    client.post("/signup?key=good")
    assert keys(app) == ["good"]


def test_set_customer_needs_no_rule(app: Flask, client: FlaskClient) -> None:
    """Who called ``set_customer`` is believed before ``customer=`` is asked."""

    @track_signup(customer=lambda: {"customer_key": "asked"})
    def signup() -> str:
        set_customer("said")
        return "ok"

    route(app, signup)
    client.post("/signup")
    assert keys(app) == ["said"]


def test_success_that_raises_tells_whose_conversion_is_lost(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The line has the key to record it by; of a visitor whom nobody referred there is none."""

    def succeeded(response: Response) -> bool:
        return bool(response.json["ok"])  # type: ignore[index]  # the mistake

    route(app, track_signup(customer=lambda: {"customer_key": "k4"}, success=succeeded)(str))
    for visitor in (client, app.test_client()):
        assert visitor.post("/signup").status_code == 200
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [f"NOT recorded: customer k4, xid {XID}: " in line for line in said[-1:]] == [True]
    assert caplog.text.count("NOT recorded") == 1


@pytest.mark.parametrize("role", ["customer", "success"])
@pytest.mark.parametrize("given", ["acme", {"customer_key": "jo@acme.com"}, True])
@pytest.mark.parametrize("decorator", [track_signup, PartnerStack.track_signup])
def test_what_cannot_be_asked_is_refused_at_once(decorator: View, role: str, given: Any) -> None:
    """The mistake shows at the import, and its value, somebody's address perhaps, nowhere."""
    expected = rf"^{role}: expected a function, def or async def, got {type(given).__name__}\."
    with pytest.raises(TypeError, match=expected) as raised:
        decorator(**{role: given})
    assert "acme.com" not in str(raised.value)


@pytest.mark.parametrize("decorate", [track_signup, PartnerStack().track_signup, track_signup()])
def test_what_is_no_view_is_refused_at_once(decorate: Any) -> None:
    """A path given as to a route is a mistake of the module, and not of the first signup."""
    with pytest.raises(TypeError, match=r"^track_signup: expected a view, got str\. .* customer="):
        decorate("/signup")


# --- every kind of view -------------------------------------------------------------------------


def test_async_views_are_tracked(app: Flask, client: FlaskClient) -> None:
    """An ``async def`` view, with ``customer`` and ``success`` async as well."""

    async def customer() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"customer_key": "acme", "name": "Jo"}

    async def success(response: Response) -> bool:
        await asyncio.sleep(0)
        return response.status_code == 200

    @track_signup(customer=customer, success=success)
    async def signup() -> str:
        await asyncio.sleep(0)
        return "ok"

    route(app, signup)
    assert client.post("/signup").text == "ok"
    assert keys(app) == ["acme"]


def test_an_async_view_says_who(app: Flask, client: FlaskClient) -> None:
    """``set_customer`` works in the loop's thread, too; an exception there credits nobody."""

    @track_signup
    async def signup() -> ResponseReturnValue:
        set_customer(request.args["key"])
        if request.args["key"] == "bad":
            raise LookupError
        return redirect("/welcome")

    route(app, signup)
    client.post("/signup?key=good")
    client.post("/signup?key=bad")
    assert keys(app) == ["good"]


def test_class_based_views_are_tracked(app: Flask, client: FlaskClient) -> None:
    """By ``decorators`` on the class, and by the decorator on one method."""

    class Whole(MethodView):
        decorators = [track_signup]  # noqa: RUF012 - Flask's own way to write it

        def post(self) -> str:
            set_customer("whole")
            return "ok"

    class OneMethod(MethodView):
        @track_signup
        def post(self, name: str) -> str:
            set_customer(name)
            return "ok"

    app.add_url_rule("/whole", view_func=Whole.as_view("whole"))
    app.add_url_rule("/one/<name>", view_func=OneMethod.as_view("one"))
    client.post("/whole")
    client.post("/one/method")
    assert sorted(keys(app)) == ["method", "whole"]


def test_blueprints_and_the_objects_own_decorator(app: Flask, client: FlaskClient) -> None:
    """As README writes it: a blueprint's route over the extension object's decorator."""
    partnerstack = PartnerStack()
    bp = Blueprint("auth", __name__, url_prefix="/auth")

    @bp.route("/signup", methods=["GET", "POST"])
    @partnerstack.track_signup
    def signup() -> ResponseReturnValue:
        partnerstack.set_customer("acme")
        return redirect("/welcome")

    app.register_blueprint(bp)
    client.post("/auth/signup")
    assert keys(app) == ["acme"]


def test_the_view_stays_what_it_is() -> None:
    """Name, docstring and signature are kept, and an async view stays one."""

    def signup(plan: str, *, coupon: str = "") -> str:
        """Sign somebody up."""
        return plan + coupon

    async def later() -> None: ...

    decorated = track_signup(signup)
    assert (decorated.__name__, decorated.__doc__) == ("signup", "Sign somebody up.")
    assert inspect.signature(decorated) == inspect.signature(signup)
    assert inspect.iscoroutinefunction(track_signup(later))


# --- never in the way ---------------------------------------------------------------------------


def test_set_customer_outside_a_decorated_view_is_said(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An ERROR line names the mistake, customer and click; nothing is recorded, nothing raises."""

    def signup() -> str:
        set_customer("acme")
        return "ok"

    route(app, signup)
    assert client.post("/signup").text == "ok"
    with app.app_context():
        set_customer("acme")
    assert keys(app) == []
    assert caplog.text.count("outside a view decorated") == 2
    assert f"customer acme, xid {XID}: " in caplog.text


class Unspeakable:
    """What raises wherever it is put into words."""

    def __str__(self) -> str:
        raise LookupError("no words")

    __repr__ = __str__


def test_a_key_without_words_raises_nowhere(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be a key is said of its click, with its kind, in a decorated view and outside."""
    key: Any = Unspeakable()
    misspelt: Any = {"e_mail": "x"}

    def signup() -> str:
        set_customer(key, **misspelt)
        return "ok"

    route(app, signup)
    app.add_url_rule("/decorated", "decorated", track_signup(signup), methods=["POST"])
    assert client.post("/signup").text == "ok"
    assert client.post("/decorated").text == "ok"
    said = f"customer <Unspeakable>, xid {XID}: "
    lines = [line for line in caplog.messages if said in line]
    assert ["outside a view" in line for line in lines] == [True, False, False]
    assert f"NOT recorded: {said}customer_key: expected a str" in lines[-1]


def tracked_and_named() -> str:
    track_conversion("acme")
    set_customer("acme")
    return "ok"


def test_set_customer_outside_of_whom_is_recorded_is_not_said(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A customer who has an entry is not lost, wherever they are named once more."""
    route(app, tracked_and_named)
    assert client.post("/signup").text == "ok"
    assert keys(app) == ["acme"]
    assert "NOT recorded" not in caplog.text


def test_set_customer_outside_of_whom_is_skipped_is_said(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Consent may be there by now: tracked again, they would be reported."""
    app.extensions["partnerstack"].hooks.add_skip_if(lambda _conversion: "not yet")
    route(app, tracked_and_named)
    assert client.post("/signup").text == "ok"
    assert f"NOT recorded: customer acme, xid {XID}" in caplog.text


class Person:
    """A model whose own text is of somebody."""

    def __repr__(self) -> str:
        return "<Person 7: Jo Secret, 0171 123456>"


@pytest.mark.parametrize("key", [Person(), {"name": "Jo Secret", "password": "hunter2"}])
def test_what_can_be_no_key_is_named_by_its_type(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    """A user in the place of their key is a slip of the pen, and no line tells who they are."""

    def signup() -> str:
        set_customer(key)
        return "ok"

    route(app, signup)
    app.add_url_rule("/decorated", "decorated", track_signup(signup), methods=["POST"])
    for rule in ("/signup", "/decorated"):
        assert client.post(rule).text == "ok"
    assert caplog.text.count(f"customer <{type(key).__name__}>, xid {XID}") == 2
    assert "Secret" not in caplog.text + repr([vars(record) for record in caplog.records])


def test_set_customer_in_a_stream_is_said(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is finished before its generator runs; who is named there is named too late."""

    @track_signup
    def signup() -> ResponseReturnValue:
        def stream() -> Iterator[str]:
            set_customer("acme")
            yield "ok"

        return app.response_class(stream_with_context(stream()))

    route(app, signup)
    assert client.post("/signup").text == "ok"
    assert keys(app) == []
    assert caplog.records[-1].levelno == logging.ERROR
    assert "customer acme" in caplog.text
    assert "set_customer() was called after the response was finished" in caplog.text


@pytest.mark.parametrize("key", [None, "", True])
def test_a_bad_key_is_logged_and_signalled(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    """The signup goes on; the log has the click to repair it by, and the app is told."""
    heard: list[tuple[Entry | None, str]] = []

    def receive(_sender: Flask, entry: Entry | None, reason: str) -> None:
        heard.append((entry, reason))

    @track_signup
    def signup() -> str:
        set_customer(key)
        return "ok"

    route(app, signup)
    with signals.conversion_skipped.connected_to(receive):
        assert client.post("/signup").text == "ok"
    assert [entry for entry, _ in heard] == [None]
    assert "customer_key" in heard[0][1]
    assert XID in caplog.records[-1].getMessage()
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_bad_optional_field_is_left_out(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The conversion is recorded without it; the log names it, and whose it was."""

    @track_signup
    def signup() -> str:
        set_customer("jo@acme.com", email="x" * 10_000, name="Jo")
        return "ok"

    route(app, signup)
    client.post("/signup")
    state = get_state(app)
    conversion = state.ledger.conversion_of(state.ledger.get("jo@acme.com"))
    assert (conversion.email, conversion.name) == (None, "Jo")
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"customer j***@acme.com, xid {XID}: email: expected" in said.getMessage()
    assert vars(said)["partnerstack_customer_key"] == "j***@acme.com"
    assert vars(said)["partnerstack_xid"] == XID


def test_a_field_is_not_spoken_of_for_whom_nobody_referred(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is recorded of them, so that nothing is left out, and the log does not name them."""

    @track_signup
    def signup() -> str:
        set_customer("jane", name="J" * 300)
        return "ok"

    route(app, signup)
    assert app.test_client().post("/signup").text == "ok"
    assert caplog.messages == []


@pytest.mark.parametrize("click", [{"xid": "Stored1234"}, {"referral": Referral("Stored1234")}])
def test_a_field_that_is_left_out_is_said_of_its_own_click(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, click: dict[str, Any]
) -> None:
    """``customer=`` may say which click it is, and then it is that one's."""
    view = track_signup(customer=lambda: {"customer_key": "acme", "email": 1, **click})(
        lambda: ("created", 201)
    )
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert "customer acme, xid Stored1234: email: expected" in caplog.text


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"clicked_at": datetime(2020, 1, 1)}, "referral: clicked_at: expected an aware"),
        ({"partner_key": "a\nb"}, "partner_key: expected text without control"),
        ({"sub_ids": "c001"}, "sub_ids: expected a list"),
    ],
)
def test_what_a_stored_referral_says_amiss_is_left_out(
    app: Flask,
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    stored: dict[str, Any],
    said: str,
) -> None:
    """The click is the partner's all the same; of an unknown moment none is too old."""
    customer = {"customer_key": "acme", "referral": Referral("Stored1234", **stored)}
    view = track_signup(customer=lambda: customer)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert get_state(app).ledger.get("acme").xid == "Stored1234"
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert f"left out: customer acme, xid Stored1234: {said}" in line


def test_what_is_not_recorded_is_said_of_its_own_click(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """The repair is to be made for the click that was given, and not for this visitor's."""
    app = make_app(LEDGER_URL="sqlite:///unfurnished.db")
    customer = {"customer_key": "acme", "xid": "Stored1234"}
    view = track_signup(customer=lambda: customer)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client = app.test_client()
    client.set_cookie("ps_xid", XID)
    assert client.post("/signup").status_code == 201
    assert "NOT recorded: customer acme, xid Stored1234" in caplog.text


def test_a_misspelt_field_is_left_out_by_name(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """``customer=`` may return what we do not know: said, and the rest recorded."""
    view = track_signup(customer=lambda: {"customer_key": "acme", "e_mail": "x"})(
        lambda: ("created", 201)
    )
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert keys(app) == ["acme"]
    assert "e_mail: expected one of" in caplog.text


def test_what_customer_may_say_is_said_whole(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever misspelt the key is told of it, and of nothing that is refused then."""
    view = track_signup(customer=lambda: {"key": "acme"})(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    line = caplog.messages[0]
    expected = line.partition("key: expected one of ")[2].rstrip(".").split(", ")
    arguments = inspect.signature(track_conversion).parameters.keys()
    assert expected == [name for name in arguments if name != "session"]


def test_a_session_beside_a_customer_is_left_out(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The view is over, and so is its transaction: said with the way out, and the rest recorded."""
    customer = {"customer_key": "acme", "session": object()}
    view = track_signup(customer=lambda: customer)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert keys(app) == ["acme"]
    assert "session: the view is over" in caplog.text
    assert "track_conversion(session=" in caplog.text


def test_a_misspelt_field_of_set_customer_breaks_no_signup(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Python would raise in the view, where the user is made already: said, the rest recorded."""
    misspelt: Any = {"e_mail": "jo@acme.com"}

    @track_signup
    def signup() -> str:
        set_customer("acme", name="Jo", **misspelt)
        return "ok"

    route(app, signup)
    assert client.post("/signup").text == "ok"
    state = get_state(app)
    assert state.ledger.conversion_of(state.ledger.get("acme")).name == "Jo"
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"customer acme, xid {XID}: e_mail: expected one of" in said.getMessage()


def test_a_stored_click_that_set_customer_is_given_counts(app: Flask, client: FlaskClient) -> None:
    """It is for ``track_conversion``; but to credit this visitor's click would be worse."""
    stored: Any = {"xid": "Stored1234"}

    @track_signup
    def signup() -> str:
        set_customer("acme", **stored)
        return "ok"

    route(app, signup)
    client.post("/signup")
    assert get_state(app).ledger.get("acme").xid == "Stored1234"


@pytest.mark.parametrize("click", ["xid", "referral"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_customer_without_a_click_is_nobodys(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, click: str, asked: bool
) -> None:
    """``None``, of an empty column, says that this visitor's click is not the customer's."""
    customer: Any = {"customer_key": "acme", click: None}
    track = track_signup(customer=lambda: customer) if asked else track_signup

    @track
    def signup() -> ResponseReturnValue:
        if not asked:
            set_customer(**customer)
        return "created", 201

    route(app, signup)
    client.post("/signup")
    assert (keys(app), caplog.messages) == ([], [])


def test_a_partner_key_beside_a_customer_is_left_out(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The partner is the click's: one that ``customer=`` names is said, and the rest recorded."""
    view = track_signup(customer=lambda: {"customer_key": "acme", "partner_key": "bob"})(
        lambda: ("created", 201)
    )
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client.post("/signup")
    assert get_state(app).ledger.get("acme").partner_key is None
    assert "partner_key: it comes with the click" in caplog.text


def test_hooks_that_raise_cost_no_signup(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A ``customer`` that fails is logged with its traceback, and the visitor sees the page."""

    def customer() -> dict[str, Any]:
        raise LookupError("who?")

    view = track_signup(customer=customer)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    assert client.post("/signup").status_code == 201
    assert "LookupError: who?" in caplog.text


def test_a_ledger_that_fails_costs_no_signup(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """The signup goes on; the ERROR line has what is needed to record it by hand."""
    app = make_app(LEDGER_URL="sqlite:///unfurnished.db")

    @track_signup
    def signup() -> str:
        set_customer("acme")
        return "ok"

    route(app, signup)
    client = app.test_client()
    client.set_cookie("ps_xid", XID)
    assert client.post("/signup").text == "ok"
    assert "NOT recorded: customer acme, xid Kvx64pph9uhCju" in caplog.text
    assert "init-db" in caplog.text


class User:
    """What Flask-Login's ``current_user`` leads to."""


@pytest.mark.parametrize(
    ("returned", "named"),
    [(User(), "User"), (LocalProxy(User), "User"), (42, "int"), (["acme"], "list")],
)
def test_a_customer_that_is_no_mapping_is_said(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, returned: Any, named: str
) -> None:
    """The visitor sees the page; the log names what came, and what was expected."""
    view = track_signup(customer=lambda: returned)(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    assert client.post("/signup").status_code == 201
    assert f"xid {XID}: customer: expected a mapping of track_conversion's" in caplog.text
    assert f"got {named}." in caplog.text
    assert keys(app) == []
    assert caplog.records[-1].levelno == logging.ERROR


class Asynchronous:
    """A callable with an ``async`` call, which no ``iscoroutinefunction`` sees."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def __call__(self, *_given: object) -> Any:
        await asyncio.sleep(0)
        return self._answer


def test_a_callable_may_be_async_without_showing_it(app: Flask, client: FlaskClient) -> None:
    """What ``customer`` and ``success`` return is awaited if it can be."""
    customer, no = Asynchronous({"customer_key": "acme"}), Asynchronous(False)
    credited = track_signup(customer=customer)(lambda: ("created", 201))
    failed = track_signup(customer=customer, success=no)(lambda: ("created", 201))
    app.add_url_rule("/failed", "failed", failed, methods=["POST"])
    app.add_url_rule("/signup", "signup", credited, methods=["POST"])
    client.post("/failed")
    assert keys(app) == []
    client.post("/signup")
    assert keys(app) == ["acme"]


def test_an_app_that_was_never_registered_costs_no_signup(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A forgotten ``init_app`` is an ERROR line for each call, and the visitor sees the page."""
    bare = Flask("bare")

    @track_signup
    def signup() -> str:
        set_customer("acme")
        return "ok"

    route(bare, signup)
    assert bare.test_client().post("/signup").text == "ok"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert caplog.text.count("partnerstack.init_app(app) was not called") == 2


def test_a_view_may_be_called_without_a_request(app: Flask) -> None:
    """A unit test calls it as the function that it is."""
    assert track_signup(lambda: "ok")() == "ok"
    with app.app_context():
        assert track_signup(lambda: "ok")() == "ok"


def test_whatever_is_raised_behind_the_view_costs_no_signup(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Even the line that says so may fail, for somebody else's objects are in it."""

    class Unspeakable(str):
        def __str__(self) -> str:
            raise LookupError("no words")

    view = track_signup(customer=lambda: {"customer_key": Unspeakable()})(lambda: ("created", 201))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    assert client.post("/signup").status_code == 201
    assert "no words" in caplog.text
