"""The app with a database and a ledger of its own, and browsers that visit it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from examples.saas import create_app
from examples.saas.tests.browser import PASSWORD
from examples.saas.tests.browser import Browser
from flask_partnerstack import Entry
from flask_partnerstack import signals

ADMIN = "admin@kettle.example"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """The app; what it records stays in its ledger."""
    config = {"TESTING": True, "PARTNERSTACK_ENGINE": "none"}
    app = create_app(config, instance_path=str(tmp_path))
    yield app
    # Python 3.13 warns of every connection that was left open.
    app.extensions["partnerstack"].ledger.close()


@pytest.fixture
def recorded(app: Flask) -> Iterator[list[Entry]]:
    """Every conversion that the app has recorded."""
    entries: list[Entry] = []

    def receive(_sender: Flask, entry: Entry) -> None:
        entries.append(entry)

    with signals.conversion_recorded.connected_to(receive, sender=app):
        yield entries


@pytest.fixture
def visitor(app: Flask) -> Browser:
    """Somebody who has never been here."""
    return Browser(app)


@pytest.fixture
def make_browser(app: Flask) -> Callable[[], Browser]:
    """For more people."""
    return lambda: Browser(app)


@pytest.fixture
def admin(app: Flask) -> Browser:
    """An admin, logged in."""
    made = app.test_cli_runner().invoke(args=["add-admin", ADMIN, "--password", PASSWORD])
    assert made.exit_code == 0, made.output
    browser = Browser(app)
    assert browser.log_in(ADMIN).location == "/admin/"
    return browser
