"""How a signup ends: whoever was named is in the ledger once, or in one WARNING."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from flask import Blueprint
from flask import Flask
from flask import Response
from flask import abort
from flask import got_request_exception
from flask import redirect
from flask import request
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.exceptions import HTTPException

from flask_partnerstack import set_customer
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack._state import get_state
from tests.kit import XID

MakeApp = Callable[..., Flask]
View = Callable[..., Any]

asked = track_signup(customer=lambda: {"customer_key": "acme"})


class Trouble(Exception):
    """What a view raises, and others make a redirect of."""


# --- what views do ------------------------------------------------------------------------------


def log_in() -> ResponseReturnValue:
    return redirect("/welcome")


def create() -> ResponseReturnValue:
    return "created", 201


def jump() -> ResponseReturnValue:
    abort(redirect("/welcome"))


def turn_away() -> ResponseReturnValue:
    abort(409)


def stumble() -> ResponseReturnValue:
    raise Trouble


def answer_nothing() -> None:
    pass


def naming(view: View, customer_key: str = "acme") -> View:
    """Return a view that says who signed up, and has another one answer."""

    def named() -> Any:
        set_customer(customer_key)
        return view()

    return named


def shielded(view: View) -> View:
    """Return the view under a decorator of the app's, which makes a redirect of its trouble."""

    @wraps(view)
    def answered() -> Any:
        try:
            return view()
        except Trouble:
            return redirect("/welcome")

    return answered


def whole(decorate: View, view: View) -> View:
    """Return a class-based view that is decorated, as its method is."""

    class Signup(MethodView):
        decorators = [decorate]  # noqa: RUF012 - Flask's own way to write it

        @track_signup
        def post(self) -> Any:
            return view()

    return Signup.as_view("signup")


# --- what apps do -------------------------------------------------------------------------------


def nothing(_app: Flask, _bp: Blueprint) -> None:
    pass


def handles(app: Flask, _bp: Blueprint) -> None:
    app.register_error_handler(Exception, lambda _e: redirect("/sorry"))


def tells_of_all(app: Flask, _bp: Blueprint) -> None:
    """Send the signal for whatever is raised, as Flask-RESTful and its heirs do."""
    handle = app.handle_user_exception

    def tell(*given: Any) -> Any:
        got_request_exception.send(app, exception=given[-1])
        return handle(*given)

    app.handle_user_exception = tell  # type: ignore[method-assign, assignment]


def turns(_app: Flask, bp: Blueprint) -> None:
    bp.after_request(lambda _response: Response("commit failed", 500))


def fails_late(_app: Flask, bp: Blueprint) -> None:
    def commit(_response: Response) -> Response:
        raise LookupError("the database of users")

    bp.after_request(commit)


def fails_late_once(app: Flask, bp: Blueprint) -> None:
    left = [LookupError("the database of users")]

    def commit(response: Response) -> Response:
        if left:
            raise left.pop()
        return response

    bp.after_request(commit)
    handles(app, bp)


Visit = Callable[..., tuple[Flask, FlaskClient]]


@pytest.fixture
def visit(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> Visit:
    """Return what makes an app with one signup view, and a visitor who came by a link."""

    def visit(view: View, arrange: View = nothing) -> tuple[Flask, FlaskClient]:
        app, bp = make_app(), Blueprint("auth", __name__)
        arrange(app, bp)
        bp.add_url_rule("/signup", "signup", view, methods=["POST"])
        app.register_blueprint(bp)
        client = app.test_client()
        client.set_cookie("ps_xid", XID)
        caplog.clear()  # of what is said at start-up
        return app, client

    return visit


def keys(app: Flask) -> list[str]:
    return [entry.customer_key for entry in get_state(app).ledger.entries()]


def ours(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what we logged at WARNING or above: Flask's lines have the app's name."""
    records = [record for record in caplog.records if record.name == "flask_partnerstack"]
    return [(r.levelno, r.getMessage()) for r in records if r.levelno >= logging.WARNING]


both = track_signup(naming(track_signup(naming(log_in))))
CREDITED = [
    # What is raised may be an answer.
    (track_signup(naming(jump)), nothing, 302),
    (asked(jump), nothing, 302),
    (track_signup(naming(jump)), tells_of_all, 302),
    # A decorated view has another one answer.
    (track_signup(naming(track_signup(log_in))), nothing, 302),
    (track_signup(naming(asked(log_in))), nothing, 302),
    (asked(naming(track_signup(log_in))), nothing, 302),
    (both, nothing, 302),
    (asked(asked(log_in)), nothing, 302),
    (track_signup(naming(shielded(track_signup(stumble)))), nothing, 302),
    (asked(shielded(track_signup(naming(stumble)))), nothing, 302),
    (whole(asked, create), nothing, 201),
    (whole(asked, naming(create)), nothing, 201),
    (whole(track_signup, naming(create)), nothing, 201),
]
LOST = [
    # The view failed, and somebody else answered.
    (track_signup(naming(stumble)), handles, 302, "customer acme", "the view raised Trouble"),
    (asked(stumble), handles, 302, "customer None", "the view raised Trouble"),
    (shielded(track_signup(naming(stumble))), nothing, 302, "customer acme", "raised Trouble"),
    (shielded(asked(stumble)), nothing, 302, "customer None", "customer= is not asked"),
    (track_signup(naming(turn_away)), handles, 302, "customer acme", "the view raised Conflict"),
    (track_signup(shielded(track_signup(naming(stumble)))), nothing, 302, "acme", "raised Trouble"),
    (track_signup(naming(track_signup(naming(stumble)))), handles, 302, "acme", "raised Trouble"),
    # An error was answered.
    (track_signup(naming(turn_away)), nothing, 409, "customer acme", "was answered 409"),
    (track_signup(naming(stumble)), nothing, 500, "customer acme", "the view raised Trouble"),
    (track_signup(naming(create)), turns, 500, "customer acme", "was answered 500"),
    # Something failed behind the view.
    (track_signup(naming(create)), fails_late, 500, "customer acme", "LookupError was raised"),
    (asked(create), fails_late, 500, "customer None", "LookupError was raised after"),
    (track_signup(naming(create)), fails_late_once, 302, "acme", "LookupError was raised after"),
    (track_signup(naming(answer_nothing)), handles, 302, "acme", "TypeError was raised after"),
]


@pytest.mark.parametrize(
    ("view", "arrange", "status", "words"),
    [(*row, ()) for row in CREDITED] + [(*row[:3], row[3:]) for row in LOST],
)
def test_whoever_was_named_is_recorded_or_said(
    visit: Visit,
    caplog: pytest.LogCaptureFixture,
    view: View,
    arrange: View,
    status: int,
    words: tuple[str, ...],
) -> None:
    """However it ends, a customer is in the ledger once, or in one WARNING with the way out."""
    app, client = visit(view, arrange)
    assert client.post("/signup").status_code == status
    assert keys(app) == ([] if words else ["acme"])
    said = ours(caplog)
    assert [level for level, _ in said] == ([logging.WARNING] if words else [])
    for _, line in said:
        assert all(word in line for word in (*words, f"xid {XID}: ", "track_conversion("))


def test_a_failure_that_names_nobody_is_no_loss(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a view that raises, and is answered so, Flask has said all that there is to say."""
    _, client = visit(asked(stumble))
    assert client.post("/signup").status_code == 500
    assert ours(caplog) == []


def test_what_flask_does_not_catch_is_said(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """A server that gives up on the request raises in its view, and no response ever comes."""
    app, client = visit(track_signup(naming(lambda: sys.exit("worker timeout"))))
    with pytest.raises(SystemExit):
        client.post("/signup")
    assert keys(app) == []
    ((level, line),) = ours(caplog)
    assert level == logging.WARNING
    assert f"customer acme, xid {XID}: the view raised SystemExit" in line


def test_a_view_that_catches_everything_goes_on(visit: Visit) -> None:
    """Another one's time-out is not its own: whom it names then is credited."""

    def patient() -> ResponseReturnValue:
        with contextlib.suppress(SystemExit):
            track_signup(lambda: sys.exit("too slow"))()
        return naming(create)()  # type: ignore[no-any-return]

    app, client = visit(track_signup(patient))
    assert client.post("/signup").status_code == 201
    assert keys(app) == ["acme"]


def test_an_error_that_propagates_is_said(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has the server answer for errors gets no response from Flask."""
    app, client = visit(track_signup(naming(stumble)))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(Trouble):
        client.post("/signup")
    assert ["the view raised Trouble" in line for _, line in ours(caplog)] == [True]


def test_the_way_out_ends_the_warning(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """An errorhandler that knows of the signup calls ``track_conversion``, and all is well."""

    def handle(_error: Exception) -> ResponseReturnValue:
        track_conversion("acme")
        return redirect("/welcome")

    app, client = visit(
        track_signup(naming(stumble)), lambda app, _bp: app.register_error_handler(Trouble, handle)
    )
    assert client.post("/signup").status_code == 302
    assert keys(app) == ["acme"]
    assert ours(caplog) == []


@pytest.mark.parametrize("customer_key", ["acme", "half a character \ud83d"])
def test_a_loss_is_said_without_a_ledger(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, customer_key: str
) -> None:
    """Whether the customer has an entry cannot be looked up then: the line is due."""
    app = make_app(LEDGER_URL="sqlite:///unfurnished.db")
    view = track_signup(naming(turn_away, customer_key))
    app.add_url_rule("/signup", "signup", view, methods=["POST"])
    client = app.test_client()
    client.set_cookie("ps_xid", XID)
    client.post("/signup")
    assert f"xid {XID}: the view named them, and was answered 409" in ours(caplog)[-1][1]


def test_of_two_the_last_is_credited(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """One click is one customer's; the other, whom another view named, is not lost in silence."""
    app, client = visit(track_signup(naming(track_signup(naming(create, "beta")))))
    client.post("/signup")
    assert keys(app) == ["beta"]
    ((level, line),) = ours(caplog)
    assert level == logging.WARNING
    assert "customer acme, " in line
    assert "named somebody else after them" in line


def test_whom_an_outer_view_names_last_is_credited(visit: Visit) -> None:
    """It knows more by then than the view that it called."""

    def outer() -> ResponseReturnValue:
        track_signup(naming(create, "beta"))()
        return naming(create)()  # type: ignore[no-any-return]

    app, client = visit(track_signup(outer))
    client.post("/signup")
    assert keys(app) == ["acme"]


def test_who_is_named_behind_the_view_is_credited(visit: Visit) -> None:
    """A hook of the app's may know better who signed up than the view that answered."""

    def name(response: Response) -> Response:
        set_customer("acme")
        return response

    app, client = visit(
        track_signup(shielded(track_signup(stumble))), lambda _app, bp: bp.after_request(name)
    )
    assert client.post("/signup").status_code == 302
    assert keys(app) == ["acme"]


def test_an_async_view_ends_alike(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is an answer, or it has failed."""

    @track_signup
    async def signup() -> ResponseReturnValue:
        set_customer(request.args["key"])
        return jump() if request.args["key"] == "good" else stumble()

    app, client = visit(signup, handles)
    assert [client.post(f"/signup?key={key}").status_code for key in ("good", "bad")] == [302, 302]
    assert keys(app) == ["good"]
    assert ["customer bad, " in line for _, line in ours(caplog)] == [True]


def test_an_answer_that_cannot_be_made_is_none(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of Flask's kind that cannot make its response is none, and breaks nothing."""

    class Unanswerable(HTTPException):
        def get_response(self, *_: Any, **__: Any) -> Any:
            raise LookupError("no template")

    def view() -> ResponseReturnValue:
        raise Unanswerable

    _, client = visit(track_signup(naming(view)))
    assert client.post("/signup").status_code == 500
    assert ["the view raised Unanswerable" in line for _, line in ours(caplog)] == [True]
