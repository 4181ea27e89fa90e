"""How a click's page is asked for: by a service worker, ahead of the visit, in a frame."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask import Flask
from flask import Response
from flask import redirect
from flask import request

from flask_partnerstack import PartnerStack
from tests.browser.conftest import MakeSite
from tests.browser.conftest import Site
from tests.browser.conftest import serving
from tests.browser.shop import building
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor

#: The plainest network-first service worker, and one that makes a request of its own.
WORKERS = [
    "self.addEventListener('fetch', e => e.respondWith(fetch(e.request)));",
    "self.addEventListener('fetch', e => e.respondWith(fetch(new Request(e.request, {}))));",
]
#: Resolves when the service worker answers for all further pages.
REGISTER = "navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready)"


def follow(visitor: Visitor, link: str, page: str) -> None:
    """Come from another site by a link that leads to ``page``."""
    other = Flask("other")
    other.add_url_rule("/", "root", lambda: f'<a href="{link}">on</a>')
    with serving(other) as port:
        visitor.go(f"http://other.localhost:{port}/")
        visitor.page.click("a")
        visitor.page.wait_for_url(f"**{page}?**")


@pytest.mark.parametrize("worker", WORKERS)
def test_service_worker_fetches_the_landing_page(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, worker: str
) -> None:
    """A returning visitor, whose pages a service worker fetches, loses no click to it."""

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)
        script = {"Content-Type": "text/javascript"}
        app.add_url_rule("/sw.js", "worker", lambda: (worker, script))

    site = make_site(build)
    visitor.go(site.url())
    visitor.script(f"{REGISTER}.then(() => null)")
    visitor.go(site.url("/about"))
    assert visitor.script("navigator.serviceWorker.controller !== null")
    follow(visitor, sandbox.link("ada", site.url("/pricing")), "/pricing")
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


# --- ahead of the visit -------------------------------------------------------------------------


class Recommending:
    """A page that has a link to the shop loaded ahead of time, as a browser is told to."""

    def __init__(self, kind: str, link: Callable[[], str]) -> None:
        self._kind = kind
        self._link = link

    def page(self) -> str:
        """Return the page, whose link leads over a page of its own, as shortened ones do."""
        rules = {self._kind: [{"source": "list", "urls": ["/go"], "eagerness": "immediate"}]}
        head = f'<script type="speculationrules">{json.dumps(rules)}</script>'
        return f'<!doctype html><html><head>{head}</head><body><a href="/go">on</a></body></html>'

    def add_to(self, app: Flask) -> None:
        """Put it at ``/recommends``."""
        app.add_url_rule("/recommends", "recommends", self.page)
        app.add_url_rule("/go", "go", lambda: redirect(self._link()))


def click_what_is_there(visitor: Visitor, site: Site) -> None:
    """Follow the link, and see that the page was asked for no second time."""
    asked: list[str] = []
    site.app.before_request_funcs[None].append(lambda: asked.append(request.path))
    visitor.page.click("a")
    visitor.page.wait_for_url("**/pricing?**")
    assert "/pricing" not in asked


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
def test_landing_page_that_another_site_had_loaded_ahead(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, kind: str
) -> None:
    """A click is kept when its page is shown, and not before, though it is asked for only once."""
    site = make_site(building())
    blog = Flask("blog")
    Recommending(kind, lambda: sandbox.link("ada", site.url("/pricing"))).add_to(blog)
    with serving(blog) as port:
        visitor.go_and_load_ahead(f"http://blog.localhost:{port}/recommends")
        assert (len(sandbox.clicked), visitor.cookies()) == (1, {})
        click_what_is_there(visitor, site)
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


@pytest.mark.parametrize("host", ["www.shop.localhost", "blog.shop.localhost"])
@pytest.mark.parametrize("parts", [(), ("capture",)])
def test_landing_page_that_the_own_site_had_loaded_ahead(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, host: str, parts: tuple[str, ...]
) -> None:
    """Between pages of one site nothing is kept ahead; the script keeps it when it is shown."""
    site = make_site(building(*parts))
    Recommending("prefetch", lambda: sandbox.link("bob", site.url("/pricing"))).add_to(site.app)
    visitor.go(sandbox.link("ada", site.url("/about")))
    visitor.go_and_load_ahead(site.url("/recommends", host=host))
    assert visitor.kept() == sandbox.clicked[0]
    click_what_is_there(visitor, site)
    if parts:
        visitor.await_kept(sandbox.clicked[1])

    assert visitor.kept() == sandbox.clicked[1 if parts else 0]


# --- in a frame ---------------------------------------------------------------------------------


def test_signup_form_in_a_frame(make_site: MakeSite, sandbox: Sandbox, visitor: Visitor) -> None:
    """A form that a subdomain serves into the landing page has the click that was handed to it."""

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building()(app, partnerstack)
        form = "<form method=post action=/signup><input name=email><button>Sign up</button></form>"
        app.add_url_rule("/form", "form", lambda: form)

        @app.get("/landing")
        def landing() -> Response:
            host = request.host.replace("www.", "app.")
            query = request.query_string.decode()
            return Response(f'<iframe src="http://{host}/form?{query}"></iframe>')

    site = make_site(build)
    visitor.go(sandbox.link("ada", site.url("/landing")))
    frame = visitor.page.frame_locator("iframe")
    frame.locator("input").fill("grace@example.com")
    frame.locator("button").click()
    frame.get_by_text("/welcome").wait_for()

    assert sandbox.converted == sandbox.clicked
