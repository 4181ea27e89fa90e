"""The recipes do what docs/recipes says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest
from authlib.integrations.flask_client import OAuth
from flask import Blueprint
from flask import Flask
from flask.testing import FlaskClient
from flask_security import RegisterFormV2
from flask_security import Security
from flask_security import SQLAlchemyUserDatastore
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy
from werkzeug.http import parse_cookie

from examples.recipes import api
from examples.recipes import confirm
from examples.recipes import consent
from examples.recipes import login
from examples.recipes import oauth
from examples.recipes import security
from examples.recipes import subdomains
from examples.recipes import vetoes
from examples.recipes.people import find_or_create
from flask_partnerstack import Entry
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import current_referral
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from tests.kit import LANDING
from tests.kit import XID

MakeApp = Callable[..., Flask]
Entries = Callable[[Flask], list[Entry]]
ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "docs/recipes"


def referred(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.get("/", query_string=LANDING)
    return client


# --- login --------------------------------------------------------------------------------------


@pytest.fixture
def login_app(make_app: MakeApp) -> Flask:
    app = make_app()
    login.login_manager.init_app(app)
    app.register_blueprint(login.blueprint)
    return app


def test_signup_with_flask_login(login_app: Flask, entries: Entries) -> None:
    """Whoever is logged in by the signup is reported."""
    referred(login_app).post("/signup", data={"email": "a@b.example"})
    assert [entry.xid for entry in entries(login_app)] == [XID]


def test_customer_who_was_logged_in_is_not_new(login_app: Flask, entries: Entries) -> None:
    """A customer who follows a partner's link and sends the form again is nobody's conversion."""
    client = login_app.test_client()
    client.post("/signup", data={"email": "a@b.example"})
    client.get("/", query_string=LANDING)
    client.post("/signup", data={"email": "other@b.example"})
    assert entries(login_app) == []


def test_address_that_is_taken_is_not_new(login_app: Flask, entries: Entries) -> None:
    """Nobody is logged in by an address that has an account, and nobody is reported."""
    login_app.test_client().post("/signup", data={"email": "a@b.example"})
    referred(login_app).post("/signup", data={"email": "a@b.example"})
    assert entries(login_app) == []


# --- OAuth --------------------------------------------------------------------------------------


@pytest.fixture
def oauth_app(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The app, and a provider that answers without a network."""
    app = make_app()
    registry = OAuth(app)
    registry.register(
        "provider",
        client_id="shop",
        client_secret="secret",
        authorize_url="https://login.example/authorize",
        access_token_url="https://login.example/token",
    )
    monkeypatch.setattr(oauth, "oauth", registry)
    provider = registry.provider

    class Profile:
        def json(self) -> dict[str, str]:
            return {"email": "a@b.example"}

    monkeypatch.setattr(provider, "fetch_access_token", lambda **_: {"access_token": "t"})
    monkeypatch.setattr(provider, "get", lambda _: Profile())
    app.register_blueprint(oauth.blueprint)
    return app


def sign_in(client: FlaskClient) -> None:
    leaving = client.get("/login")
    state = parse_qs(urlsplit(leaving.location).query)["state"][0]
    answer = client.post("/login/callback", data={"state": state, "code": "c0de"})
    assert answer.location == "/welcome"


def test_oauth_credits_a_new_account(oauth_app: Flask, entries: Entries) -> None:
    """The account that the round trip made is credited, once, from what the session took along."""
    client = referred(oauth_app)
    client.get("/login")
    client.delete_cookie("partnerstack_referral")
    client.get("/", query_string=LANDING)
    sign_in(client)
    sign_in(client)
    assert [entry.xid for entry in entries(oauth_app)] == [XID]


def test_oauth_credits_no_account_that_was_there(oauth_app: Flask, entries: Entries) -> None:
    """Finding an account is no conversion, whoever referred this visit."""
    with oauth_app.app_context():
        find_or_create("a@b.example")
    sign_in(referred(oauth_app))
    assert entries(oauth_app) == []


def test_flask_dances_callback_keeps_what_was_taken_along(make_app: MakeApp) -> None:
    """Its blueprint has one hook for the way there and the way back, where no cookie may come."""
    dance = Blueprint("provider", __name__)
    dance.before_request(oauth.take_along)
    dance.add_url_rule("/provider", "login", lambda: "")
    dance.add_url_rule("/provider/authorized", "authorized", lambda: "")
    app = make_app()
    app.register_blueprint(dance)
    client = referred(app)
    client.get("/provider")
    client.delete_cookie("partnerstack_referral")
    client.get("/provider/authorized")
    client.get("/provider")
    with client.session_transaction() as session:
        assert Referral.loads(session["referral"]).xid == XID


# --- confirmation -------------------------------------------------------------------------------


@pytest.fixture
def confirm_app(make_app: MakeApp) -> Flask:
    app = make_app()
    app.register_blueprint(confirm.blueprint)
    return app


def test_confirmation_on_another_device(confirm_app: Flask, entries: Entries) -> None:
    """The link in the mail carries the click to a browser that has none; twice is once."""
    referred(confirm_app).post("/signup", data={"email": "a@b.example"})
    assert entries(confirm_app) == []

    ((_, link),) = confirm_app.extensions["outbox"]
    telephone = confirm_app.test_client()
    for _ in range(2):
        assert telephone.get(urlsplit(link).path).location == "/welcome"
    assert [entry.xid for entry in entries(confirm_app)] == [XID]


def test_confirmation_cannot_be_made_up(confirm_app: Flask, entries: Entries) -> None:
    """A link that was changed confirms nobody and credits nobody."""
    referred(confirm_app).post("/signup", data={"email": "a@b.example"})
    ((_, link),) = confirm_app.extensions["outbox"]
    assert confirm_app.test_client().get(urlsplit(link).path + "x").status_code == 404
    assert entries(confirm_app) == []


# --- API ----------------------------------------------------------------------------------------


@pytest.fixture
def api_app(make_app: MakeApp) -> Flask:
    app = make_app()
    app.register_blueprint(api.blueprint)
    return app


def test_api_takes_the_posted_xid(api_app: Flask, entries: Entries) -> None:
    """A page on another host posts the click; the customer's own IP and agent go with it."""
    for _ in range(2):
        api_app.test_client().post("/api/signup", json={"email": "a@b.example", "xid": "posted1"})
    (entry,) = entries(api_app)
    said = get_state(api_app).ledger.conversion_of(entry)
    assert (said.xid, said.ip_address, said.email) == ("posted1", "127.0.0.1", "a@b.example")
    assert (said.user_agent or "").startswith("Werkzeug")


@pytest.mark.parametrize("xid", ["<script>", 42, {"a": 1}, "", None])
def test_api_survives_any_xid(api_app: Flask, entries: Entries, xid: Any) -> None:
    """Whatever is posted as a click, the signup is answered."""
    body = json.dumps({"email": "a@b.example", "xid": xid})
    answer = api_app.test_client().post(
        "/api/signup", data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201
    assert entries(api_app) == []


# --- Flask-Security -----------------------------------------------------------------------------


@pytest.fixture
def security_app(make_app: MakeApp, tmp_path: Path) -> Flask:
    app = make_app(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'users.db'}",
        SECURITY_PASSWORD_SALT="salt",
        SECURITY_PASSWORD_HASH="plaintext",
        SECURITY_PASSWORD_SCHEMES=["plaintext"],
        SECURITY_REGISTERABLE=True,
        SECURITY_USE_REGISTER_V2=True,
        SECURITY_SEND_REGISTER_EMAIL=False,
        SECURITY_POST_REGISTER_VIEW="/welcome",
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
        WTF_CSRF_ENABLED=False,
    )
    db = SQLAlchemy(app)
    models: Any = fsqla_v3
    models.FsModels.set_db_info(db)

    class Role(db.Model, fsqla_v3.FsRoleMixin):  # type: ignore[misc, name-defined]  # untyped
        pass

    class User(db.Model, fsqla_v3.FsUserMixin):  # type: ignore[misc, name-defined]  # untyped
        @property
        def public_id(self) -> str:
            return str(self.fs_uniquifier)

    Security(app, SQLAlchemyUserDatastore(db, User, Role), register_form=RegisterFormV2)
    security.track_registrations(app)
    with app.app_context():
        db.create_all()
    return app


def register(client: FlaskClient, email: str) -> int:
    password = "correct horse battery"
    form = {"email": email, "password": password, "password_confirm": password}
    return client.post("/register", data=form).status_code


def test_flask_security_registers(security_app: Flask, entries: Entries) -> None:
    """user_registered names the customer; a form with errors, and a second try, name nobody."""
    client = referred(security_app)
    assert register(client, "no address") == 200
    assert entries(security_app) == []
    assert register(client, "grace@example.com") == 302
    client.get("/logout")
    register(client, "grace@example.com")

    (entry,) = entries(security_app)
    assert (entry.xid, len(entry.customer_key) >= 32) == (XID, True)


# --- subdomains, consent, vetoes ----------------------------------------------------------------


def test_subdomains_share_the_cookie(tmp_path: Path) -> None:
    """What www. was told, app. knows."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    www, app = (
        subdomains.create_app(PARTNERSTACK_ENGINE="none", PARTNERSTACK_LEDGER_URL=url)
        for _ in range(2)
    )
    app.add_url_rule("/", "root", lambda: str(current_referral.xid))
    landed = www.test_client().get("/", query_string=LANDING, base_url="https://www.acme.com")
    line = landed.headers["Set-Cookie"]
    assert "; Domain=acme.com;" in line

    client = app.test_client()
    client.set_cookie("partnerstack_referral", parse_cookie(line)["partnerstack_referral"])
    assert client.get("/").text == XID


def test_consent_banner(make_app: MakeApp, entries: Entries) -> None:
    """Yes keeps, no forgets, and a stored click is reported in whoever's request."""
    app = make_app(consent.partnerstack)
    app.register_blueprint(consent.blueprint)
    client = referred(app)
    assert client.get_cookie("partnerstack_referral") is None

    client.post("/consent", data={"answer": "yes"}, query_string=LANDING)
    client.get("/", query_string=LANDING)
    assert client.get_cookie("partnerstack_referral") is not None

    client.post("/consent", data={"answer": "no"})
    assert client.get_cookie("partnerstack_referral") is None
    with app.test_request_context("/"):
        track_conversion("42", referral=Referral.loads(Referral(XID).dumps()))
    assert [entry.status for entry in entries(app)] == [Status.PENDING]


@pytest.mark.parametrize(
    ("email", "sub_ids", "reason"),
    [
        ("ada@acme.com", [], "our own staff"),
        ("ada@notacme.com", [], None),
        ("grace+test@example.com", [], "a test address"),
        ("grace@example.com", ["1-g-EAIaIQob"], "a paid-search click"),
        ("grace@example.com", ["newsletter"], None),
        (None, None, None),
    ],
)
def test_vetoes(
    make_app: MakeApp, email: str | None, sub_ids: list[str] | None, reason: str | None
) -> None:
    """Own staff, test addresses and paid search are skipped with their reason; others are not."""
    app = make_app(vetoes.partnerstack, PARTNERSTACK_TOKEN="t0ken")
    with app.test_request_context("/"):
        entry = track_conversion("42", email=email, sub_ids=sub_ids, xid=XID)
    assert entry is not None
    assert (entry.status is Status.SKIPPED, entry.reason) == (reason is not None, reason)


# --- the documents ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.md")))
def test_document_shows_the_tested_code(name: str) -> None:
    """Each recipe's code stands in the file that is tested, to the letter."""
    document = (RECIPES / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    code = (ROOT / f"examples/recipes/{name}.py").read_text(encoding="utf-8")
    assert blocks
    for block in blocks:
        assert block in code


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.md")))
def test_document_says_where_the_code_is(name: str) -> None:
    """Each recipe links to its file, and every link leads somewhere."""
    document = (RECIPES / f"{name}.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", document)
    assert f"../../examples/recipes/{name}.py" in targets
    assert all((RECIPES / target).exists() for target in targets)
