"""Which click counts, when PartnerStackJS is there and when it is not; and what is no click."""

from __future__ import annotations

from itertools import product

import pytest
from flask import Flask
from flask import request

from flask_partnerstack import PartnerStack
from tests.browser.conftest import MakeSite
from tests.browser.conftest import Site
from tests.browser.conftest import serving
from tests.browser.shop import building
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor
from tests.kit import Clock


def land(visitor: Visitor, sandbox: Sandbox, site: Site, partner: str, path: str) -> None:
    """Follow a partner's link, and wait until every script of its landing page has had its say."""
    arrive = {
        "/bare": visitor.go,
        "/scripted": visitor.go_and_be_seen,
        "/captured": visitor.go_and_be_captured,
    }
    arrive[path](sandbox.link(partner, site.url(path)))


PAIRS = [
    tuple(zip(partners, pages, strict=True))
    for partners in (("ada", "bob"), ("bob", "ada"))
    for pages in product(("/bare", "/scripted"), repeat=2)
]
TRIPLES = [
    tuple(zip(("ada", "bob", "ada"), pages, strict=True))
    for pages in (("/bare",) * 3, ("/scripted",) * 3, ("/scripted", "/bare", "/scripted"))
]


@pytest.mark.parametrize("policy", ["last", "first"])
def test_partners_in_every_order(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock, policy: str
) -> None:
    """With and without scripts on any of the landing pages, the last click wins, or the first."""
    site = make_site(building(), ATTRIBUTION=policy)
    which = -1 if policy == "last" else 0
    for number, way in enumerate(PAIRS + TRIPLES):
        before = len(sandbox.clicked)
        for partner, path in way:
            land(visitor, sandbox, site, partner, path)
            clock.tick(hours=1)
        visitor.go(site.url("/pricing"))
        assert f"friend of {way[which][0]}" in visitor.text(), way
        visitor.sign_up_by_script(f"{number}@example.com")

        assert sandbox.converted[-1] == sandbox.clicked[before:][which], way
        assert len(sandbox.converted) == number + 1
        visitor.forget_everything()


def test_strict_cookie_stays_away_from_landing_pages(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """With SameSite=Strict each partner's link looks like the first, as the start warns."""
    site = make_site(building(), ATTRIBUTION="first", COOKIE_SAMESITE="Strict")
    partners = Flask("partners")

    @partners.get("/<partner>")
    def recommend(partner: str) -> str:
        return f'<a href="{sandbox.link(partner, site.url("/pricing"))}">on</a>'

    with serving(partners) as port:
        for partner in ("ada", "bob"):
            visitor.go(f"http://partners.localhost:{port}/{partner}")
            visitor.page.click("a")
            visitor.page.wait_for_url("**/pricing?**")
    assert visitor.kept() == sandbox.clicked[1]


@pytest.mark.parametrize("first", ["/bare", "/scripted"])
@pytest.mark.parametrize("second", ["/scripted", "/captured"])
def test_second_landing_page_out_of_a_cache(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, first: str, second: str
) -> None:
    """The later click wins when the server never saw its page, whatever was on the first one."""
    served: list[str] = []
    site = make_site(building())
    site.app.before_request_funcs[None].append(lambda: served.append(request.full_path))
    land(visitor, sandbox, site, "ada", first)
    page = visitor.script(f"fetch('{second}').then(answer => answer.text())")
    visitor.context.route(
        f"**{second}?*", lambda route: route.fulfill(body=page, content_type="text/html")
    )
    # Redirects are not routed, so the visitor goes where the link would have led.
    landing = sandbox.landing_of(sandbox.link("bob", site.url(second)))
    (visitor.go_and_be_seen if second == "/scripted" else visitor.go_and_be_captured)(landing)
    visitor.go(site.url("/pricing"))
    visitor.sign_up_by_script("grace@example.com")

    assert sandbox.converted == sandbox.clicked[-1:]
    assert not any(sandbox.clicked[-1] in path for path in served)


def test_back_button_and_restored_tab(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock
) -> None:
    """An older landing page that is shown again is no new click, with PartnerStackJS and without.

    PartnerStackJS takes it for one and changes its cookie; we know better.
    """
    site = make_site(building())
    land(visitor, sandbox, site, "ada", "/scripted")
    landing = visitor.page.url
    land(visitor, sandbox, site, "bob", "/scripted")
    visitor.page.go_back()
    visitor.page.reload()
    visitor.await_script(f"document.cookie.includes('ps_xid={sandbox.clicked[0]}')")
    restored = visitor.context.new_page()
    restored.goto(landing)
    clock.tick(days=1)
    visitor.go(site.url("/pricing"))
    assert "friend of bob" in visitor.text()
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked[1:]


def test_prefetch_and_pictures_are_no_clicks(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """What a page loads ahead or beside itself takes nothing from the click that was made."""
    fetched: list[str | None] = []

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)

        @app.get("/partner-page")
        def partner_page() -> str:
            return (
                '<link rel="prefetch" href="/bare?ps_xid=ahead1"><img src="/bare?ps_xid=image1">'
                '<iframe src="/bare?ps_xid=frame1"></iframe>'
            )

    site = make_site(build)
    visitor.context.on(
        "requestfinished",
        lambda request: fetched.append(request.url.partition("ps_xid=")[2] or None),
    )
    land(visitor, sandbox, site, "ada", "/bare")
    with visitor.page.expect_event(
        "requestfinished", lambda request: request.url.endswith("ahead1")
    ):
        visitor.go(site.url("/partner-page"))
    visitor.go(site.url("/pricing"))

    assert {"ahead1", "image1", "frame1"} <= set(fetched)
    assert visitor.kept() == sandbox.clicked[0]
    assert "friend of ada" in visitor.text()


def test_expired_click_does_not_rise_again(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, clock: Clock
) -> None:
    """PartnerStackJS renews its cookie for ever; after the window nobody is credited for it."""
    site = make_site(building())
    land(visitor, sandbox, site, "ada", "/scripted")
    xid = sandbox.clicked[0]
    for _ in range(5):
        clock.tick(days=45)
        visitor.go_and_be_seen(site.url("/scripted"))
        assert visitor.cookies()["ps_xid"] == xid
    assert "friend of" not in visitor.text()
    visitor.sign_up(site.url("/signup"))

    assert (sandbox.converted, site.entries) == ([], [])


def test_cookies_at_apex_and_subdomain(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """A stale copy of PartnerStackJS's cookie at the subdomain hides no newer one at the apex."""
    site = make_site(building())
    visitor.plant(name="ps_xid", value="stale1", url=site.url())
    land(visitor, sandbox, site, "ada", "/bare")
    for value in ("newer1", "newer2"):
        visitor.plant(name="ps_xid", value=value, domain=".shop.localhost", path="/")
        answer = visitor.go(site.url("/who"))
        assert answer.request.all_headers()["cookie"].count("ps_xid=") == 2
        assert answer.json()["xid"] == value
    visitor.plant(name="ps_xid", value="newer1", url=site.url())
    assert visitor.go(site.url("/who")).json()["xid"] == "newer2"


def test_redirectors_cookie_is_the_last_resort(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """When nothing else saw the click, the link domain's cookie tells of it, if it is one."""
    site = make_site(building())
    with serving(Flask("static")) as port:  # a landing page that is no page of the app
        landing = f"http://www.shop.localhost:{port}/static/none"
        for expected in (True, False):
            visitor.page.goto(sandbox.link("ada", landing, shared=False, cookies="1"))
            visitor.go(site.url("/pricing"))
            assert ("friend of ada" in visitor.text()) is expected
            visitor.context.clear_cookies(name="partnerstack_referral")


def test_script_recovers_a_click(make_site: MakeSite, sandbox: Sandbox, visitor: Visitor) -> None:
    """A click that PartnerStackJS got back from its link domain is kept by us, too."""
    site = make_site(building("snippet"))
    with serving(Flask("static")) as port:
        landing = f"http://www.shop.localhost:{port}/static/none"
        visitor.page.goto(sandbox.link("ada", landing, shared=False, cookies="1"))
    visitor.go_and_be_seen(site.url("/pricing"))
    assert visitor.cookies()["ps_rc_fallback"] == "true"
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked
