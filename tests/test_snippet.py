"""What a page is given, as far as a server can tell; the rest is in tests/browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask import render_template_string
from flask import request
from flask_admin import Admin
from flask_admin import AdminIndexView
from flask_admin import expose
from flask_talisman import Talisman
from flask_wtf import CSRFProtect
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import current_referral
from flask_partnerstack._state import get_state
from flask_partnerstack.capture import decorate_url
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.referral import read_query
from flask_partnerstack.snippet.endpoint import LONGEST_QUERY
from tests.kit import LANDING
from tests.kit import PARTNER_KEY
from tests.kit import XID

OURS = "partnerstack_referral"
CLICK = "/_partnerstack/click"
SAME = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}

MakeApp = Callable[..., Flask]


def rendered(app: Flask, template: str, **context: object) -> str:
    with app.test_request_context("/", query_string=LANDING):
        return render_template_string(template, **context)


def options(script: str) -> dict[str, object]:
    """Return what the script is called with."""
    found = re.search(r"^\}\)\((\{.*\})\);</script>$", script, re.MULTILINE)
    assert found, script
    read: dict[str, object] = json.loads(found[1])
    return read


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(PUBLIC_KEY="pk_public")


# --- the loader ---------------------------------------------------------------------------------


def test_loader_has_its_key_and_address(app: Flask, make_app: MakeApp) -> None:
    """The snippet starts the script from SCRIPT_URL with the public key, and nothing else."""
    assert options(rendered(app, "{{ partnerstack_snippet() }}")) == {
        "src": "https://js.partnerstack.com/v1/",
        "key": "pk_public",
    }
    own = make_app(PUBLIC_KEY="pk_public", SCRIPT_URL="https://try.acme.com/pr/js")
    assert options(rendered(own, "{{ partnerstack_snippet() }}"))["src"] == (
        "https://try.acme.com/pr/js"
    )


def test_loader_needs_a_public_key(make_app: MakeApp) -> None:
    """Without PUBLIC_KEY the error names it and where to find one, while one develops."""
    for mode in ("DEBUG", "TESTING"):
        app = make_app()
        app.config[mode] = True
        with pytest.raises(ConfigurationError, match=r"^PARTNERSTACK_PUBLIC_KEY: .*pk_"):
            rendered(app, "{{ partnerstack_snippet() }}")


def test_page_in_production_does_not_fail(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """In production a missing key costs the script, once loudly, and no page."""
    app = make_app()
    for _ in range(2):
        assert rendered(app, "Hello{{ partnerstack_snippet() }}") == "Hello"
    said = [r.levelname for r in caplog.records if "PARTNERSTACK_PUBLIC_KEY: " in r.getMessage()]
    assert said == ["ERROR"]


def test_no_secret_is_rendered(make_app: MakeApp) -> None:
    """Neither the token nor the secret key is ever on a page."""
    app = make_app(PUBLIC_KEY="pk_a", SECRET_KEY="sk_hidden", TOKEN="hidden")
    page = rendered(app, "{{ partnerstack_snippet(referral=True) }}{{ partnerstack_capture() }}")
    assert "hidden" not in page


@pytest.mark.parametrize("function", ["partnerstack_snippet", "partnerstack_capture"])
@pytest.mark.parametrize("nonce", ["abc", lambda: "abc"])
def test_nonce_is_a_text_or_a_callable(app: Flask, function: str, nonce: object) -> None:
    """A nonce is given as it is, or by what returns it."""
    template = f"{{{{ {function}(nonce=nonce) }}}}"
    assert rendered(app, template, nonce=nonce).startswith('<script nonce="abc">')


def test_nonce_of_talisman(app: Flask) -> None:
    """Flask-Talisman's function is given as it is, and the header has the same nonce."""
    Talisman(
        app,
        content_security_policy={"script-src": "'self'"},
        content_security_policy_nonce_in=["script-src"],
        force_https=False,
    )
    scripts = ("partnerstack_snippet", "partnerstack_capture")
    template = "".join(f"{{{{ {script}(nonce=csp_nonce) }}}}" for script in scripts)
    app.add_url_rule("/", "root", lambda: render_template_string(template))
    answer = app.test_client().get("/")
    nonces = set(re.findall(r'<script nonce="([^"]+)">', answer.text))
    assert len(nonces) == 1
    assert f"'nonce-{nonces.pop()}'" in answer.headers["Content-Security-Policy"]


def test_nonce_of_flask_admin(app: Flask) -> None:
    """The callable that Flask-Admin's own scripts get their nonce from serves the snippet, too."""

    class Start(AdminIndexView):  # type: ignore[misc]  # likewise untyped
        @expose("/")  # type: ignore[untyped-decorator]  # Flask-Admin ships no types
        def index(self) -> str:
            template = "{{ partnerstack_snippet(nonce=admin.csp_nonce_generator) }}"
            return render_template_string(template, admin=self.admin)

    Admin(app, index_view=Start(), csp_nonce_generator=lambda: "of-this-request")
    assert '<script nonce="of-this-request">' in app.test_client().get("/admin/").text


@pytest.mark.parametrize("nonce", [None, "", lambda: ""])
def test_no_nonce_is_no_attribute(app: Flask, nonce: object) -> None:
    """Where there is no policy there is no nonce."""
    page = rendered(app, "{{ partnerstack_snippet(nonce=nonce) }}", nonce=nonce)
    assert page.startswith("<script>")


def test_nonce_is_escaped(app: Flask) -> None:
    """Whatever a nonce is, it stays in its attribute."""
    page = rendered(app, "{{ partnerstack_snippet(nonce=nonce) }}", nonce='"><b>')
    assert page.startswith('<script nonce="&#34;&gt;&lt;b&gt;">')


def test_referral_is_handed_over_on_request(app: Flask) -> None:
    """The server's referral is on the page when it is asked for, and only then."""
    page = rendered(app, "{{ partnerstack_snippet(referral=True) }}")
    assert options(page)["referral"] == {"xid": XID, "partner_key": PARTNER_KEY}
    assert "referral" not in options(rendered(app, "{{ partnerstack_snippet() }}"))


def test_nothing_of_a_link_breaks_out(app: Flask) -> None:
    """What a link calls its partner stays text, in a script, too."""
    key = "</script><script>alert(1)</script>"
    with app.test_request_context("/", query_string={"ps_xid": XID, "gspk": key}):
        page = render_template_string("{{ partnerstack_snippet(referral=True) }}")
    assert page.count("<script") == page.count("</script>") == 1
    assert options(page)["referral"] == {"xid": XID, "partner_key": key}


def test_debug_mode_is_told(app: Flask) -> None:
    """Only in debug mode does the page watch for createSignup."""
    assert "debug" not in options(rendered(app, "{{ partnerstack_snippet() }}"))
    app.debug = True
    assert options(rendered(app, "{{ partnerstack_snippet() }}"))["debug"] is True


def test_switched_off_renders_nothing(make_app: MakeApp) -> None:
    """With ENABLED=False the browser captures nothing either, and templates need no change."""
    page = "{{ partnerstack_snippet() }}{{ partnerstack_capture() }}"
    assert rendered(make_app(ENABLED=False), page) == ""


# --- the capture script -------------------------------------------------------------------------


def test_capture_script_knows_path_and_names(app: Flask, make_app: MakeApp) -> None:
    """It calls the endpoint where the app has it, for the parameters that carry a click."""
    assert options(rendered(app, "{{ partnerstack_capture() }}")) == {
        "path": CLICK,
        "names": ["ps_xid", "gsxid"],
    }
    other = make_app(CAPTURE_PATH="/click", XID_PARAMS="cid")
    with other.test_request_context("/", environ_overrides={"SCRIPT_NAME": "/shop"}):
        page = render_template_string("{{ partnerstack_capture() }}")
    assert options(page) == {"path": "/shop/click", "names": ["cid"]}


def test_capture_script_knows_that_there_is_consent_to_ask_for(tmp_path: Path) -> None:
    """It stores nothing of its own before; the option is there only where a hook is."""
    app = consenting(tmp_path, lambda *_: True)
    assert options(rendered(app, "{{ partnerstack_capture() }}"))["consent"] is True


def test_without_an_endpoint_there_is_no_script(make_app: MakeApp) -> None:
    """CAPTURE_PATH=None leaves out both."""
    app = make_app(CAPTURE_PATH=None)
    assert rendered(app, "{{ partnerstack_capture() }}") == ""
    assert app.test_client().post(CLICK, data=LANDING, headers=SAME).status_code == 404


@pytest.mark.parametrize(("root", "path"), [("/", CLICK), ("/shop", f"/shop{CLICK}")])
def test_capture_script_outside_a_request(app: Flask, root: str, path: str) -> None:
    """A page that is rendered ahead of time, to a file or for a cache, has it as well."""
    app.config["APPLICATION_ROOT"] = root
    with app.app_context():
        page = render_template_string("{{ partnerstack_capture() }}")
    assert options(page)["path"] == path


def test_capture_script_knows_a_path_of_all_letters(make_app: MakeApp) -> None:
    """It is called as a browser calls it, quoted once."""
    page = rendered(make_app(CAPTURE_PATH="/kliçk/50%"), "{{ partnerstack_capture() }}")
    assert options(page)["path"] == "/kli%C3%A7k/50%25"


# --- the endpoint -------------------------------------------------------------------------------


def kept(response: TestResponse) -> str | None:
    lines = [line for line in response.headers.getlist("Set-Cookie") if line.startswith(OURS)]
    return parse_cookie(lines[0])[OURS] if lines else None


def post(app: Flask, body: str = f"?{LANDING}", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client().post(CLICK, data=body, headers=named or SAME)


def just(do: Callable[[], object]) -> Callable[[], None]:
    """Return a hook that does it, and answers nothing."""

    def hook() -> None:
        do()

    return hook


@pytest.mark.parametrize("body", [f"?{LANDING}", LANDING, f"?a=%ff&amp;ps_xid={XID}"])
def test_click_in_the_body_is_kept(app: Flask, body: str) -> None:
    """The page's query string is read as a landing URL's is, and no cache keeps the answer."""
    response = post(app, body)
    assert (response.status_code, response.data) == (204, b"")
    assert (kept(response) or "").startswith(f"v=1&x={XID}")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", ["", "?", "?utm_source=x", "?ps_xid=%3Cscript%3E", "\xff\x00"])
def test_body_without_a_click_keeps_nothing(app: Flask, body: str) -> None:
    """Whatever a page posts, it is a click or it is nothing, and no success."""
    response = post(app, body)
    assert (response.status_code, kept(response)) == (400, None)
    assert response.text.startswith("No click is in the body")
    assert response.headers["Cache-Control"] == "no-store"


def test_cookies_count_without_a_body(app: Flask) -> None:
    """A call that brings no click keeps the one that PartnerStackJS saw, as each request does."""
    client = app.test_client()
    client.set_cookie("ps_xid", "script1")
    assert (kept(client.post(CLICK, headers=SAME)) or "").startswith("v=1&x=script1")


def test_click_that_is_known_is_no_news(app: Flask) -> None:
    """A page that the server saw itself costs a call, and changes nothing."""
    client = app.test_client()
    client.get("/", query_string=LANDING)
    response = client.post(CLICK, data=LANDING, headers=SAME)
    assert (response.status_code, kept(response)) == (204, None)


def test_cookies_count_beside_the_body(app: Flask) -> None:
    """The order of precedence is the same: the URL, then what changed, then ours."""
    client = app.test_client()
    client.set_cookie("ps_xid", "script1")
    assert "&j=script1" in (kept(client.post(CLICK, data=LANDING, headers=SAME)) or "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:81"},
        {"User_Agent": "curl"},
    ],
)
def test_other_origins_are_refused(app: Flask, headers: dict[str, str]) -> None:
    """Another site's page, and what says of no page that it is ours, keeps nothing."""
    response = post(app, **headers)
    assert (response.status_code, kept(response)) == (403, None)


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost"])
def test_older_browsers_are_known_by_their_origin(app: Flask, origin: str) -> None:
    """Without fetch metadata the Origin's host counts; TLS may have ended at a proxy."""
    assert kept(post(app, Origin=origin))


def test_long_body_is_refused(app: Flask) -> None:
    """No more is read than a URL can be long."""
    assert post(app, f"{LANDING}&".ljust(LONGEST_QUERY, "x")).status_code == 204
    assert post(app, f"{LANDING}&".ljust(LONGEST_QUERY + 1, "x")).status_code == 413


@pytest.mark.parametrize(
    "read",
    [
        lambda: request.get_data(),
        lambda: request.data,
        lambda: request.form,
        lambda: request.get_json(force=True, silent=True),
    ],
)
def test_body_that_a_hook_has_read_is_there(app: Flask, read: Callable[[], object]) -> None:
    """A hook of the app that looks at every body costs no click."""
    app.before_request(just(read))
    response = post(app)
    assert response.status_code == 204
    assert (kept(response) or "").startswith(f"v=1&x={XID}")


@pytest.mark.parametrize(
    "take",
    [
        lambda: request.get_data(cache=False),
        lambda: request.stream.read(),
        lambda: request.stream.read(9),
    ],
)
def test_body_that_a_hook_took_away_is_told(
    app: Flask, take: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A click that is lost is no success: the script says so, and once the log says why."""
    app.before_request(just(take))
    for _ in range(2):
        response = post(app)
        assert (response.status_code, kept(response)) == (500, None)
    said = [r.levelname for r in caplog.records if f"POST {CLICK}" in r.getMessage()]
    assert said == ["ERROR"]


def test_body_of_unknown_length_is_read(app: Flask) -> None:
    """A body in chunks has a click as well, and is bounded all the same."""
    for body, status in ((LANDING, 204), ("x" * (LONGEST_QUERY + 1), 413)):
        response = app.test_client().post(
            CLICK,
            input_stream=BytesIO(body.encode()),
            headers=SAME,
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert (response.status_code, bool(kept(response))) == (status, status == 204)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_a_post_is_answered(app: Flask, method: str) -> None:
    """It is one POST and nothing else."""
    assert app.test_client().open(CLICK, method=method, headers=SAME).status_code == 405


MATCHING: dict[str, dict[str, Any]] = {
    "hosts": {"host_matching": True, "static_host": "acme.com"},
    "subdomains": {"subdomain_matching": True},
}


@pytest.mark.parametrize("server", ["acme.com", "acme.com:8080"])
@pytest.mark.parametrize("below", ["", "www.", "a.b."])
@pytest.mark.parametrize("matching", MATCHING)
def test_click_is_kept_on_every_host(
    tmp_path: Path, matching: str, below: str, server: str
) -> None:
    """Where Flask matches hosts or subdomains, a page calls its own host, and is answered."""
    app = Flask("app", instance_path=str(tmp_path), **MATCHING[matching])
    app.config.update(PARTNERSTACK_ENGINE="none", SERVER_NAME=server)
    PartnerStack(app)
    host = f"http://{below}{server}"
    with app.test_request_context("/", base_url=host):
        page = render_template_string("{{ partnerstack_capture() }}")
    assert options(page)["path"] == CLICK
    client = app.test_client()
    assert kept(client.post(CLICK, base_url=host, data=LANDING, headers=SAME))


@pytest.mark.parametrize("first", [True, False])
def test_csrf_protection_lets_it_through(tmp_path: Path, first: bool) -> None:
    """Flask-WTF's CSRFProtect exempts it, given to the app before or after, and nothing else."""
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_ENGINE="none", SECRET_KEY="secret")
    for extension in (CSRFProtect, PartnerStack) if first else (PartnerStack, CSRFProtect):
        extension(app)
    app.add_url_rule("/form", "form", lambda: "", methods=["POST"])

    client = app.test_client()
    assert kept(client.post(CLICK, data=LANDING, headers=SAME))
    assert client.post("/form", headers=SAME).status_code == 400


def test_endpoint_can_be_limited(app: Flask) -> None:
    """It is a view with a name, so a rate limiter finds it, and its refusal keeps nothing."""
    app.view_functions["partnerstack_click"] = lambda: ("slow down", 429)
    response = post(app)
    assert (response.status_code, kept(response)) == (429, None)


def test_consent_is_asked_of_it(tmp_path: Path) -> None:
    """The endpoint keeps nothing that a page would not."""
    partnerstack = PartnerStack()
    partnerstack.consent(lambda *_: "granted" in request.cookies)
    app = Flask("consenting", instance_path=str(tmp_path))
    app.config["PARTNERSTACK_ENGINE"] = "none"
    partnerstack.init_app(app)

    client = app.test_client()
    assert kept(client.post(CLICK, data=LANDING, headers=SAME)) is None
    client.set_cookie("granted", "yes")
    assert kept(client.post(CLICK, data=LANDING, headers=SAME))


def consenting(tmp_path: Path, hook: Callable[[str, Referral], bool | None]) -> Flask:
    partnerstack = PartnerStack()
    partnerstack.consent(hook)
    app = Flask("consenting", instance_path=str(tmp_path))
    app.config["PARTNERSTACK_ENGINE"] = "none"
    partnerstack.init_app(app)
    return app


def test_ads_click_is_turned_away_by_the_endpoint_too(tmp_path: Path) -> None:
    """A hook that looks at the landing URL sees the page's, and cannot be got round by a script."""
    app = consenting(tmp_path, lambda *_: "gclid" not in request.args)
    assert kept(post(app, f"?{LANDING}&gclid=x")) is None
    assert kept(post(app))


def test_hook_sees_the_pages_query_and_others_the_requests(tmp_path: Path) -> None:
    """Whatever a request says of its query it says of the page's, while the hook is asked."""
    seen: list[object] = []

    def look() -> None:
        sent = request.query_string, request.environ["QUERY_STRING"]
        seen.append((dict(request.args), dict(request.values), request.full_path[-4:], *sent))

    app = consenting(tmp_path, lambda *_: just(look)() is None)
    app.before_request(just(look))
    app.teardown_request(lambda _: look())
    client = app.test_client()
    client.post(f"{CLICK}?a=1", data="?ps_xid=abcd&b=2", headers=SAME)
    own = ({"a": "1"}, {"a": "1"}, "?a=1", b"a=1", "a=1")
    pages = {"ps_xid": "abcd", "b": "2"}
    query = "ps_xid=abcd&b=2"
    assert seen == [own, (pages, pages, "&b=2", query.encode(), query), own]


def test_hook_that_raises_leaves_the_request_as_it_was(tmp_path: Path) -> None:
    """A page's bytes that are no text cost the click and nothing else."""
    seen: list[str] = []
    app = consenting(tmp_path, lambda *_: "gclid" not in request.args)
    app.teardown_request(lambda _: seen.append(request.environ["QUERY_STRING"]))
    body = f"?{LANDING}&utm_term=caf".encode() + b"\xe9"
    response = app.test_client().post(CLICK, data=body, headers=SAME)
    assert (response.status_code, kept(response), seen) == (204, None, [""])


# --- links to elsewhere -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "decorated"),
    [
        ("https://app.example/", "https://app.example/?{}"),
        ("https://app.example/a?b=c#d", "https://app.example/a?b=c&{}#d"),
        ("/signup?next=%2Fx%3Fy", "/signup?next=%2Fx%3Fy&{}"),
        ("https://app.example/?ps_xid=old1&a=1&ps_partner_key=x", "https://app.example/?a=1&{}"),
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("javascript:void(0)", "javascript:void(0)"),
        ("http://[", "http://["),
        ("", "?{}"),
    ],
)
def test_url_is_decorated(app: Flask, url: str, decorated: str) -> None:
    """The click goes into the query; the rest of the URL stays as it is."""
    click = f"ps_xid={XID}&ps_partner_key=NTQ2YWI1Y2MzNGY4"
    with app.test_request_context("/", query_string=LANDING):
        assert decorate_url(url) == decorated.format(click)


def test_decorated_url_is_read_back(make_app: MakeApp) -> None:
    """Whoever is led there has the same click, partner and sub IDs, by the app's own names."""
    app = make_app(XID_PARAMS="cid", PARTNER_KEY_PARAMS="who")
    referral = Referral(XID, "Zürich & Söhne?>", None, ("a b", "ü&="), "url")
    with app.app_context():
        query = decorate_url("https://app.example/?a=1", referral).partition("?")[2]
    assert read_query(query, ("cid",), ("who",)) == referral


@pytest.mark.parametrize(
    "theirs",
    [
        "ps_xid=Theirs1234&ps_partner_key=YWRh",
        "gsxid=Theirs1234&gspk=YWRh&sid=theirs&sid1=too",
        "gspk=YWRh",
        "a=1&amp;ps_partner_key=YWRh",
    ],
)
@pytest.mark.parametrize("partner_key", [None, "ann"])
def test_a_click_in_the_url_gives_way_whole(
    app: Flask, theirs: str, partner_key: str | None
) -> None:
    """Click, partner and sub IDs come from one source: nobody is paid for another's click."""
    ours = Referral(XID, partner_key, source="url")
    with app.app_context():
        query = decorate_url(f"https://app.example/?{theirs}", ours).partition("?")[2]
    settings = get_state(app).settings
    assert read_query(query, settings.xid_params, settings.partner_key_params) == ours


def test_a_sid_of_the_apps_own_stays(app: Flask) -> None:
    """Without a click beside it, a field of that name is no sub ID."""
    with app.app_context():
        assert decorate_url("/?sid=session", Referral(XID)) == f"/?sid=session&ps_xid={XID}"


def test_nobody_decorates_nothing(app: Flask) -> None:
    """Without a click the URL comes back as it was, also for a partner's name alone."""
    for query in ("", "ps_partner_key=YWRh"):
        with app.test_request_context("/", query_string=query):
            assert decorate_url("https://app.example/?ps_xid=theirs") == (
                "https://app.example/?ps_xid=theirs"
            )


def test_a_stored_text_in_the_place_of_a_referral(app: Flask) -> None:
    """Who gives what dumps() wrote is told what makes a referral of it, and a proxy is one."""
    with app.test_request_context(f"/?ps_xid={XID}"):
        with pytest.raises(InvalidConversion, match=r"^referral: .*got str\. .*Referral\.loads"):
            decorate_url("/", Referral(XID).dumps())  # type: ignore[arg-type]
        assert decorate_url("/", current_referral) == f"/?ps_xid={XID}"


def test_template_decorates(app: Flask) -> None:
    """In templates it is a filter."""
    page = rendered(app, "{{ 'https://app.example/' | decorate_url }}")
    assert page.startswith(f"https://app.example/?ps_xid={XID}&amp;")


def test_only_the_first_request_looks_for_csrf_protection(make_app: MakeApp) -> None:
    """Its hook takes itself away, and the others see that request as well as the next."""
    app, seen = make_app(), []
    app.before_request(lambda: seen.append("seen"))
    before = len(app.before_request_funcs[None])
    client = app.test_client()
    for _ in range(2):
        client.get("/")
    assert seen == ["seen", "seen"]
    assert len(app.before_request_funcs[None]) == before - 1
