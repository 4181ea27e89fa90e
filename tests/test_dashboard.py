"""The operator's page, asked as a browser asks. How it looks: tests/dashboard_browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint
from flask import Flask
from flask import redirect
from flask import request
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from werkzeug.test import TestResponse

from benchmarks.ledger import VIEWS
from benchmarks.ledger import fill
from benchmarks.ledger import make_app
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Cause
from flask_partnerstack.ledger import Entry
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Move
from flask_partnerstack.ledger.tables import entries
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack

REJECTED = Attempt(judged=Judgement.REJECTED, reason="HTTP 400", status=400, answer="<b>no</b>")


class Operator:
    """Somebody before the page, with a browser that says where its orders come from."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()

    @property
    def ledger(self) -> Ledger:
        return get_state(self.app).ledger

    def get(self, path: str = "/") -> str:
        response = self.client.get(f"/ps{path}")
        assert response.status_code == 200, response.text
        return response.text

    def record(self, key: str, **fields: Any) -> Entry:
        with self.app.app_context():
            entry = track_conversion(key, xid=fields.pop("xid", XID), **fields)
        assert entry is not None
        return entry

    def bury(self, key: str) -> Entry:
        self.record(key)
        (claim,) = self.ledger.claim(1)
        entry = self.ledger.bury(claim, reason="rejected: HTTP 400", attempt=REJECTED)
        assert entry is not None
        return entry

    def order(self, what: str, entry: Entry, **headers: str) -> TestResponse:
        """Press a button of an entry's page."""
        page = self.get(f"/entry/{entry.id}")
        found = re.search(r'name="partnerstack_token" value="([^"]+)"', page)
        assert found
        return self.client.post(
            f"/ps/entry/{entry.id}/{what}",
            data={"partnerstack_token": found[1]},
            headers={"Sec-Fetch-Site": "same-origin", **headers},
        )


@pytest.fixture
def app(app: Flask) -> Flask:
    page = PartnerStack().dashboard(permission=lambda: True)
    app.register_blueprint(page, url_prefix="/ps")
    return app


@pytest.fixture
def operator(app: Flask) -> Operator:
    return Operator(app)


# --- who may see it -----------------------------------------------------------------------------


@pytest.mark.parametrize("permission", [None, True, "admin"])
def test_without_permission_it_is_not_built(permission: Any) -> None:
    """A page that shows customers to everybody is a mistake, said where it is made."""
    with pytest.raises(TypeError, match=r"dashboard\(permission=…\) needs a function"):
        PartnerStack().dashboard(permission=permission)


@pytest.mark.parametrize("answer", [False, None, "", "Please log in", ("no", 403), 1])
def test_whatever_is_not_yes_is_no(make_app: Callable[..., Flask], answer: Any) -> None:
    """Only True lets a request pass; a text that some view would answer does not."""
    app = make_app()
    app.register_blueprint(PartnerStack().dashboard(permission=lambda: answer), url_prefix="/ps")
    for path in ("/ps/", "/ps/chart", "/ps/entry/1", "/ps/static/dashboard.css"):
        assert app.test_client().get(path).status_code == 403


def test_a_login_may_be_answered_instead(make_app: Callable[..., Flask]) -> None:
    """A response of the app's is answered in the page's place, also by an async function."""

    async def to_login() -> Any:
        return redirect("/login")

    app = make_app()
    app.register_blueprint(PartnerStack().dashboard(permission=to_login), url_prefix="/ps")
    assert app.test_client().get("/ps/").location == "/login"


def test_the_permission_is_asked_each_time(make_app: Callable[..., Flask]) -> None:
    """Who may no longer see it does not."""
    answers = [True, False]
    app = make_app()
    page = PartnerStack().dashboard(permission=lambda: answers.pop(0))
    app.register_blueprint(page, url_prefix="/ps")
    client = app.test_client()
    assert [client.get("/ps/").status_code for _ in range(2)] == [200, 403]


# --- what it shows ------------------------------------------------------------------------------


def test_an_empty_ledger_has_a_page(operator: Operator) -> None:
    """Before the first conversion there is something to read all the same."""
    page = operator.get()
    assert "No conversion yet" in page
    assert "All that is to be delivered was delivered" in page
    assert "Nobody yet" in operator.get("/chart")


def test_the_totals_are_by_state(operator: Operator) -> None:
    """How many are in each state, each a link to them."""
    operator.bury("globex")
    operator.record("acme")
    page = operator.get()
    for state, count in (("pending", 1), ("dead", 1), ("verified", 0)):
        assert re.search(rf'status={state}".*?<b>{count}</b><span>{state}</span>', page, re.DOTALL)
    assert "<b>2</b><span>all</span>" in page


def test_what_waits_too_long_is_said(operator: Operator, clock: Clock) -> None:
    """Since when the oldest undelivered one waits, and louder when that is not as usual."""
    operator.record("acme")
    assert re.search(r'notice good".*The oldest undelivered.*0 s ago', operator.get())
    clock.tick(hours=3)
    assert re.search(r'notice warn".*The oldest undelivered.*3 h ago', operator.get())


def test_a_pause_is_said(operator: Operator, clock: Clock) -> None:
    """Whether delivery is paused, why, since when, and when it is tried again."""
    operator.ledger.begin_pause(Cause.DENIED, "HTTP 401: the token")
    page = operator.get()
    assert "Delivery is paused" in page
    assert "HTTP 401: the token" in page
    assert "in 2 s" in page
    clock.tick(minutes=5)
    assert "due now" in operator.get()


def test_a_pause_for_want_of_a_token_has_no_next_try(operator: Operator) -> None:
    """Nothing is tried until there is one."""
    operator.ledger.begin_pause(Cause.NO_TOKEN, "PARTNERSTACK_TOKEN is not set")
    assert "The next try" not in operator.get()


def test_a_customer_is_found(operator: Operator) -> None:
    """By a part of the name, with a way back; a miss says what can be looked for."""
    operator.record("cus_1", name="Jo Müller", email="jo@acme.com")
    operator.record("cus_2")
    found = operator.get("/?q=mÜller")
    assert "cus_1" in found
    assert "cus_2" not in found
    assert 'value="mÜller"' in found
    assert "Nobody fits" in operator.get("/?q=globex")


def test_pages_keep_what_was_asked_for(operator: Operator) -> None:
    """Fifty a page, on to the older and back to the newer, with the same search."""
    for number in range(60):
        operator.record(f"cus_{number:02}", name="jo")
    first = operator.get("/?q=jo")
    older = re.search(r'rel="next" href="/ps(/\?[^"]+)"', first)
    assert older
    second = operator.get(older[1].replace("&amp;", "&"))
    assert (first.count("/ps/entry/"), second.count("/ps/entry/")) == (50, 10)
    newer = re.search(r'rel="prev" href="/ps(/\?[^"]+)"', second)
    assert newer
    assert "q=jo" in newer[1]
    assert operator.get(newer[1].replace("&amp;", "&")).count("/ps/entry/") == 50


def test_the_figures_are_tables(operator: Operator, clock: Clock) -> None:
    """By day and by partner, as numbers that a screen reader reads and the chart is drawn from."""
    operator.record("acme")
    clock.tick(days=1)
    operator.bury("globex")
    days = re.findall(
        r'data-label="\d\d \w+">([-\d]+)</th>(.*?)</tr>', operator.get("/chart?days=7")
    )
    assert len(days) == 7
    assert [re.findall(r">(\d+)<", cells) for _, cells in days[-2:]] == [
        ["0", "0", "1"],
        ["0", "1", "0"],
    ]


@pytest.mark.parametrize(
    "path", ["/?status=lost", "/?before=x", "/?after=-1", "/?before=²", "/chart?days=8"]
)
def test_a_bad_question_is_named(operator: Operator, path: str) -> None:
    """What cannot be asked is a 400 with the name and what was expected."""
    response = operator.client.get(f"/ps{path}")
    assert response.status_code == 400
    assert re.search(r"(status|before|after|days): expected", response.text)


def test_a_damaged_entry_is_shown_all_the_same(operator: Operator) -> None:
    """By what the entry itself knows; it is what an operator has to look at."""
    entry = operator.record("acme", name="Jo Doe")
    with get_state(operator.app).ledger.storage.write() as conn:
        conn.execute(entries.update(), {"payload": "x"})
    page = operator.get(f"/entry/{entry.id}")
    assert XID in page
    assert "Jo Doe" not in page


def test_an_entry_is_shown_with_its_trail(operator: Operator) -> None:
    """All that is reported, and each attempt with its answer; what others wrote stays text."""
    entry = operator.bury("<i>acme</i>")
    page = operator.get(f"/entry/{entry.id}")
    assert "&lt;i&gt;acme" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<b>no" not in page
    for told in (XID, "rejected: HTTP 400", "HTTP 400", "given up"):
        assert told in page


def test_what_an_app_adds_to_an_entry_is_shown(operator: Operator) -> None:
    """Meta is on the entry's page with all else that is reported, and is text, too."""
    entry = operator.record("acme", meta={"plan": "<b>team", "seats": 0})
    page = operator.get(f"/entry/{entry.id}")
    for told in ("Meta: plan", "&lt;b&gt;team", "Meta: seats", "<dd>0</dd>"):
        assert told in page


def test_an_entry_that_is_not_there_is_a_404(operator: Operator) -> None:
    """In the page's own frame."""
    response = operator.client.get("/ps/entry/7")
    assert response.status_code == 404
    assert "There is no such entry" in response.text


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**200])
def test_what_is_no_entry_is_a_404(operator: Operator, number: int) -> None:
    """A number that no entry can have is one that none has."""
    response = operator.client.get(f"/ps/entry/{number}")
    assert response.status_code == 404
    assert "There is no such entry" in response.text


@pytest.mark.parametrize(
    ("query", "found"),
    [("q=%00", 2), ("q=ac%00me", 1), ("partner=%00", 2), ("partner=a%00nn", 1), ("q=%00globex", 1)],
)
def test_null_is_no_letter(operator: Operator, query: str, found: int) -> None:
    """No name has one, and PostgreSQL takes none: it is dropped from what is searched."""
    operator.record("acme", referral=Referral("click1", "ann"), xid=None)
    operator.record("globex")
    assert operator.get(f"/?{query}").count("/ps/entry/") == found


def test_no_secret_is_on_any_page(make_app: Callable[..., Flask]) -> None:
    """Neither the token nor the key pair."""
    app = make_app(TOKEN="s3cr3t", PUBLIC_KEY="pk_s3cr3t", SECRET_KEY="sk_s3cr3t")
    app.register_blueprint(PartnerStack().dashboard(permission=lambda: True), url_prefix="/ps")
    operator = Operator(app)
    entry = operator.bury("acme")
    for path in ("/", "/chart", f"/entry/{entry.id}"):
        assert "s3cr3t" not in operator.get(path)


def test_an_unreachable_ledger_is_said(operator: Operator, app: Flask) -> None:
    """The page says what is wrong with the ledger, and is no traceback."""
    operator.get()
    operator.ledger.close()
    place = get_state(app).place.path
    assert place is not None
    for file in place.parent.glob("partnerstack.db*"):
        file.unlink()
    place.mkdir()
    response = operator.client.get("/ps/")
    assert response.status_code == 503
    assert "The ledger cannot be read" in response.text


# --- orders -------------------------------------------------------------------------------------


def test_a_dead_entry_is_requeued_and_delivered(
    clock: Clock, transport: ScriptedTransport, tmp_path: Path
) -> None:
    """The button makes it due, and the engine hears of it."""
    app = Flask("inline", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="inline")
    partnerstack = TravellingPartnerStack(clock, transport)
    partnerstack.init_app(app)
    app.register_blueprint(partnerstack.dashboard(permission=lambda: True), url_prefix="/ps")
    operator = Operator(app)
    app.config["TESTING"] = True  # parked at first, because nothing real is sent in a test
    entry = operator.record("acme")
    assert "parked: it waits for you" in operator.get(f"/entry/{entry.id}")
    app.config["TESTING"] = False
    assert operator.order("requeue", entry).status_code == 303
    assert operator.ledger.get("acme").status is Status.DELIVERED
    operator.ledger.close()


def test_requeueing_shows_that_it_was_done(operator: Operator) -> None:
    """The answer leads back to the entry, where a reload does nothing again."""
    entry = operator.bury("acme")
    answer = operator.order("requeue", entry)
    assert answer.location == f"/ps/entry/{entry.id}?done=requeued"
    assert "It is pending again" in operator.client.get(answer.location).text
    assert operator.ledger.get("acme").status is Status.PENDING


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ({}, "waits until half an hour after it was sent."),
        ({"PUBLIC_KEY": "pk_1", "SECRET_KEY": "sk_1"}, "is looked up first."),
    ],
)
def test_the_button_says_what_becomes_of_what_may_have_been_taken(
    make_app: Callable[..., Flask], pair: dict[str, str], told: str
) -> None:
    """With a key pair it is looked up; without, it is not sent so soon as the rest."""
    app = make_app(**pair)
    app.register_blueprint(PartnerStack().dashboard(permission=lambda: True), url_prefix="/ps")
    operator = Operator(app)
    page = operator.get(f"/entry/{operator.bury('acme').id}")
    assert f"Send it again, now. What may have been taken {told}" in page


def test_a_delivered_entry_cannot_be_requeued(operator: Operator) -> None:
    """There is no button for it, and the order is refused with the reason."""
    entry = operator.record("acme")
    (claim,) = operator.ledger.claim(1)
    operator.ledger.settle(claim, Status.DELIVERED, REJECTED)
    assert ">Requeue<" not in operator.get(f"/entry/{entry.id}")
    answer = operator.order("requeue", entry)
    assert answer.status_code == 409
    assert "delivered cannot become pending" in answer.text


def test_a_customer_is_erased(operator: Operator, app: Flask) -> None:
    """Its entry stays, without a name; the skipped delivery is told to the app."""
    told = []
    entry = operator.record("acme", email="jo@acme.com")

    def hear(_app: Flask, **facts: Any) -> None:
        told.append(facts["reason"])

    with signals.conversion_skipped.connected_to(hear, sender=app):
        assert operator.order("erase", entry).status_code == 303
    assert told == ["erased"]
    page = operator.get(f"/entry/{entry.id}?done=erased")
    assert "erased customer" in page
    assert "gone for good" in page
    assert "acme" not in page + operator.get()
    assert not re.search("<form", page)


def test_erasing_twice_and_requeueing_the_erased(operator: Operator) -> None:
    """A page that was open meanwhile does no harm."""
    entry = operator.bury("acme")
    other = operator.record("globex")
    operator.order("erase", entry)
    page = operator.get(f"/entry/{other.id}")
    token = re.search(r'name="partnerstack_token" value="([^"]+)"', page)
    assert token
    send = {"data": {"partnerstack_token": token[1]}, "headers": {"Sec-Fetch-Site": "same-origin"}}
    assert operator.client.post(f"/ps/entry/{entry.id}/erase", **send).status_code == 303
    answer = operator.client.post(f"/ps/entry/{entry.id}/requeue", **send)
    assert (answer.status_code, "erased cannot become" in answer.text) == (409, True)


def test_what_is_being_sent_is_not_erased(operator: Operator) -> None:
    """Whoever asks is told to come back."""
    entry = operator.record("acme")
    operator.ledger.claim(1)
    answer = operator.order("erase", entry)
    assert answer.status_code == 409
    assert "Try again then" in answer.text


def test_orders_in_a_ledger_that_was_moved(
    operator: Operator, make_app: Callable[..., Flask]
) -> None:
    """A requeue is refused; who is erased is told to be in the new ledger as well."""
    entry = operator.bury("acme")
    new = get_state(make_app()).ledger
    Move(operator.ledger, new).run()
    page = operator.get("/")
    assert "moved to" in page
    assert "Nothing is lost" not in page
    assert "next try" not in page
    answer = operator.order("requeue", entry)
    assert (answer.status_code, "requeue there" in answer.text) == (409, True)
    answer = operator.order("erase", entry)
    assert (answer.status_code, "erase there as well" in answer.text) == (409, True)
    assert (operator.ledger.find(entry.id).customer_key, new.get("acme").customer_key) == (
        "",
        "acme",
    )


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_an_order_from_another_site_is_refused(operator: Operator, site: str) -> None:
    """Even with the right secret; a page of a neighbouring host is another site."""
    entry = operator.bury("acme")
    answer = operator.order("requeue", entry, **{"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "ProxyFix" in answer.text
    assert operator.ledger.get("acme").status is Status.DEAD


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 303),
        ("http://evil.example", 403),
        ("http://[::1", 403),
        ("null", 403),
        (None, 403),
    ],
)
def test_an_older_browser_says_its_origin(
    operator: Operator, origin: str | None, status: int
) -> None:
    """Without Sec-Fetch-Site the Origin must be this host; without both, nobody is believed."""
    entry = operator.bury("acme")
    page = operator.get(f"/entry/{entry.id}")
    token = re.search(r'name="partnerstack_token" value="([^"]+)"', page)
    assert token
    answer = operator.client.post(
        f"/ps/entry/{entry.id}/requeue",
        data={"partnerstack_token": token[1]},
        headers={"Origin": origin} if origin else {},
    )
    assert answer.status_code == status


@pytest.mark.parametrize("given", ["", "another", "é" * 43])
def test_an_order_without_the_secret_is_refused(operator: Operator, given: str) -> None:
    """A form that this page did not write is none of ours."""
    entry = operator.bury("acme")
    operator.get(f"/entry/{entry.id}")
    for client in (operator.client, operator.app.test_client()):
        answer = client.post(
            f"/ps/entry/{entry.id}/requeue",
            data={"partnerstack_token": given},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status_code == 403
    assert operator.ledger.get("acme").status is Status.DEAD


def test_orders_are_no_links(operator: Operator) -> None:
    """What a prefetch or an image can ask for changes nothing."""
    entry = operator.bury("acme")
    assert operator.client.get(f"/ps/entry/{entry.id}/requeue").status_code == 405


def test_it_lives_with_the_apps_own_csrf_protection(app: Flask) -> None:
    """Where Flask-WTF guards every form, the page's forms carry its token as well."""
    app.config["SECRET_KEY"] = "key"
    CSRFProtect(app)
    operator = Operator(app)
    entry = operator.bury("acme")
    page = operator.get(f"/entry/{entry.id}")
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page))
    assert set(fields) == {"partnerstack_token", "csrf_token"}
    answer = operator.client.post(
        f"/ps/entry/{entry.id}/requeue", data=fields, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 303


# --- the frame ----------------------------------------------------------------------------------


def test_every_answer_is_strict(operator: Operator) -> None:
    """Page, refusal and asset: no inline script, no frame, no sniffing; only assets are kept."""
    for path in ("/", "/chart", "/entry/7", "/?status=x", "/static/dashboard.js"):
        with operator.client.get(f"/ps{path}") as response:
            headers = response.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ("no-store" in headers["Cache-Control"]) is not path.startswith("/static")


def test_the_secret_is_a_cookie_of_the_page_alone(operator: Operator) -> None:
    """No script reads it, no other site's request carries it, no other page of the app gets it."""
    entry = operator.bury("acme")
    response = operator.client.get(f"/ps/entry/{entry.id}")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("partnerstack_dashboard=")
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/ps/"):
        assert attribute in cookie


def test_no_template_has_inline_code(app: Flask) -> None:
    """What the policy would block is not written in the first place."""
    package = Path(__file__).parent.parent / "flask_partnerstack" / "dashboard"
    for template in package.rglob("*.html"):
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script>", template.read_text())


@pytest.fixture
def team_app(make_app: Callable[..., Flask]) -> Flask:
    """An app whose page's prefix has a variable, which the permission sees."""
    app = make_app()
    page = PartnerStack().dashboard(permission=lambda: (request.view_args or {})["team"] != "b")
    app.register_blueprint(page, url_prefix="/<team>/ps")
    return app


def test_a_prefix_with_a_variable(team_app: Flask) -> None:
    """The page is there for each value, and all that it links to has the same one."""
    operator = Operator(team_app)
    entry = operator.bury("acme")
    for path in ("/", "/chart", f"/entry/{entry.id}"):
        page = operator.client.get(f"/a/ps{path}")
        links = set(re.findall(r'(?:href|src|action|data-source)="(/[^"]*)"', page.text))
        assert page.status_code == 200
        assert {link.startswith("/a/ps/") for link in links} == {True}
    with operator.client.get("/a/ps/static/dashboard.js") as asset:
        assert asset.status_code == 200


def test_permission_sees_the_prefix(team_app: Flask) -> None:
    """Who may see one team's page may be another than who may see the next one's."""
    client = team_app.test_client()
    assert [client.get(f"/{team}/ps/").status_code for team in "abc"] == [200, 403, 200]
    assert "/b/ps/static/dashboard.css" in client.get("/b/ps/").text


def test_an_order_below_a_prefix_with_a_variable(team_app: Flask) -> None:
    """It is taken, and leads back to the same page; the secret is that one's alone."""
    operator = Operator(team_app)
    entry = operator.bury("acme")
    shown = operator.client.get(f"/a/ps/entry/{entry.id}")
    assert "Path=/a/ps/" in shown.headers["Set-Cookie"]
    found = re.search(r'name="partnerstack_token" value="([^"]+)"', shown.text)
    assert found
    answer = operator.client.post(
        f"/a/ps/entry/{entry.id}/requeue",
        data={"partnerstack_token": found[1]},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.location == f"/a/ps/entry/{entry.id}?done=requeued"


def test_two_pages_in_one_app(make_app: Callable[..., Flask]) -> None:
    """Registered under another name, it can be there twice, for two kinds of people."""
    app = make_app()
    partnerstack = PartnerStack()
    page = partnerstack.dashboard(permission=lambda: True)
    assert isinstance(page, Blueprint)
    app.register_blueprint(page, url_prefix="/a")
    closed = partnerstack.dashboard(permission=lambda: False)
    app.register_blueprint(closed, url_prefix="/b", name="closed")
    client = app.test_client()
    assert (client.get("/a/").status_code, client.get("/b/").status_code) == (200, 403)
    assert "/a/static/dashboard.css" in client.get("/a/").text


def test_many_entries_stay_fast(tmp_path: Path) -> None:
    """Each view of 20,000 entries is there within an order of magnitude of what it takes.

    ``python -m benchmarks.ledger`` measures it, with 100,000.
    """
    app = make_app(tmp_path)
    fill(get_state(app).ledger, 20_000)
    client = app.test_client()
    for what, address in VIEWS.items():
        started = time.perf_counter()
        assert client.get(address).status_code == 200, what
        assert timedelta(seconds=time.perf_counter() - started) < timedelta(seconds=1.5), what
    get_state(app).ledger.close()
