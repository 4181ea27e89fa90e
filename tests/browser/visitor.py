"""Short words for what a visitor does in the browser, and for what the sandbox has seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlencode
from urllib.parse import urlsplit

import requests

from flask_partnerstack.sandbox.memory import Memory

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Response

OURS = "partnerstack_referral"
CLICK = "/_partnerstack/click"
#: How long a browser may take to do what it is about to, in seconds; nothing is asserted of it.
PATIENCE = 60.0


class Sandbox:
    """The sandbox: its links, and what came in."""

    def __init__(self, port: int, memory: Memory) -> None:
        self.root = f"http://127.0.0.1:{port}"
        #: A link domain of the shop's own.
        self.links = f"http://try.shop.localhost:{port}"
        #: The link domain that all programmes share: another site than the shop.
        self.shared = f"http://shared.localhost:{port}"
        self.memory = memory

    def link(self, partner: str, to: str, *, shared: bool = True, **parameters: str) -> str:
        """Return a partner's link that leads to a page."""
        root = self.shared if shared else self.links
        return f"{root}/l/{partner}?{urlencode({'to': to, **parameters})}"

    def landing_of(self, link: str) -> str:
        """Click a link, and be told where it leads."""
        path = link.partition("/l/")[2]
        answer = requests.get(f"{self.root}/l/{path}", allow_redirects=False, timeout=60)
        return answer.headers["Location"]

    @property
    def clicked(self) -> list[str]:
        """The xids of all clicks, oldest first."""
        return [click.xid for click in self.memory.clicks]

    @property
    def conversions(self) -> list[dict[str, Any]]:
        """What was accepted, oldest first."""
        return [received.body for received in self.memory.received if received.accepted]

    @property
    def converted(self) -> list[str]:
        """The xids of all conversions, oldest first."""
        return [body["xid"] for body in self.conversions]


class Visitor:
    """Somebody with a browser: a profile with its own cookies, and one tab."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page = context.new_page()
        #: What the console said, ``"error: …"``, oldest first, uncaught errors included.
        self.console: list[str] = []
        self.page.on("console", lambda said: self.console.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))

    def go(self, url: str) -> Response:
        """Open a page, and wait until its scripts are loaded."""
        answer = self.page.goto(url, wait_until="load")
        assert answer is not None
        assert answer.ok, answer.status
        return answer

    def go_and_be_captured(self, url: str) -> None:
        """Open a page whose script calls the endpoint, and wait for its answer."""
        with self.page.expect_response(f"**{CLICK}") as called:
            self.go(url)
        assert called.value.status == 204

    def go_and_be_seen(self, url: str) -> None:
        """Open a page with PartnerStackJS, and wait until it has written its cookies."""
        self.go(url)
        self.await_script(
            "document.cookie.includes('growSumoPartnerKey=' + growsumo.data.partner_key)"
        )

    def go_and_load_ahead(self, url: str) -> None:
        """Open a page that has another one loaded ahead of time, and wait until it is there."""
        told: list[str] = []
        browser = self.context.new_cdp_session(self.page)
        browser.on("Preload.prefetchStatusUpdated", lambda event: told.append(event["status"]))
        browser.send("Preload.enable")
        self.go(url)
        self._await(lambda: "Ready" in told)
        browser.detach()

    def sign_up(self, url: str, email: str = "grace@example.com") -> None:
        """Send the signup form at ``url``."""
        self.go(url)
        self.page.fill("input[name=email]", email)
        self.page.click("button#sign-up")
        self.page.wait_for_url("**/welcome")

    def sign_up_by_script(self, email: str) -> None:
        """Send the signup form without leaving the page."""
        sent = self.page.evaluate(
            "email => fetch('/signup', {method: 'POST', body: new URLSearchParams({email})})"
            ".then(answer => answer.status)",
            email,
        )
        assert sent == 200

    def forget_everything(self) -> None:
        """Clear cookies and storage, as a new profile has none."""
        self.page.evaluate("localStorage.clear()")
        self.context.clear_cookies()

    def text(self) -> str:
        """Return what the page says."""
        return self.page.inner_text("body")

    def plant(self, **cookie: str) -> None:
        """Put a cookie into the jar, as a script or another server would."""
        jar: Any = self.context
        jar.add_cookies([cookie])

    def cookies(self) -> dict[str, str]:
        """Return every cookie in the browser's jar."""
        return {c["name"]: c["value"] for c in self.context.cookies()}

    def kept(self) -> str | None:
        """Return the xid that our cookie keeps, if we have one."""
        value = self.cookies().get(OURS)
        return None if value is None else value.split("x=")[1].split("&")[0]

    def await_kept(self, xid: str) -> None:
        """Wait until our cookie keeps this click."""
        self._await(lambda: self.kept() == xid)

    def _await(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, "it did not come to this"
            self.script("null")  # events come in while the browser is asked something

    def script(self, expression: str) -> Any:
        """Return what an expression of the page's JavaScript gives."""
        return self.page.evaluate(expression)

    def await_script(self, expression: str) -> None:
        """Wait until an expression is true on the page."""
        self.page.wait_for_function(expression)

    def block_third_parties(self, host: str, *, but: str) -> None:
        """Load nothing from other hosts than the site's, as a blocker does.

        :param but: how the path of a link begins that is followed all the same.
        """

        def is_foreign(url: str) -> bool:
            parts = urlsplit(url)
            return parts.hostname != host and not parts.path.startswith(but)

        self.context.route(is_foreign, lambda route: route.abort())
