"""The pages of the demo, as a visitor sees them on a wide screen, on a telephone, in the dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from examples.saas import create_app
from flask_partnerstack._state import get_state
from tests.browser.conftest import serving
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor

#: Where to put pictures of each page, to be looked at; nowhere by default.
PICTURES = os.environ.get("PARTNERSTACK_PICTURES")
SCREENS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 800}},
    "telephone": {"viewport": {"width": 390, "height": 844}},
    "dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


@pytest.fixture
def kettle(tmp_path: Path, sandbox: Sandbox) -> Iterator[str]:
    """The example saas, served; its URL."""
    config = {
        "PARTNERSTACK_ENGINE": "inline",
        "PARTNERSTACK_CONVERSION_URL": f"{sandbox.root}/conversion/xid",
    }
    app: Flask = create_app(config, instance_path=str(tmp_path))
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}"
    get_state(app).ledger.close()


@pytest.mark.parametrize("screen", SCREENS)
def test_demo_pages_fit_the_screen(
    make_visitor: Callable[..., Visitor], kettle: str, sandbox: Sandbox, screen: str
) -> None:
    """No page is wider than its screen or complains in the console; the walk ends in a customer."""
    visitor = make_visitor(**SCREENS[screen])

    def look(name: str) -> None:
        if PICTURES:
            visitor.page.screenshot(path=f"{PICTURES}/{screen}-{name}.png", full_page=True)
        too_wide = "document.documentElement.scrollWidth > innerWidth"
        assert not visitor.script(too_wide), name
        assert visitor.console == [], name

    visitor.go(sandbox.link("ada", f"{kettle}/"))
    look("landing")
    visitor.go(f"{kettle}/pricing")
    look("pricing")
    visitor.go(f"{kettle}/signup")
    with visitor.page.expect_navigation():
        visitor.page.click("main button")
    look("signup-with-errors")
    for field, value in {
        "name": "Grace",
        "email": "grace@example.com",
        "password": "p" * 12,
    }.items():
        visitor.page.fill(f"[name={field}]", value)
    visitor.page.click("main button")
    visitor.page.wait_for_url("**/account")
    look("account")
    visitor.go(sandbox.root)
    look("sandbox")

    assert sandbox.converted == sandbox.clicked
