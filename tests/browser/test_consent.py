"""Nothing of ours is in the browser's jar before the visitor has said yes."""

from __future__ import annotations

import pytest
from flask import Flask
from flask import request

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from tests.browser.conftest import MakeSite
from tests.browser.conftest import Site
from tests.browser.shop import build
from tests.browser.shop import page
from tests.browser.visitor import CLICK
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor

#: What a banner does when its button is pressed.
GRANT = (
    "document.cookie = 'consent=yes; path=/';"
    "document.dispatchEvent(new Event('partnerstack:consent'))"
)


def consent(_purpose: str, _referral: Referral) -> bool | None:
    return {"yes": True, "no": False}.get(request.cookies.get("consent", ""))


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    def build_it(app: Flask, partnerstack: PartnerStack) -> None:
        build(app, partnerstack, "capture")

        @app.get("/carry")
        def carry() -> str:
            return page("capture") + f'<a href="{partnerstack.decorate_url("/team")}">on</a>'

    return make_site(build_it, hook=lambda partnerstack: partnerstack.consent(consent))


@pytest.mark.parametrize("answer", ["", "no"])
def test_no_consent_no_cookie(site: Site, sandbox: Sandbox, visitor: Visitor, answer: str) -> None:
    """Not asked, or refused: no cookie of ours, and the click serves its own page."""
    if answer:
        visitor.plant(name="consent", value=answer, url=site.url())
    visitor.go_and_be_captured(sandbox.link("ada", site.url()))
    assert "friend of ada" in visitor.text()
    visitor.go(site.url("/pricing"))
    assert "friend of" not in visitor.text()
    visitor.sign_up(site.url("/signup"))

    assert set(visitor.cookies()) <= {"consent"}
    assert (sandbox.converted, site.entries) == ([], [])


def test_granted_on_the_landing_page(site: Site, sandbox: Sandbox, visitor: Visitor) -> None:
    """The banner on the page whose URL carries the click has it kept at once."""
    visitor.go_and_be_captured(sandbox.link("ada", site.url()))
    assert visitor.kept() is None
    with visitor.page.expect_response(f"**{CLICK}"):
        visitor.script(GRANT)
    assert visitor.kept() == sandbox.clicked[0]
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


def test_granted_later_and_not_carried_on(site: Site, sandbox: Sandbox, visitor: Visitor) -> None:
    """On a later page whose URL carries nothing, there is nothing left to keep."""
    visitor.go_and_be_captured(sandbox.link("ada", site.url()))
    visitor.go(site.url("/team"))
    visitor.script(GRANT)
    visitor.go(site.url("/pricing"))
    visitor.sign_up(site.url("/signup"))

    assert (visitor.kept(), sandbox.converted) == (None, [])


def test_granted_later_and_carried_on(site: Site, sandbox: Sandbox, visitor: Visitor) -> None:
    """On a later page to which the app's link carried the click, it is kept."""
    visitor.go_and_be_captured(sandbox.link("ada", site.url("/carry")))
    with visitor.page.expect_response(f"**{CLICK}"):
        visitor.page.click("a")
        visitor.page.wait_for_url("**/team?ps_xid=*")
    assert visitor.kept() is None
    with visitor.page.expect_response(f"**{CLICK}"):
        visitor.script(GRANT)
    assert visitor.kept() == sandbox.clicked[0]
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


def test_granted_later_and_kept_by_the_script(
    site: Site, sandbox: Sandbox, visitor: Visitor
) -> None:
    """What PartnerStackJS kept of itself is kept by us from the grant on."""
    visitor.go_and_be_seen(sandbox.link("ada", site.url("/scripted")))
    visitor.go(site.url("/team"))
    assert visitor.kept() is None
    visitor.script(GRANT)
    visitor.go(site.url("/pricing"))

    assert visitor.kept() == sandbox.clicked[0]
