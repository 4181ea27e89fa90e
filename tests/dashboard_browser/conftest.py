"""The page on a real server, and Debian's Chromium before it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask import redirect
from flask import request
from flask import session
from flask.typing import ResponseReturnValue
from playwright.sync_api import Browser
from playwright.sync_api import BrowserContext
from playwright.sync_api import ConsoleMessage
from playwright.sync_api import Error
from playwright.sync_api import Page
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright
from werkzeug.serving import WSGIRequestHandler
from werkzeug.serving import make_server

from benchmarks.ledger import fill
from flask_partnerstack._state import get_state
from flask_partnerstack.ledger import Ledger
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack

# How long to wait for what is about to happen; nothing is asserted of it.
PATIENCE = 60_000.0
expect.set_options(timeout=PATIENCE)
CHROMIUM = os.environ.get("PARTNERSTACK_TEST_CHROMIUM") or shutil.which("chromium")


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except Error as e:
            _absent(f"no Chromium (PARTNERSTACK_TEST_CHROMIUM): {e}")
        yield browser
        browser.close()


def _absent(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def app(tmp_path: Path, clock: Clock, transport: ScriptedTransport) -> Iterator[Flask]:
    """An app whose admins log in, and whose ledger has had some weeks of business."""
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="key", PARTNERSTACK_TOKEN="sandbox-token", PARTNERSTACK_ENGINE="none"
    )
    partnerstack = TravellingPartnerStack(clock, transport)
    partnerstack.init_app(app)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        if request.method == "POST":
            session["admin"] = True
            return redirect("/partnerstack/")
        return (
            '<!doctype html><link rel="icon" href="data:,"><title>Log in</title>'
            '<form method="post"><button>Log in</button>'
        )

    page = partnerstack.dashboard(
        permission=lambda: True if "admin" in session else redirect("/login")
    )
    app.register_blueprint(page, url_prefix="/partnerstack")
    fill(get_state(app).ledger, 400, now=clock())
    yield app
    get_state(app).ledger.close()


@pytest.fixture
def ledger(app: Flask) -> Ledger:
    return get_state(app).ledger


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Complaints(list[str]):
    """What the browser complains of: errors, and violations of the policy."""

    def watch(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(message.text)


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def open_page(browser: Browser, site: str, complaints: Complaints) -> Iterator[Callable[..., Page]]:
    """Return what opens a page of a new visitor, who may be logged in, on a screen of some kind."""
    contexts: list[BrowserContext] = []

    def open_page(*, admin: bool = True, dark: bool = False, width: int = 1280) -> Page:
        context = browser.new_context(
            base_url=site,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 800},
            has_touch=width < 500,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        complaints.watch(page)
        if admin:
            context.request.post(f"{site}/login")
        return page

    yield open_page
    for context in contexts:
        context.close()
