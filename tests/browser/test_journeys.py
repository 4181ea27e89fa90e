"""The referral survives the journey, from a partner's link to the conversion."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask import Response
from flask import redirect
from flask import request

from examples.recipes import oauth as oauth_recipe
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import current_referral
from tests.browser.conftest import MakeSite
from tests.browser.conftest import Site
from tests.browser.conftest import serving
from tests.browser.shop import building
from tests.browser.shop import page
from tests.browser.visitor import OURS
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor
from tests.kit import Clock

MakeVisitor = Callable[..., Visitor]


def test_signup_a_week_after_the_click(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock
) -> None:
    """Link, landing, three pages, signup next week: one conversion, with the click's xid."""
    site = make_site(building())
    visitor.go(sandbox.link("ada", site.url(), sid1="newsletter"))
    for path in ("/pricing", "/about", "/team"):
        visitor.go(site.url(path))
        assert "friend of ada" in visitor.text()
    clock.tick(days=7)
    visitor.sign_up(site.url("/signup"))

    (conversion,) = sandbox.conversions
    assert [conversion["xid"]] == sandbox.clicked
    assert (conversion["email"], conversion["sub_ids"]) == ("grace@example.com", ["newsletter"])
    assert [entry.status for entry in site.entries] == [Status.DELIVERED]


def test_signup_with_every_third_party_blocked(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock
) -> None:
    """A blocker that lets no foreign script through costs PartnerStackJS, and no conversion."""
    site = make_site(building("snippet", "capture"))
    visitor.block_third_parties("www.shop.localhost", but="/l/")
    visitor.go(sandbox.link("ada", site.url()))
    assert any("PartnerStackJS: the script could not be loaded" in s for s in visitor.console)
    for path in ("/pricing", "/about", "/team"):
        visitor.go(site.url(path))
    assert not any(name.startswith(("ps_", "gs", "growSumo")) for name in visitor.cookies())
    clock.tick(days=7)
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked
    assert sandbox.memory.page_signups == []


def test_cookies_cleared_but_the_lead_has_the_click(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock
) -> None:
    """A click that is stored on the lead converts when the browser has forgotten everything."""
    leads: dict[str, str] = {}

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)

        @app.get("/demo")
        def ask_for_a_demo() -> str:
            leads["grace"] = current_referral.dumps()
            return page()

        @app.get("/close-the-deal")
        def close() -> str:
            referral = Referral.loads(leads["grace"])
            partnerstack.track_conversion("grace", email="grace@example.com", referral=referral)
            return page()

    site = make_site(build)
    visitor.go(sandbox.link("ada", site.url()))
    visitor.go(site.url("/demo"))
    visitor.context.clear_cookies()
    clock.tick(days=30)
    visitor.go(site.url("/close-the-deal"))

    assert sandbox.converted == sandbox.clicked
    assert "user_agent" not in sandbox.conversions[0]


def test_redirect_to_a_locale(make_site: MakeSite, sandbox: Sandbox, visitor: Visitor) -> None:
    """A landing page that redirects to a locale, and drops the query, drops no click."""

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)
        app.add_url_rule("/de/", "german", lambda: page())
        app.before_request(lambda: redirect("/de/") if request.path == "/" else None)

    site = make_site(build)
    visitor.go(sandbox.link("ada", site.url()))
    assert visitor.page.url == site.url("/de/")
    assert "friend of ada" in visitor.text()
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


def build_provider(app: Flask) -> None:
    """Build a provider that sends its answer by a form, as Apple's and Microsoft's do."""

    @app.get("/authorize")
    def authorize() -> str:
        asked = request.args
        assert asked["response_mode"] == "form_post"
        return (
            f'<form method="post" action="{asked["redirect_uri"]}">'
            f'<input type="hidden" name="state" value="{asked["state"]}">'
            '<input type="hidden" name="code" value="c0de"></form>'
            "<script>document.forms[0].submit()</script>"
        )

    app.add_url_rule(
        "/token", "token", lambda: {"access_token": "t", "token_type": "Bearer"}, methods=["POST"]
    )
    app.add_url_rule("/userinfo", "userinfo", lambda: {"email": "grace@example.com"})


def test_oauth_with_a_cross_site_callback(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """What the session took along comes back with the provider's form, where our cookie is not."""
    provider = Flask("provider")
    build_provider(provider)
    seen: list[bool] = []

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)
        # A form that another site posts carries such cookies, and no Lax one.
        app.config.update(SESSION_COOKIE_SAMESITE="None", SESSION_COOKIE_SECURE=True)
        oauth_recipe.oauth = type(oauth_recipe.oauth)(app)
        oauth_recipe.oauth.register(
            "provider",
            client_id="shop",
            client_secret="secret",
            authorize_url=f"http://login.provider.localhost:{port}/authorize",
            access_token_url=f"http://127.0.0.1:{port}/token",
            api_base_url=f"http://127.0.0.1:{port}/",
        )
        app.register_blueprint(oauth_recipe.blueprint)

        @app.before_request
        def look() -> None:
            if request.method == "POST":
                seen.append(OURS in request.cookies)

    with serving(provider) as port:
        site = make_site(build)
        visitor.go(sandbox.link("ada", site.url()))
        for _ in range(2):  # the second time, the account is there
            visitor.go(site.url("/login"))
            visitor.page.wait_for_url("**/welcome")

    assert seen == [False, False]
    assert sandbox.converted == sandbox.clicked
    assert sandbox.conversions[0]["email"] == "grace@example.com"


def test_from_www_to_app(make_site: MakeSite, sandbox: Sandbox, visitor: Visitor) -> None:
    """With COOKIE_DOMAIN a click at www. converts at app."""
    site = make_site(building(), COOKIE_DOMAIN="shop.localhost")
    visitor.go(sandbox.link("ada", site.url(host="www.shop.localhost")))
    visitor.sign_up(site.url("/signup", host="app.shop.localhost"))

    assert sandbox.converted == sandbox.clicked


def test_from_www_to_app_without_the_domain(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it, and with one that does not fit, the click stays at www.; the latter is said."""
    for domain in (None, "other.localhost"):
        site = make_site(building(), COOKIE_DOMAIN=domain)
        visitor.context.clear_cookies()
        visitor.go(sandbox.link("ada", site.url()))
        visitor.go(site.url("/pricing"))
        assert "friend of ada" in visitor.text()
        visitor.go(site.url("/pricing", host="app.shop.localhost"))
        assert "friend of" not in visitor.text()

    said = [r for r in caplog.records if "PARTNERSTACK_COOKIE_DOMAIN" in r.getMessage()]
    assert [record.levelname for record in said] == ["ERROR"]


def test_to_another_registrable_domain(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """A decorated link carries the click to where no cookie goes."""

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)

        @app.get("/hop")
        def hop() -> str:
            link = f"http://app.cloud.localhost:{request.host.partition(':')[2]}/pricing?plan=team"
            return f'<a href="{partnerstack.decorate_url(link)}">to the app</a>'

    site = make_site(build)
    visitor.go(sandbox.link("ada", site.url(), sid1="newsletter"))
    visitor.go(site.url("/hop"))
    visitor.page.click("a")
    visitor.page.wait_for_url("http://app.cloud.localhost:*/pricing?plan=team&*")
    visitor.sign_up(site.url("/signup", host="app.cloud.localhost"))

    assert sandbox.converted == sandbox.clicked
    assert sandbox.conversions[0]["sub_ids"] == ["newsletter"]


# --- a shared cache -----------------------------------------------------------------------------


def publish(response: Response) -> Response:
    """Let every cache keep the page."""
    response.headers["Cache-Control"] = "public, s-maxage=600"
    return response


def building_public(*parts: str) -> Callable[[Flask, PartnerStack], None]:
    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building(*parts)(app, partnerstack)
        app.after_request(publish)

    return build


@pytest.mark.parametrize("parts", [["capture"], ["snippet"]])
def test_cached_landing_page(
    make_site: MakeSite,
    cached: Callable[[Site], Site],
    sandbox: Sandbox,
    make_visitor: MakeVisitor,
    parts: list[str],
) -> None:
    """Two visitors get one page of a shared cache; the one who was referred is converted."""
    site = cached(make_site(building_public(*parts)))
    stranger, referred = make_visitor(), make_visitor()
    stranger.go(site.url())
    link = sandbox.link("ada", site.url())
    arrive = referred.go_and_be_captured if "capture" in parts else referred.go_and_be_seen
    arrive(link)
    assert referred.go(site.url("/")).headers["x-cache"] == "HIT"
    assert (referred.kept() is not None) is ("capture" in parts)

    for number, visitor in enumerate((stranger, referred)):
        visitor.sign_up(site.url("/signup"), email=f"{number}@example.com")
    assert [(c["xid"], c["email"]) for c in sandbox.conversions] == [
        (sandbox.clicked[0], "1@example.com")
    ]
    assert OURS not in stranger.cookies()


def test_greeting_behind_a_shared_cache(
    make_site: MakeSite,
    cached: Callable[[Site], Site],
    sandbox: Sandbox,
    make_visitor: MakeVisitor,
) -> None:
    """A page that greets one visitor is kept for nobody else, though the app said public."""
    site = cached(make_site(building_public()))
    referred, stranger = make_visitor(), make_visitor()
    referred.go(sandbox.link("ada", site.url()))
    assert "friend of ada" in referred.text()
    referred.go(site.url("/pricing"))
    assert "friend of ada" in referred.text()

    for path in ("/", "/pricing"):
        assert stranger.go(site.url(path)).headers["x-cache"] == "MISS"
        assert "friend of" not in stranger.text()
        assert stranger.go(site.url(path)).headers["x-cache"] == "HIT"
        assert "friend of" not in stranger.text()
    assert OURS not in stranger.cookies()
