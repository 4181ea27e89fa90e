"""From link to credit: what real requests capture, and what their responses keep."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import NoReturn
from urllib.parse import parse_qs

import pytest
from flask import Flask
from flask import Request
from flask import Response
from flask import abort
from flask import g
from flask import redirect
from flask import render_template_string
from flask import request
from flask import request_finished
from flask import request_started
from flask import send_file
from flask.ctx import _AppCtxGlobals
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin
from flask.testing import FlaskClient
from werkzeug.http import parse_cookie
from werkzeug.test import EnvironBuilder
from werkzeug.test import TestResponse
from werkzeug.test import run_wsgi_app

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import current_referral
from flask_partnerstack import signals
from flask_partnerstack._state import EXTENSION
from flask_partnerstack._state import get_state
from flask_partnerstack._visit import follow
from flask_partnerstack._visit import look
from flask_partnerstack.capture import capturing
from flask_partnerstack.engines import NoEngine
from flask_partnerstack.referral import EMPTY
from tests.kit import LANDING
from tests.kit import PARTNER_KEY
from tests.kit import XID
from tests.kit import Clock
from tests.kit import TravellingPartnerStack

SAMPLES = Path(__file__).parent / "samples"
OURS = "partnerstack_referral"


def lines(name: str) -> list[list[str]]:
    text = (SAMPLES / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def answer() -> dict[str, Any]:
    """Answer with what the app knows of its visitor, from both places that say so."""
    assert g.partnerstack == current_referral
    found = g.partnerstack
    return {
        "xid": found.xid,
        "partner_key": found.partner_key,
        "source": found.source,
        "sub_ids": found.sub_ids,
    }


@pytest.fixture
def make_site(make_app: Callable[..., Flask]) -> Callable[..., Flask]:
    def make(**config: object) -> Flask:
        app = make_app(**config)
        app.add_url_rule("/", "root", answer)
        app.add_url_rule("/page", "page", lambda: "<p>Welcome")
        app.add_url_rule("/moved", "moved", lambda: redirect("/page"))
        app.add_url_rule("/broken", "broken", lambda: abort(500))
        app.add_url_rule("/bug", "bug", lambda: str(1 // 0))
        return app

    return make


@pytest.fixture
def site(make_site: Callable[..., Flask]) -> Flask:
    return make_site()


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    return site.test_client()


def kept(response: TestResponse) -> list[str]:
    """Return our Set-Cookie lines."""
    return [line for line in response.headers.getlist("Set-Cookie") if line.startswith(OURS)]


def attributes(response: TestResponse) -> set[str]:
    (line,) = kept(response)
    # Werkzeug writes Expires beside Max-Age, by the machine's clock; browsers heed Max-Age.
    return {part for part in line.split("; ")[1:] if not part.startswith("Expires=")}


def remembered(response: TestResponse) -> dict[str, list[str]]:
    (line,) = kept(response)
    return parse_qs(parse_cookie(line)[OURS])


def xid_of(response: TestResponse) -> str | None:
    assert response.status_code == 200
    xid: str | None = response.get_json()["xid"]
    return xid


# --- capture ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "xid", "partner_key"), lines("landing-params.tsv"))
def test_real_landing_urls(client: FlaskClient, query: str, xid: str, partner_key: str) -> None:
    """Every real landing URL gives its click and its partner, and the cookie keeps both."""
    response = client.get("/", query_string=query)

    assert response.get_json()["xid"] == xid
    assert response.get_json()["partner_key"] == partner_key
    assert remembered(response)["x"] == [xid]
    assert remembered(response)["k"] == [partner_key]


@pytest.mark.parametrize(("header", "xid", "partner_key"), lines("cookie-headers.tsv"))
def test_real_cookie_headers(site: Flask, header: str, xid: str, partner_key: str) -> None:
    """Every real Cookie header gives its click and its partner."""
    client = site.test_client(use_cookies=False)
    response = client.get("/", headers={"Cookie": header})

    assert response.get_json()["xid"] == xid
    assert response.get_json()["partner_key"] == partner_key


@pytest.mark.parametrize(
    ("value", "partner_key"),
    [
        ("MTZlZThkOWRhMTI4", "16ee8d9da128"),
        ("dHJveWNvb3BlcjEzNjQ", "troycooper1364"),
        ("ZGlkZGx5Mjk2NQ", "diddly2965"),
        ("QW5kcmV3SHVhbmc%3D", "AndrewHuang"),
        ("eGlhb2JlaWd1NDkxNA==", "xiaobeigu4914"),
        ("ZWJjYy10aWFnb2Zsb3Jlc2RpYXM1MzI%3D", "ebcc-tiagofloresdias532"),
        (
            "aHR0cHM6Ly93d3cueW91dHViZS5jb20vd2F0Y2g/dj1kUXc0dzlXZ1hjUQ==",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        ),
        ("Ym9iP3h+", "bob?x~"),
        ("Nzg0ZGsdsZWYyMWRi", "Nzg0ZGsdsZWYyMWRi"),
        ("", None),
        ("=", "="),
        ("x", "x"),
        ("%FF%FE", "\ufffd\ufffd"),
        ("\xff\xfe", "\ufffd\ufffd"),
        ("%00", None),
        ("A" * 4096, None),
    ],
)
@pytest.mark.parametrize("xid", ["Kvx64pph9uhCju", "Nh0q6z0jNfsP", "69Fe7JSSXkDs"])
def test_partner_keys_of_all_kinds(
    client: FlaskClient, xid: str, value: str, partner_key: str | None
) -> None:
    """Padded, unpadded, in either alphabet or not decodable at all: the click is never lost."""
    query = f"ps_partner_key={value}&ps_xid={xid}"
    found = client.get("/", environ_overrides={"QUERY_STRING": query}).get_json()

    assert (found["xid"], found["partner_key"]) == (xid, partner_key)


@pytest.mark.parametrize(
    "query",
    [f"ps_xid={XID}&utm_term=caf\xe9", f"utm_term=caf%E9&ps_xid={XID}", f"\xff&ps_xid={XID}&%"],
)
def test_bytes_that_are_not_utf8(client: FlaskClient, query: str) -> None:
    """Bytes that no text decodes to cost neither the page nor the click."""
    assert xid_of(client.get("/", environ_overrides={"QUERY_STRING": query})) == XID


@pytest.mark.parametrize(
    ("header", "partner_key"),
    [
        (r'x=1; ps_xid="Kvx64pph9uhC\152u"; ps_partner_key="a\054b"', "a,b"),
        (r'ps_partner_key="Z\303\274rich"; ps_xid=Kvx64pph9uhCju', "Zürich"),
        ("ps_partner_key=Z\xc3\xbcrich; ps_xid=Kvx64pph9uhCju", "Zürich"),
        ("ps_partner_key=\xff; ps_xid=Kvx64pph9uhCju", "\ufffd"),
    ],
)
def test_quoted_and_raw_cookies(site: Flask, header: str, partner_key: str) -> None:
    """Octal escapes and UTF-8 are read."""
    client = site.test_client(use_cookies=False)
    found = client.get("/", environ_overrides={"HTTP_COOKIE": header}).get_json()

    assert (found["xid"], found["partner_key"]) == (XID, partner_key)


def test_broken_cookie_costs_only_itself(site: Flask) -> None:
    """A quote that is never closed takes nothing from the cookie beside it."""
    client = site.test_client(use_cookies=False)
    broken = {"HTTP_COOKIE": 'ps_partner_key="; ps_xid=Kvx64pph9uhCju'}
    assert client.get("/", environ_overrides=broken).get_json()["xid"] == XID


def test_sub_id_of_4_kib(client: FlaskClient) -> None:
    """A sub ID that is far too long costs only itself."""
    response = client.get("/", query_string=f"sid={'x' * 4096}&sid1=c001&ps_xid={XID}")

    assert response.get_json()["sub_ids"] == ["c001"]
    assert xid_of(response) == XID


def test_html_escaped_link(client: FlaskClient) -> None:
    """A link that was escaped once too often still says who referred."""
    assert xid_of(client.get("/", query_string=f"utm_term=x&amp;ps_xid={XID}")) == XID


def test_two_clicks_in_a_url_are_told_once(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The link's own counts, and a WARNING says of the other where it stands."""
    for xid in ("new1", "new2"):
        assert xid_of(client.get("/", query_string=f"ps_xid=old1&ps_xid={xid}")) == xid

    (said,) = (r for r in caplog.records if "two different clicks" in r.getMessage())
    assert (said.levelname, "'/'" in said.getMessage()) == ("WARNING", True)


def test_app_chooses_the_parameters(make_site: Callable[..., Flask]) -> None:
    """With names of its own, an app reads those and no others."""
    client = make_site(XID_PARAMS=("cid",), PARTNER_KEY_PARAMS="who").test_client()

    assert client.get("/", query_string=LANDING).get_json()["xid"] is None
    found = client.get("/", query_string="who=NTQ2YWI1Y2MzNGY4&cid=abcd").get_json()
    assert (found["xid"], found["partner_key"]) == ("abcd", PARTNER_KEY)


def test_nothing_is_parsed_for_nobody(site: Flask) -> None:
    """A request with none of our names pays for no parsing, and has the one empty referral."""
    seen: list[Any] = []

    @site.get("/seen")
    def view() -> str:
        seen.append(g.partnerstack)
        return ""

    @site.teardown_request
    def look_back(_: BaseException | None) -> None:
        seen.append(g.partnerstack)
        seen.extend({"args", "cookies"} & vars(request._get_current_object()).keys())  # type: ignore[attr-defined]  # the proxy's own method

    site.test_client(use_cookies=False).get(
        "/seen?utm_source=x&caf=%E9", headers={"Cookie": "session=abc; theme=dark"}
    )

    assert len(seen) == 2
    assert seen[0] is seen[1] is EMPTY


def test_nobody_is_not_looked_at(
    site: Flask, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A request with none of our names does not even ask for the time."""
    del clock.now

    assert xid_of(site.test_client().get("/?utm_source=x", headers={"Cookie": "a=b"})) is None
    assert "could not be read" not in caplog.text


def test_first_request_wakes_the_engine(site: Flask) -> None:
    """The engine starts with the process's first request, after any fork, and once."""

    class Sleeper(NoEngine):
        awake = False
        woken = 0

        def wake(self) -> None:
            self.awake = True
            self.woken += 1

    engine = Sleeper()
    hook = capturing(lambda: None, {EXTENSION: replace(get_state(site), engine=engine)})
    for _ in range(2):
        with site.test_request_context("/"):
            hook()

    assert engine.woken == 1


def test_hooks_see_the_referral_whoever_was_first(tmp_path: Path) -> None:
    """The referral is there for every hook of the app, also on a page that does not exist."""
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_ENGINE="none")
    seen: list[str | None] = []
    app.before_request(lambda: seen.append(g.partnerstack.xid))
    PartnerStack(app)
    app.before_request(lambda: seen.append(g.partnerstack.xid))

    assert app.test_client().get("/nowhere", query_string=LANDING).status_code == 404
    assert seen == [XID, XID]


def test_switched_off(make_site: Callable[..., Flask]) -> None:
    """With ENABLED=False nobody is referred and nothing is kept."""
    client = make_site(ENABLED=False).test_client()
    response = client.get("/", query_string=LANDING)

    assert xid_of(response) is None
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers


@pytest.mark.parametrize("enabled", [True, False])
def test_referral_is_there_for_whatever_runs_before_a_view(tmp_path: Path, enabled: bool) -> None:
    """Hooks that were there before ours, and what looks at a URL's values; switched off as on."""
    seen: list[object] = []
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_ENABLED=enabled, PARTNERSTACK_ENGINE="none")
    app.before_request(lambda: seen.append(g.partnerstack))
    app.url_value_preprocessor(lambda *_: seen.append(g.partnerstack))
    PartnerStack(app)

    assert app.test_client().get("/nowhere").status_code == 404
    assert seen == [EMPTY, EMPTY]


def test_outside_a_request_nobody_is_referred(site: Flask) -> None:
    """Outside a request the importable referral is the empty one."""
    assert not current_referral
    with site.app_context():
        assert current_referral == EMPTY
        assert current_referral.xid is None


def test_request_that_was_not_dispatched(site: Flask) -> None:
    """In a request context whose hooks have not run, the importable referral is read at once."""
    with site.test_request_context("/", query_string=LANDING):
        assert current_referral.xid == XID
        assert current_referral.partner_key == PARTNER_KEY


# --- keep ---------------------------------------------------------------------------------------


def test_click_is_written_once(client: FlaskClient) -> None:
    """The landing page's response carries the cookie; later pages remember and write nothing."""
    assert len(kept(client.get("/page", query_string=LANDING))) == 1

    for _ in range(3):
        response = client.get("/")
        assert kept(response) == []
        assert (xid_of(response), response.get_json()["source"]) == (XID, "cookie")


def test_cookie_says_what_it_is(client: FlaskClient, clock: Clock) -> None:
    """The cookie is readable and versioned: click, time, partner key, sub IDs."""
    response = client.get("/", query_string=f"{LANDING}&sid=c001")

    assert remembered(response) == {
        "v": ["1"],
        "x": [XID],
        "t": [str(int(clock.now.timestamp()))],
        "k": [PARTNER_KEY],
        "s": ["c001"],
    }


def test_cookie_attributes(client: FlaskClient) -> None:
    """By default the cookie is first-party, HttpOnly, Lax, and outlives the window twice."""
    assert attributes(client.get("/", query_string=LANDING)) == {
        "HttpOnly",
        "Path=/",
        "SameSite=Lax",
        f"Max-Age={180 * 86_400}",
    }


def test_secure_follows_the_request(client: FlaskClient) -> None:
    """A request that came by https gets a cookie that stays with https."""
    response = client.get("/", query_string=LANDING, base_url="https://localhost")

    assert "Secure" in attributes(response)


def test_attributes_are_the_apps_to_choose(make_site: Callable[..., Flask]) -> None:
    """Each of COOKIE_* is honoured."""
    client = make_site(
        COOKIE_NAME=f"{OURS}2",
        COOKIE_DOMAIN="acme.com",
        COOKIE_PATH="/shop",
        COOKIE_SAMESITE="None",
        COOKIE_SECURE=True,
        ATTRIBUTION_WINDOW=30,
    ).test_client()
    response = client.get("/", query_string=LANDING, base_url="http://www.acme.com")

    assert kept(response)[0].startswith(f"{OURS}2=")
    assert attributes(response) == {
        "Domain=acme.com",
        "HttpOnly",
        "Path=/shop",
        "SameSite=None",
        "Secure",
        f"Max-Age={60 * 86_400}",
    }


@pytest.mark.parametrize(
    "config",
    [{"COOKIE_SAMESITE": "None"}, {"COOKIE_NAME": "__Host-ref"}, {"COOKIE_NAME": "__Secure-ref"}],
)
def test_secure_where_browsers_ask_for_it(
    make_site: Callable[..., Flask], config: dict[str, str]
) -> None:
    """A cookie that browsers take as Secure only is that, also behind a proxy that ends TLS."""
    response = make_site(**config).test_client().get("/", query_string=LANDING)

    assert "; Secure" in response.headers["Set-Cookie"]


def test_insecure_can_be_chosen(make_site: Callable[..., Flask]) -> None:
    """COOKIE_SECURE=False keeps the cookie readable by http."""
    client = make_site(COOKIE_SECURE=False).test_client()
    response = client.get("/", query_string=LANDING, base_url="https://localhost")

    assert "Secure" not in attributes(response)


@pytest.mark.parametrize("days", [200, 365, 36_500])
def test_cookie_lives_400_days_at_most(make_site: Callable[..., Flask], days: int) -> None:
    """Browsers keep nothing longer than 400 days, however long the window is."""
    client = make_site(ATTRIBUTION_WINDOW=days).test_client()

    assert f"Max-Age={400 * 86_400}" in attributes(client.get("/", query_string=LANDING))


@pytest.mark.parametrize(
    ("path", "status"), [("/moved", 302), ("/nowhere", 404), ("/broken", 500), ("/bug", 500)]
)
def test_click_is_kept_whatever_is_answered(client: FlaskClient, path: str, status: int) -> None:
    """Redirects and errors carry the cookie, too."""
    response = client.get(path, query_string=LANDING)

    assert response.status_code == status
    assert remembered(response)["x"] == [XID]
    assert xid_of(client.get("/")) == XID


@pytest.mark.parametrize(("query", "xid"), [(LANDING, XID), ("", None)])
def test_hook_that_answers_before_ours(tmp_path: Path, query: str, xid: str | None) -> None:
    """When another hook redirects before ours runs, the response's hook captures and keeps."""
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_ENGINE="none")
    seen: list[str | None] = []
    app.before_request(lambda: redirect("/en/"))
    app.teardown_request(lambda _: seen.append(g.partnerstack.xid))
    PartnerStack(app)

    response = app.test_client().get("/", query_string=query)
    assert response.status_code == 302
    assert [remembered(response)["x"]] == [[xid]] if xid else kept(response) == []
    assert seen == [xid]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Sec-Purpose": "prerender"},
        {"X-Purpose": "preview"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_what_is_no_visit_keeps_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    """A prefetch and a sub-resource see the referral and keep nothing."""
    response = client.get("/", query_string=LANDING, headers=headers)

    assert xid_of(response) == XID
    assert kept(response) == []
    assert xid_of(client.get("/")) is None


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_looking_keeps_nothing(site: Flask, method: str) -> None:
    """A link that is only looked at is no click, and still has its referral."""
    seen: list[Referral] = []
    site.before_request(lambda: seen.append(g.partnerstack))
    response = site.test_client().open("/", method=method, query_string=LANDING)

    assert kept(response) == []
    assert [referral.xid for referral in seen] == [XID]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-site"},
        {"Purpose": "x"},
    ],
)
def test_pages_and_calls_keep(client: FlaskClient, headers: dict[str, str]) -> None:
    """A page, and a script's call for one, keep the click."""
    assert len(kept(client.get("/", query_string=LANDING, headers=headers))) == 1
    assert len(kept(client.post("/page", query_string="ps_xid=abcd", headers=headers))) == 1


#: What Chromium says when a page of another site has a link of its own loaded ahead of time.
AHEAD = {
    "Sec-Purpose": "prefetch",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Referer": "https://blog.example/",
}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Purpose": "prefetch;prerender"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_page_ahead_of_time_for_another_site_keeps(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    """The browser takes the click with the visit, and never asks for the page again."""
    response = client.get(
        "/", query_string=LANDING, headers=AHEAD | headers, base_url="https://acme.com"
    )
    assert remembered(response)["x"] == [XID]


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "https://acme.com/hub"},
        {"Referer": "https://WWW.ACME.COM/"},
        {"Referer": "http://[/"},
        {"Referer": ""},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Purpose": "", "Purpose": "prefetch"},
        {"Sec-Purpose": "", "X-Purpose": "preview"},
    ],
)
def test_page_ahead_of_time_within_a_site_keeps_nothing(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    """Nor does one of which it is not sure: its cookie would be there before a visit."""
    response = client.get(
        "/", query_string=LANDING, headers=AHEAD | headers, base_url="https://app.acme.com"
    )
    assert kept(response) == []


@pytest.mark.parametrize("name", [OURS, "__Host-ref"])
@pytest.mark.parametrize("value", ["", "the app's own"])
def test_cookie_that_the_app_sets_or_deletes_is_left(
    make_site: Callable[..., Flask], name: str, value: str
) -> None:
    """A visitor who withdraws consent brings no new click into the browser by doing so."""
    told: list[object] = []
    site = make_site(COOKIE_NAME=name)

    @site.post("/withdraw")
    def withdraw() -> Response:
        response = Response()
        response.set_cookie(name, value, max_age=None if value else 0)
        response.set_cookie("consent", "no")
        return response

    with signals.referral_captured.connected_to(lambda *_, **facts: told.append(facts)):
        response = site.test_client().post("/withdraw", query_string=LANDING)
    set_by = [line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")]
    assert (set_by, told) == ([name, "consent"], [])
    assert response.headers["Cache-Control"] == "private"


def test_another_cookie_of_the_apps_is_in_nobodys_way(site: Flask) -> None:
    """One whose name only begins as ours does is none of ours."""

    @site.get("/other")
    def other() -> Response:
        response = Response()
        response.set_cookie(f"{OURS}_seen", "1")
        return response

    assert len(kept(site.test_client().get("/other", query_string=LANDING))) == 2


def test_cookie_is_bounded(client: FlaskClient) -> None:
    """Of a click that does not fit into 2 KiB the sub IDs go and the rest stays."""
    sub_ids = "&".join(f"sid{n}={'%C3%BC' * 250}" for n in range(10))
    response = client.get("/", query_string=f"{LANDING}&{sub_ids}")

    assert len(response.get_json()["sub_ids"]) == 10
    assert remembered(response).keys() == {"v", "x", "t", "k"}


def test_partner_key_that_does_not_fit(site: Flask) -> None:
    """A partner key that alone breaks the bound goes, and the xid stays."""
    client = site.test_client(use_cookies=False)
    header = f"ps_xid={XID}; ps_partner_key={'ü' * 400}".encode().decode("latin-1")
    response = client.get("/", environ_overrides={"HTTP_COOKIE": header})

    assert remembered(response).keys() == {"v", "x", "t", "j"}
    assert len(kept(response)[0]) < 2048


def test_name_that_is_encoded(make_site: Callable[..., Flask]) -> None:
    """A request whose URL has our names percent-encoded carries a click as any other does."""
    site = make_site(XID_PARAMS=("click[id]", "ps_xid"))
    for query in ("ps%5Fxid=abcd1", "click[id]=abcd1", "click%5Bid%5D=abcd1"):
        assert xid_of(site.test_client().get("/", query_string=query)) == "abcd1"


def test_two_clicks_on_a_page_of_somebodys(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """The line about them names the route: the path may have an e-mail address in it."""
    site.add_url_rule("/invite/<who>", "invite", lambda who: who)
    site.test_client().get("/invite/jo@acme.com", query_string="ps_xid=aaaa1&ps_xid=bbbb2")

    assert "the route '/invite/<who>' carries two different clicks" in caplog.text
    assert "jo@" not in caplog.text


# --- who wins -----------------------------------------------------------------------------------


def test_new_landing_url_wins(client: FlaskClient) -> None:
    """The last click counts, over everything that is remembered."""
    client.get("/", query_string=LANDING)
    client.set_cookie("ps_xid", "script1")
    response = client.get("/", query_string="ps_xid=newer1")

    assert xid_of(response) == "newer1"
    assert remembered(response)["o"] == [XID]
    assert xid_of(client.get("/")) == "newer1"


def test_changed_script_cookie_wins_once(client: FlaskClient) -> None:
    """A click that PartnerStackJS saw on a cached page is noticed, kept, and then no news."""
    client.get("/", query_string=LANDING)
    client.set_cookie("ps_xid", XID)
    assert kept(client.get("/")) == []

    client.set_cookie("ps_xid", "cached1")
    client.set_cookie("ps_partner_key", "bob")
    response = client.get("/")
    assert (xid_of(response), response.get_json()["partner_key"]) == ("cached1", "bob")
    assert len(kept(response)) == 1
    assert kept(client.get("/")) == []


def test_stale_script_cookie_does_not_win(client: FlaskClient) -> None:
    """A PartnerStackJS cookie that was there at the click says nothing new afterwards."""
    client.set_cookie("ps_xid", "stale1")
    client.get("/", query_string=LANDING)

    response = client.get("/")
    assert (xid_of(response), kept(response)) == (XID, [])


@pytest.mark.parametrize(
    ("cookies", "xid"),
    [
        ("gsxid=v1click; ps_xid=v2click; _ps_xid_UhXtEvJi_Bmh5=redir1", "v2click"),
        ("gsxid=v1click; _ps_xid_UhXtEvJi_Bmh5=redir1", "v1click"),
        ("_ps_xid_UhXtEvJi_Bmh5=redir1; _gsxidUhXtEvJiWwDK=redir1", "redir1"),
        ("_ps_xid_UhXtEvJi_Bmh5=redir1; _gsxidUhXtEvJiWwDK=redir2", None),
        ("_grsmpkUhXtEvJi=somebody", None),
    ],
)
def test_their_cookies_when_we_know_nothing(site: Flask, cookies: str, xid: str | None) -> None:
    """Without a click of ours: ps_xid, gsxid, then the redirector's when it has only one."""
    response = site.test_client(use_cookies=False).get("/", headers={"Cookie": cookies})

    assert xid_of(response) == xid
    assert len(kept(response)) == (xid is not None)


def test_ours_wins_over_the_redirector(client: FlaskClient) -> None:
    """While we know a click, the redirector's is not asked."""
    client.get("/", query_string=LANDING)
    client.set_cookie("_ps_xid_UhXtEvJi_Bmh5", "redir1")

    assert xid_of(client.get("/")) == XID


def test_last_click_wins_over_a_prefetch(client: FlaskClient) -> None:
    """A page that was fetched ahead of time takes nothing from the click before it."""
    client.get("/", query_string=LANDING)
    client.get("/", query_string="ps_xid=ahead1", headers={"Sec-Purpose": "prefetch"})
    assert xid_of(client.get("/")) == XID

    client.get("/", query_string="ps_xid=ahead1")
    assert xid_of(client.get("/")) == "ahead1"


def test_copies_at_apex_and_subdomain(site: Flask, clock: Clock) -> None:
    """PartnerStackJS's cookie, sent twice, is a newer click when either copy is unknown to us."""
    client = site.test_client(use_cookies=False)
    ours = f"{OURS}=v=1&x={XID}&t={int(clock.now.timestamp())}&j=old1"

    for theirs in ("ps_xid=old1; ps_xid=cached1", "ps_xid=cached1; ps_xid=old1"):
        assert xid_of(client.get("/", headers={"Cookie": f"{ours}; {theirs}"})) == "cached1"
    response = client.get("/", headers={"Cookie": f"{ours}; ps_xid=old1; ps_xid={XID}"})
    assert (xid_of(response), kept(response)) == (XID, [])


def test_back_button_is_no_click(client: FlaskClient) -> None:
    """Reloading an older landing URL leaves the newer click in its place, and its time."""
    client.get("/", query_string=LANDING)
    client.get("/", query_string="ps_xid=newer1")
    response = client.get("/", query_string=LANDING)

    assert xid_of(response) == "newer1"
    assert kept(response) == []


def test_partner_key_alone_is_shown_and_not_kept(client: FlaskClient) -> None:
    """A link without a click greets in the partner's name and leaves no cookie."""
    response = client.get("/", query_string="ps_partner_key=ZGlkZGx5Mjk2NQ&ps_xid=")

    assert response.get_json()["partner_key"] == "diddly2965"
    assert kept(response) == []


def test_window_does_not_slide(client: FlaskClient, clock: Clock) -> None:
    """Page views and reloads do not prolong a click: its window closes 90 days after it."""
    client.get("/", query_string=LANDING)
    for _ in range(89):
        clock.tick(days=1)
        client.get("/", query_string=LANDING)
    assert xid_of(client.get("/")) == XID

    clock.tick(days=1)
    assert xid_of(client.get("/")) is None


@pytest.mark.parametrize("cookie", ["ps_xid", "gsxid", "_ps_xid_UhXtEvJi_Bmh5"])
def test_expired_click_does_not_rise_again(client: FlaskClient, clock: Clock, cookie: str) -> None:
    """PartnerStackJS renews its copy of a click for ever; that makes it no younger."""
    client.get("/", query_string=LANDING)
    client.set_cookie(cookie, XID)
    clock.tick(days=120)

    response = client.get("/", query_string=LANDING)
    assert (xid_of(response), kept(response)) == (None, [])


def test_expired_click_stays_expired_for_years(client: FlaskClient, clock: Clock) -> None:
    """As long as PartnerStackJS renews its copy, ours is renewed too, with the click's own time."""
    told: list[object] = []
    client.get("/", query_string=LANDING)
    client.set_cookie("ps_xid", XID)
    clicked = remembered(client.get("/", query_string="ps_xid=last1"))["t"]
    with signals.referral_captured.connected_to(lambda *_, **facts: told.append(facts)):
        clock.tick(days=100)
        assert kept(client.get("/page")) == []
        for _ in range(12):
            clock.tick(days=100)
            response = client.get("/page")
            assert (remembered(response)["x"], remembered(response)["t"]) == (["last1"], clicked)
            assert "Vary" in response.headers
            assert xid_of(client.get("/")) is None
    assert told == []


def test_new_click_after_the_window(client: FlaskClient, clock: Clock) -> None:
    """After an expired click the next one counts, from its own time."""
    client.get("/", query_string=LANDING)
    clock.tick(days=91)
    client.get("/", query_string="ps_xid=newer1")
    clock.tick(days=89)

    assert xid_of(client.get("/")) == "newer1"


def test_first_click_policy(make_site: Callable[..., Flask], clock: Clock) -> None:
    """With "first", a click stands against newer ones until its window closes."""
    client = make_site(ATTRIBUTION="first").test_client()
    client.get("/", query_string=LANDING)
    client.set_cookie("gsxid", "script1")
    response = client.get("/", query_string="ps_xid=newer1")
    assert (xid_of(response), remembered(response)["x"]) == (XID, [XID])
    assert (remembered(response)["o"], remembered(response)["j"]) == (["newer1"], ["script1"])
    assert kept(client.get("/", query_string="ps_xid=newer1")) == []

    clock.tick(days=90)
    assert xid_of(client.get("/", query_string="ps_xid=newest1")) == "newest1"


def test_click_that_lost_to_the_first_stays_lost(
    make_site: Callable[..., Flask], clock: Clock
) -> None:
    """With "first", it does not earn by PartnerStackJS's old copy when the first one expires."""
    client = make_site(ATTRIBUTION="first").test_client()
    clicked = remembered(client.get("/", query_string=LANDING))["t"]
    clock.tick(days=1)
    response = client.get("/", query_string="ps_xid=newer1")
    assert (xid_of(response), remembered(response)["t"]) == (XID, clicked)

    client.set_cookie("ps_xid", "newer1")
    clock.tick(days=94)
    assert xid_of(client.get("/")) is None


def test_click_that_lost_is_no_capture(make_site: Callable[..., Flask]) -> None:
    """With "first", referral_captured tells of the one that stands, once."""
    told: list[object] = []
    client = make_site(ATTRIBUTION="first").test_client()
    with signals.referral_captured.connected_to(lambda *_, **facts: told.append(facts)):
        client.get("/", query_string=LANDING)
        assert kept(client.get("/", query_string="ps_xid=newer1")) != []
    assert len(told) == 1


def test_time_to_come_is_refused(client: FlaskClient, clock: Clock) -> None:
    """A visitor who dates the click ahead has none; one of theirs cannot earn for longer."""
    future = int(clock.now.timestamp()) + 86_400
    client.set_cookie(OURS, f"v=1&x={XID}&t={future}")

    assert xid_of(client.get("/")) is None
    assert xid_of(client.get("/", query_string="ps_xid=newer1")) == "newer1"


def test_time_to_come_is_said_once(
    client: FlaskClient, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A click that is not believed is told of, whatever is wrong with whose clock."""
    client.set_cookie(OURS, f"v=1&x={XID}&t={int(clock.now.timestamp()) + 10**6}")
    for _ in range(2):
        client.get("/")

    said = [record for record in caplog.records if "is not believed" in record.getMessage()]
    assert [record.levelname for record in said] == ["WARNING"]


def test_click_that_a_faster_clock_has_dated(site: Flask, clock: Clock) -> None:
    """A machine whose clock runs ahead by minutes or hours costs no click at the others."""
    client = site.test_client()
    clock.tick(hours=23)
    client.get("/", query_string=LANDING)
    clock.tick(hours=-23)

    assert xid_of(client.get("/")) == XID


def test_second_copy_of_our_cookie(site: Flask, clock: Clock) -> None:
    """Of two cookies with our name, for a host and its domain, the first that is ours counts."""
    ours = f"v=1&x={XID}&t={int(clock.now.timestamp())}"
    client = site.test_client(use_cookies=False)

    found = client.get("/", headers={"Cookie": f"{OURS}=garbage; {OURS}={ours}"})
    assert xid_of(found) == XID


def test_cookie_of_another_name_is_not_ours(site: Flask, clock: Clock) -> None:
    """A cookie whose name only contains ours says nothing."""
    value = f"v=1&x={XID}&t={int(clock.now.timestamp())}"
    client = site.test_client(use_cookies=False)

    assert xid_of(client.get("/", headers={"Cookie": f"old_{OURS}={value}"})) is None


class Guarded(Request):
    """A request of an app that has TRUSTED_HOSTS, as Flask 3.1 makes it."""

    trusted_hosts = ("acme.com",)  # type: ignore[assignment]


def test_host_that_is_not_trusted(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger's Host keeps no click, and writes no traceback into the log."""
    site.request_class = Guarded
    headers = {**AHEAD, "Host": "evil.example"}

    assert kept(site.test_client().get("/", query_string=LANDING, headers=headers)) == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("path", ["/page", "/bug", "/broken", "/nowhere"])
def test_hook_that_raises_for_every_response(site: Flask, path: str) -> None:
    """The page for errors that comes instead keeps the click, as every response does."""

    @site.after_request
    def stumble(_response: Response) -> NoReturn:
        raise LookupError("a hook of the app's")

    told: list[object] = []
    with signals.referral_captured.connected_to(lambda *_, **facts: told.append(facts)):
        response = site.test_client().get(path, query_string=LANDING)

    assert response.status_code == 500
    assert remembered(response)["x"] == [XID]
    assert response.headers["Cache-Control"] == "private"
    assert len(told) == 1


# --- caches -------------------------------------------------------------------------------------

LINES = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("given", "cache_control"),
    [
        ([], "private"),
        ([("Cache-Control", "public, max-age=60, s-maxage=3600")], "max-age=60, private"),
        ([("Cache-Control", "Public, S-MaxAge=60")], "private"),
        ([("Cache-Control", "private, max-age=60")], "private, max-age=60"),
        ([("Cache-Control", "no-store")], "no-store"),
        ([("Cache-Control", "public, No-Store")], "No-Store"),
        ([("Cache-Control", "public"), ("Cache-Control", "no-store")], "no-store"),
        ([("cache-control", "max-age=5"), ("Cache-Control", "s-maxage=9")], "max-age=5, private"),
    ],
)
@pytest.mark.parametrize("path", ["/json", "/html"])
def test_shared_caches_keep_no_click(
    site: Flask, path: str, given: LINES, cache_control: str
) -> None:
    """The response with the cookie, of any type, is for one visitor only."""

    def view() -> Response:
        response = Response("", mimetype="application/json" if path == "/json" else "text/html")
        response.headers.extend(given)
        response.headers["CDN-Cache-Control"] = "max-age=600"
        response.headers["surrogate-control"] = "max-age=600"
        return response

    site.add_url_rule(path, "cached", view)
    client = site.test_client()
    landed = client.get(path, query_string=LANDING)
    later = client.get(path)

    for response in (landed, later) if path == "/html" else (landed,):
        assert response.headers.getlist("Cache-Control") == [cache_control]
        assert response.headers.getlist("Vary") == ["Cookie"]
        assert not {"cdn-cache-control", "surrogate-control"} & {
            name.lower() for name in dict(response.headers)
        }


@pytest.mark.parametrize(
    ("given", "vary"),
    [
        (["Accept-Encoding"], "Accept-Encoding, Cookie"),
        (["Cookie"], "Cookie"),
        (["cookie, Accept"], "cookie, Accept"),
        (["Accept", "Origin"], "Accept, Origin, Cookie"),
        (["*"], "*, Cookie"),
    ],
)
def test_vary_is_added_to(site: Flask, given: list[str], vary: str) -> None:
    """What a response varies by already is kept."""
    site.add_url_rule("/varied", "varied", lambda: ("", [("Vary", name) for name in given]))
    response = site.test_client().get("/varied", query_string=LANDING)

    assert response.headers.getlist("Vary") == [vary]


def test_other_answers_to_a_referred_visitor_stay_shared(site: Flask) -> None:
    """What is no page and carries no cookie may stay in every cache."""
    headers = {"Cache-Control": "public, max-age=60", "Content-Type": "text/css"}
    site.add_url_rule("/style", "style", lambda: ("p {}", headers))
    client = site.test_client()
    client.get("/", query_string=LANDING)
    response = client.get("/style")

    assert response.headers["Cache-Control"] == "public, max-age=60"
    assert "Vary" not in response.headers


@pytest.mark.parametrize("kind", ["Text/HTML; charset=utf-8", "APPLICATION/XHTML+XML"])
def test_page_whose_type_is_in_capitals_is_private(site: Flask, kind: str) -> None:
    """A content type is the same one in capitals, and its page as private."""
    headers = {"Cache-Control": "public", "Content-Type": kind}
    site.add_url_rule("/loud", "loud", lambda: ("<p>Hello", headers))
    client = site.test_client()
    client.get("/", query_string=LANDING)

    assert client.get("/loud").headers["Cache-Control"] == "private"


class Malformed(Response):
    """A response whose Cache-Control Werkzeug cannot read."""

    @property
    def cache_control(self) -> NoReturn:
        raise ValueError("malformed")

    def set_cookie(self, *_args: object, **_given: object) -> NoReturn:
        raise ValueError("none taken")


@pytest.mark.parametrize("query", ["", "ps_xid=newer1"])
def test_page_of_unreadable_directives_is_private(site: Flask, query: str) -> None:
    """Whatever fails on the way, a greeting is in no shared cache."""
    page = Malformed("<p>", mimetype="text/html")
    site.add_url_rule("/odd", "odd", lambda: page)
    client = site.test_client()
    client.get("/", query_string=LANDING)
    for given, said in [("public, a=", "private"), ("public, No-Store, a=", "private, no-store")]:
        page.headers["Cache-Control"] = given
        response = client.get("/odd", query_string=query)
        assert response.headers["Cache-Control"] == said


def test_prefetched_page_is_private(client: FlaskClient) -> None:
    """A prefetched page of a referred visitor is private, cookie or not."""
    response = client.get("/page", query_string=LANDING, headers={"Sec-Purpose": "prefetch"})

    assert response.headers["Cache-Control"] == "private"
    assert response.headers["Vary"] == "Cookie"


def test_unreferred_response_is_untouched(site: Flask, tmp_path: Path) -> None:
    """A visitor whom nobody referred gets byte for byte what the app alone would answer."""
    headers = [("Cache-Control", "public"), ("CDN-Cache-Control", "a=1"), ("vary", "Accept")]
    bare = Flask("bare", instance_path=str(tmp_path))
    answers = []
    for app in (bare, site):
        app.add_url_rule("/plain", "plain", lambda: ("<p>Hello", headers))
        environ = EnvironBuilder("/plain?ps_xid=&utm_source=x").get_environ()
        body, status, found = run_wsgi_app(app, environ)
        answers.append((b"".join(body), status, list(found)))

    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["X-Accel-Expires", "Cloudflare-CDN-Cache-Control"])
def test_headers_for_one_cache_are_taken_off(site: Flask, name: str) -> None:
    """What speaks to one vendor's cache alone cannot overrule that a page is private."""
    site.add_url_rule("/told", "told", lambda: ("<p>Hello", {name: "3600"}))
    client = site.test_client()

    assert name in client.get("/told").headers
    assert name not in client.get("/told", query_string=LANDING).headers


def test_hook_that_was_there_before_ours(tmp_path: Path) -> None:
    """An app that makes its pages public in a hook shares no click, however early it hooked."""
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(PARTNERSTACK_ENGINE="none")

    def publish(response: Response) -> Response:
        response.headers["Cache-Control"] = "public, s-maxage=600"
        return response

    app.after_request(publish)
    PartnerStack(app)
    app.after_request(publish)
    app.add_url_rule("/", "root", lambda: "<p>Hello")

    response = app.test_client().get("/", query_string=LANDING)
    assert len(kept(response)) == 1
    assert response.headers["Cache-Control"] == "private"


def test_session_that_publishes(site: Flask) -> None:
    """A session that is saved after every hook has no later word on a page than ours."""

    class Publishing(SecureCookieSessionInterface):
        def save_session(self, _app: Flask, _session: SessionMixin, response: Response) -> None:
            response.headers["Cache-Control"] = "public"

    site.secret_key = "secret"
    site.session_interface = Publishing()
    client = site.test_client()

    assert client.get("/page").headers["Cache-Control"] == "public"
    answered = client.get("/page", query_string=LANDING)
    assert answered.headers["Cache-Control"] == "private"


# --- a response that several visitors get -------------------------------------------------------


@pytest.fixture
def shared(site: Flask) -> Response:
    """The one object that the site answers everybody at /soon with."""
    page = Response("<p>Soon", mimetype="text/html", headers={"Cache-Control": "public"})
    site.add_url_rule("/soon", "soon", lambda: page)
    return page


def test_shared_response_keeps_each_click_for_its_visitor(site: Flask, shared: Response) -> None:
    """Whoever gets the same response object gets a click of their own, or none."""
    clicks = [
        kept(site.test_client().get("/soon", query_string=query))
        for query in ("ps_xid=annsClick", "", "ps_xid=bobsClick")
    ]

    assert [len(lines) for lines in clicks] == [1, 0, 1]
    assert "annsClick" in clicks[0][0]
    assert "bobsClick" in clicks[2][0]
    assert "Set-Cookie" not in shared.headers


def test_shared_response_stays_public_for_others(site: Flask, shared: Response) -> None:
    """A page is private to a referred visitor, and as public as before to the next one."""
    client = site.test_client()
    client.get("/soon", query_string=LANDING)

    assert client.get("/soon").headers["Cache-Control"] == "private"
    assert site.test_client().get("/soon").headers["Cache-Control"] == "public"
    assert "Vary" not in shared.headers


class Unpickled(Response):
    """A response as an app may make its own: with slots, and not to be pickled."""

    __slots__ = ("heading", "missing")

    def __reduce__(self) -> str:
        raise TypeError("has a lock")


def test_response_of_a_class_of_the_apps_own(site: Flask) -> None:
    """A view's own kind of response arrives with all that is on it, its click beside that."""
    finished: list[Response] = []

    def view() -> Response:
        page = Unpickled("<p>Hello", mimetype="text/html")
        page.heading = page.of_dict = "Hello"  # type: ignore[attr-defined]
        return page

    site.add_url_rule("/own", "own", view)
    with request_finished.connected_to(lambda _app, response: finished.append(response), site):
        assert len(kept(site.test_client().get("/own", query_string=LANDING))) == 1
    (page,) = finished
    assert isinstance(page, Unpickled)
    assert vars(page)["of_dict"] == page.heading == "Hello"  # type: ignore[attr-defined]


def test_streamed_response_ends_when_it_is_sent(site: Flask) -> None:
    """Who holds a view's response is told of its end, and not before all of it was sent."""
    told: list[str] = []

    @site.after_request
    def hold(response: Response) -> Response:
        weakref.finalize(response, told.append, "gone")
        response.call_on_close(lambda: told.append("closed"))
        return response

    site.add_url_rule("/stream", "stream", lambda: Response(iter(["<p>", "Hello"])))
    with closing(site.test_client().get("/stream", query_string=LANDING)) as response:
        assert response.get_data() == b"<p>Hello"
        assert told == []
        assert len(kept(response)) == 1
    assert told[0] == "closed"


def test_file_is_sent_whole(site: Flask, tmp_path: Path) -> None:
    """A file that passes straight through does so for a referred visitor, too."""
    (tmp_path / "guide.html").write_text("<p>Guide")
    site.add_url_rule("/guide", "guide", lambda: send_file(tmp_path / "guide.html"))

    with closing(site.test_client().get("/guide", query_string=LANDING)) as response:
        assert response.get_data() == b"<p>Guide"
        assert len(kept(response)) == 1


# --- the cookie's domain ------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["acme.com", ".acme.com", "ACME.com", "www.acme.com"])
@pytest.mark.parametrize("host", ["www.acme.com", "WWW.acme.com:8080", "a.www.acme.com"])
def test_domain_that_covers_the_host(
    make_site: Callable[..., Flask], domain: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """COOKIE_DOMAIN is used on each host that it is, or is above."""
    client = make_site(COOKIE_DOMAIN=domain).test_client()
    response = client.get("/page", query_string=LANDING, headers={"Host": host})

    assert f"Domain={domain.lstrip('.')}" in kept(response)[0]
    assert "COOKIE_DOMAIN" not in caplog.text


@pytest.mark.parametrize("host", ["acme.org", "notacme.com", "com", "127.0.0.1:5000", "[::1]:80"])
def test_domain_that_does_not(
    make_site: Callable[..., Flask], host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Elsewhere a browser would refuse it: that is said once, loudly, and the click is kept."""
    client = make_site(COOKIE_DOMAIN="acme.com").test_client()
    for number in range(3):
        query = f"ps_xid=click{number}"
        response = client.get("/page", query_string=query, headers={"Host": host})
        assert not any(part.startswith("Domain=") for part in attributes(response))

    (said,) = [record for record in caplog.records if "COOKIE_DOMAIN" in record.getMessage()]
    assert said.levelname == "ERROR"
    assert "acme.com" in said.getMessage()


def test_address_that_is_outside_of_the_domain_is_told_whole(
    make_site: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    """An IPv6 address is one in its two brackets."""
    client = make_site(COOKIE_DOMAIN="acme.com").test_client()
    client.get("/page", query_string=LANDING, headers={"Host": "[2001:db8::1]:8000"})

    assert "came to the host [2001:db8::1]:" in caplog.text


# --- apart --------------------------------------------------------------------------------------


def test_requests_under_one_app_context(site: Flask) -> None:
    """Requests that share an outer app context share no referral, in any order."""
    queries = ["", LANDING, "", "ps_xid=other1", LANDING, ""]
    expected = [None, XID, None, "other1", XID, None]
    with site.app_context():
        found = [
            xid_of(site.test_client(use_cookies=False).get("/", query_string=query))
            for query in queries
        ]
        assert not g.partnerstack
        assert not current_referral

    assert found == expected


def test_app_context_outlives_a_referral(site: Flask) -> None:
    """When a request has ended, no referral of it stays on the outer app context's g."""
    with site.app_context():
        site.test_client().get("/", query_string=LANDING)
        assert not g.partnerstack


@pytest.mark.parametrize(
    ("outer", "inner"),
    [(LANDING, "ps_xid=inner1"), ("", LANDING), (LANDING, ""), ("", "")],
)
def test_nested_requests(site: Flask, outer: str, inner: str) -> None:
    """A request inside a request has its own referral and leaves the outer one's alone."""

    @site.get("/outer")
    def view() -> dict[str, Any]:
        before = answer()
        nested = site.test_client(use_cookies=False).get("/", query_string=inner)
        assert answer() == before
        return {"before": before, "nested": nested.get_json()}

    found = site.test_client().get("/outer", query_string=outer).get_json()
    alone = [site.test_client().get("/", query_string=query).get_json() for query in (outer, inner)]
    assert [found["before"], found["nested"]] == alone


def test_nested_app_does_not_inherit(make_site: Callable[..., Flask]) -> None:
    """An app that is called with another's WSGI environment sees with its own eyes."""
    outer, inner = make_site(), make_site(XID_PARAMS=("cid",), COOKIE_NAME="inner_referral")
    outer.add_url_rule("/in", "in", lambda: Response.from_app(inner, dict(environ_at("/"))))
    outer.add_url_rule("/on", "on", lambda: Response.from_app(inner, environ_at("/")))

    for path in ("/in", "/on"):
        client = outer.test_client()
        response = client.get(path, query_string=LANDING)
        assert response.get_json()["xid"] is None
        assert remembered(response)["x"] == [XID]


def environ_at(path: str) -> dict[str, Any]:
    request.environ["PATH_INFO"] = path
    return request.environ


def test_two_apps_in_one_process(make_site: Callable[..., Flask]) -> None:
    """One process may serve two apps that read and keep clicks differently."""
    one, two = make_site(), make_site(XID_PARAMS="cid", COOKIE_PATH="/two", ATTRIBUTION="first")
    query = "cid=second&ps_xid=first1"

    first, second = (app.test_client().get("/", query_string=query) for app in (one, two))
    assert (xid_of(first), xid_of(second)) == ("first1", "second")
    assert "Path=/" in attributes(first)
    assert "Path=/two" in attributes(second)


def test_one_extension_serves_two_apps(tmp_path: Path, clock: Clock) -> None:
    """The extension object keeps nothing of an app: two apps have two configurations."""
    partnerstack = TravellingPartnerStack(clock)
    xids = []
    for name in ("cid", "ps_xid"):
        app = Flask(name, instance_path=str(tmp_path / name))
        app.config.update(PARTNERSTACK_ENGINE="none", PARTNERSTACK_XID_PARAMS=name)
        partnerstack.init_app(app)
        app.add_url_rule("/", "root", answer)
        xids.append(xid_of(app.test_client().get("/?cid=first1&ps_xid=second")))

    assert xids == ["first1", "second"]


# --- g where no hook of ours has run ------------------------------------------------------------

GREETING = "Hello{% if g.partnerstack.partner_key %} {{ g.partnerstack.partner_key }}{% endif %}"


class Down(SecureCookieSessionInterface):
    """A store of sessions that is down."""

    def open_session(self, _app: Flask, _request: Request) -> NoReturn:
        raise ConnectionError("down")

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        pass


def raise_early(app: Flask) -> None:
    def fail(_app: Flask) -> NoReturn:
        raise ConnectionError("down")

    request_started.connect(fail, app, weak=False)


def close_sessions(app: Flask) -> None:
    app.session_interface = Down()


@pytest.mark.parametrize("break_early", [close_sessions, raise_early])
def test_error_page_of_a_request_that_ended_early(
    site: Flask, break_early: Callable[[Flask], None]
) -> None:
    """The app's page for errors greets as all others do, whatever failed before our hook."""
    break_early(site)
    site.register_error_handler(500, lambda _error: (render_template_string(GREETING), 500))

    assert site.test_client().get("/").text == "Hello"
    assert site.test_client().get("/", query_string=LANDING).text == f"Hello {PARTNER_KEY}"


@pytest.mark.parametrize("config", [{}, {"ENABLED": False}])
def test_template_outside_of_a_request(make_site: Callable[..., Flask], config: Any) -> None:
    """A mail that is written without a request has nobody's referral."""
    with make_site(**config).app_context():
        assert render_template_string(GREETING) == "Hello"
        assert g.partnerstack is EMPTY
        assert "partnerstack" not in g
        assert g.get("partnerstack") is None


def test_template_in_a_request_that_was_not_preprocessed(site: Flask) -> None:
    """A test's request context has the visitor that its URL says."""
    with site.test_request_context("/", query_string=LANDING):
        assert render_template_string(GREETING) == f"Hello {PARTNER_KEY}"


class OwnGlobals(_AppCtxGlobals):
    """A class of an app's own."""

    tenant = "acme"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_globals_of_the_apps_own_class(tmp_path: Path, protocol: int) -> None:
    """An app's own class for g stays what it was, and pickles as itself."""
    app = Flask("app", instance_path=str(tmp_path))
    app.app_ctx_globals_class = OwnGlobals
    PartnerStack(app)
    with app.app_context():
        g.user = "ann"
        assert (g.tenant, g.partnerstack) == ("acme", EMPTY)
        again = pickle.loads(pickle.dumps(g._get_current_object(), protocol))

    assert type(again) is OwnGlobals
    assert vars(again) == {"user": "ann"}


# --- facts --------------------------------------------------------------------------------------


def test_signal_once_per_click(site: Flask) -> None:
    """referral_captured tells of each new click once, and its sender is the app."""
    told: list[tuple[object, Referral]] = []

    def receive(sender: object, referral: Referral) -> None:
        told.append((sender, referral))

    client = site.test_client()
    with signals.referral_captured.connected_to(receive):
        for query in (LANDING, "", LANDING, "ps_xid=newer1", "", LANDING):
            client.get("/", query_string=query)
        client.head("/", query_string="ps_xid=looked1")

    assert [referral.xid for _, referral in told] == [XID, "newer1"]
    assert all(sender is site for sender, _ in told)


def test_receiver_that_raises(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a receiver does, the click is kept and the page is answered."""

    def receive(sender: object, referral: Referral) -> None:
        raise RuntimeError("my mistake")

    with signals.referral_captured.connected_to(receive):
        response = site.test_client().get("/", query_string=LANDING)

    assert xid_of(response) == XID
    assert len(kept(response)) == 1
    assert "my mistake" in caplog.text


def test_failing_clock_costs_no_page(
    make_site: Callable[..., Flask], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """When a click cannot be read, the page is answered and the reason is logged."""
    site = make_site()
    del clock.now
    response = site.test_client().get("/", query_string=LANDING)

    assert xid_of(response) is None
    assert kept(response) == []
    assert "The clicks of a request could not be read." in caplog.text


def test_response_that_takes_no_cookie(site: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """When a click cannot be kept, the page is answered and the reason is logged."""

    class Sealed(Response):
        def set_cookie(self, *_: object, **__: object) -> None:
            raise RuntimeError("sealed")

    site.add_url_rule("/sealed", "sealed", lambda: Sealed("ok"))
    response = site.test_client().get("/sealed", query_string=LANDING)

    assert response.text == "ok"
    assert "A click could not be kept." in caplog.text


@pytest.mark.parametrize("query", ["", LANDING])
def test_follower_sees_the_finished_response(site: Flask, query: str) -> None:
    """Who follows a request sees its response with the status it got, and the last one only."""

    class Follower:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def follow(self, response: Response) -> None:
            self.seen.append(response.status_code)

    first, last = Follower(), Follower()

    @site.get("/followed")
    def view() -> tuple[str, int]:
        follow(first)
        follow(last)
        return "", 201

    assert len(kept(site.test_client().get("/followed", query_string=query))) == bool(query)
    assert (first.seen, last.seen) == ([], [201])


def test_disabled_app_looks_at_nothing(make_site: Callable[..., Flask]) -> None:
    """Switched off, even a request that says who referred has nobody."""
    app = make_site(ENABLED=False)
    with app.test_request_context("/", query_string=LANDING):
        assert look(get_state(app), request.environ).referral is EMPTY
        assert not current_referral


def test_our_cookie_needs_no_quotes(client: FlaskClient) -> None:
    """What a link carries, quotes and separators included, arrives in the cookie unescaped."""
    line = kept(client.get("/", query_string=f"{LANDING}&sid=a%2C%20%22b%22%3B"))[0]

    assert '"' not in line
    assert "&s=a%2C%20%22b%22%3B" in line.split(";")[0]


def test_the_value_itself_is_behind_the_proxy(make_site: Callable[..., Flask]) -> None:
    """What looks at a value's type takes it out first, as docs/capturing.md says."""
    with make_site().test_request_context("/", query_string=LANDING):
        behind: Any = current_referral
        referral = behind._get_current_object()
        assert pickle.loads(pickle.dumps(referral)) == referral
        assert asdict(replace(referral, source="stored"))["xid"] == XID
