"""The script for cached pages keeps a click though the page's URL, or the server, is in its way."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from flask import redirect
from flask import render_template_string
from flask import request

from flask_partnerstack import PartnerStack
from tests.browser.conftest import MakeSite
from tests.browser.conftest import Site
from tests.browser.shop import building
from tests.browser.visitor import CLICK
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor

#: What an app's router, or a script that tidies campaign parameters away, does to the address.
TIDY = "history.replaceState(null, '', location.pathname)"
TIDIED = (
    f"<!doctype html><script>{TIDY}</script><p>Hello</p>{{{{ partnerstack_capture() }}}}"
    "<script>var tidied = location.search === ''</script>"
)
STORED = "Object.keys(sessionStorage)"


def behind_a_cache(app: Flask) -> None:
    """Take the cookies from all pages, as a cache that has a copy does; the endpoint keeps its."""
    inside: Any = app.wsgi_app

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def start_page(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if environ["REQUEST_METHOD"] == "GET":
                headers = [header for header in headers if header[0] != "Set-Cookie"]
            return start(status, headers, *more)

        answered: Iterable[bytes] = inside(environ, start_page)
        return answered

    app.wsgi_app = answer  # type: ignore[method-assign, assignment]


@pytest.fixture
def build() -> Callable[[Flask, PartnerStack], None]:
    def build_it(app: Flask, partnerstack: PartnerStack) -> None:
        building("capture")(app, partnerstack)
        app.add_url_rule("/tidied", "tidied", lambda: render_template_string(TIDIED))
        behind_a_cache(app)

    return build_it


@pytest.fixture
def site(make_site: MakeSite, build: Callable[[Flask, PartnerStack], None]) -> Site:
    return make_site(build)


class Failing:
    """An endpoint that answers as it is told, then as it should."""

    def __init__(self, visitor: Visitor, *answers: int | None) -> None:
        self.called = 0
        self._answers = answers
        visitor.context.route(f"**{CLICK}", self._answer)

    def _answer(self, route: Any) -> None:
        number, self.called = self.called, self.called + 1
        if number >= len(self._answers):
            route.continue_()
        elif (status := self._answers[number]) is None:
            route.abort()
        else:
            route.fulfill(status=status)


def fail_once(visitor: Visitor, do: Callable[[], object]) -> None:
    """Do it, and wait until the page has learned that the click could not be kept."""
    with visitor.page.expect_console_message(lambda said: "could not be kept" in said.text):
        do()


def test_address_is_tidied_before_the_script_runs(
    site: Site, sandbox: Sandbox, visitor: Visitor
) -> None:
    """The browser knows which page was opened, though its address says nothing any more."""
    visitor.go_and_be_captured(sandbox.link("ada", site.url("/tidied")))
    assert visitor.script("tidied")
    visitor.sign_up(site.url("/signup"))

    assert sandbox.converted == sandbox.clicked


@pytest.mark.parametrize("tidy", [TIDY, "history.pushState(null, '', '/team')"])
def test_address_is_tidied_before_consent(
    make_site: MakeSite,
    build: Callable[[Flask, PartnerStack], None],
    sandbox: Sandbox,
    visitor: Visitor,
    tidy: str,
) -> None:
    """A visitor who says yes on the next page of a single-page app is kept."""
    site = make_site(
        build, hook=lambda partnerstack: partnerstack.consent(lambda *_: "yes" in request.cookies)
    )
    visitor.go_and_be_captured(sandbox.link("ada", site.url()))
    assert visitor.kept() is None
    visitor.script(tidy)
    with visitor.page.expect_response(f"**{CLICK}") as called:
        visitor.script(
            "document.cookie = 'yes=1'; document.dispatchEvent(new Event('partnerstack:consent'))"
        )
    assert (called.value.status, visitor.kept()) == (204, sandbox.clicked[0])


@pytest.mark.parametrize("answers", [(503,), (429, 502), (None, None, 500)])
def test_endpoint_that_fails_is_called_again(
    site: Site, sandbox: Sandbox, visitor: Visitor, answers: tuple[int | None, ...]
) -> None:
    """Up to three times, after longer and longer pauses, while the page is there."""
    endpoint = Failing(visitor, *answers)
    visitor.page.clock.install()
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    for seconds in (1, 4, 16)[: len(answers) - 1]:
        fail_once(visitor, lambda pause=seconds: visitor.page.clock.run_for(pause * 1000))  # type: ignore[misc]
    assert visitor.script(STORED) == ["partnerstack_click"]
    with visitor.page.expect_response(f"**{CLICK}"):
        visitor.page.clock.run_for((1, 4, 16)[len(answers) - 1] * 1000)

    visitor.await_kept(sandbox.clicked[0])
    assert endpoint.called == len(answers) + 1
    visitor.await_script(f"{STORED}.length === 0")


def test_endpoint_that_fails_and_fails_is_left_alone(
    site: Site, sandbox: Sandbox, visitor: Visitor
) -> None:
    """The fourth answer is the last that a page asks for; the next page asks again."""
    endpoint = Failing(visitor, *[500] * 4)
    visitor.page.clock.install()
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    for seconds in (1, 4, 16):
        fail_once(visitor, lambda pause=seconds: visitor.page.clock.run_for(pause * 1000))  # type: ignore[misc]
    visitor.page.clock.run_for(24 * 60 * 60 * 1000)
    assert endpoint.called == 4
    visitor.go(site.url("/bare"))
    assert visitor.kept() is None
    visitor.go_and_be_captured(site.url("/pricing"))

    assert visitor.kept() == sandbox.clicked[0]
    visitor.await_script(f"{STORED}.length === 0")


def test_answer_of_somebody_else_is_no_keeping(
    site: Site, sandbox: Sandbox, visitor: Visitor
) -> None:
    """A page for all addresses, in the endpoint's place, has kept nothing; the next asks again."""
    Failing(visitor, 200)
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    assert visitor.script(STORED) == ["partnerstack_click"]
    visitor.go_and_be_captured(site.url("/pricing"))

    assert visitor.kept() == sandbox.clicked[0]


def test_login_in_the_way_is_no_keeping(
    make_site: MakeSite,
    build: Callable[[Flask, PartnerStack], None],
    sandbox: Sandbox,
    visitor: Visitor,
) -> None:
    """An app that sends whoever is not logged in to a page has kept no click, and the console
    says so.
    """

    def guarded(app: Flask, partnerstack: PartnerStack) -> None:
        build(app, partnerstack)
        app.before_request(lambda: redirect("/bare") if request.path == CLICK else None)

    site = make_site(guarded)
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    assert visitor.script(STORED) == ["partnerstack_click"]


def test_newer_click_is_not_held_up_by_one_that_failed(
    site: Site, sandbox: Sandbox, visitor: Visitor
) -> None:
    """What was to be kept later gives way to the click of the page that is there."""
    Failing(visitor, 503)
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    visitor.go_and_be_captured(sandbox.link("bob", site.url("/pricing")))
    assert visitor.kept() == sandbox.clicked[1]
    visitor.await_script(f"{STORED}.length === 0")


def test_refusal_is_final(site: Site, sandbox: Sandbox, visitor: Visitor) -> None:
    """What the endpoint turns away is neither tried again nor stored."""
    endpoint = Failing(visitor, 403)
    visitor.page.clock.install()
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    visitor.page.clock.run_for(60 * 1000)
    assert (endpoint.called, visitor.script(STORED)) == (1, [])


def test_nothing_is_stored_without_consent(
    make_site: MakeSite,
    build: Callable[[Flask, PartnerStack], None],
    sandbox: Sandbox,
    visitor: Visitor,
) -> None:
    """Where a hook is to be asked first, nothing is put into the browser before it was."""
    site = make_site(build, hook=lambda partnerstack: partnerstack.consent(lambda *_: True))
    Failing(visitor, 503, 503)
    fail_once(visitor, lambda: visitor.go(sandbox.link("ada", site.url())))
    assert visitor.script(STORED) == []
    granted = "document.dispatchEvent(new Event('partnerstack:consent'))"
    fail_once(visitor, lambda: visitor.script(granted))
    assert visitor.script(STORED) == ["partnerstack_click"]
