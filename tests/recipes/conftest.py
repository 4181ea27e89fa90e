"""An app with the extension, for a recipe to be laid over."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state

MakeApp = Callable[..., Flask]
Entries = Callable[[Flask], list[Entry]]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """Return what builds an app; ``partnerstack`` is the recipe's own object, where it has one."""
    apps: list[Flask] = []

    def make(partnerstack: PartnerStack | None = None, **config: object) -> Flask:
        app = Flask("recipe", instance_path=str(tmp_path / f"app{len(apps)}"))
        app.config.update(SECRET_KEY="secret", PARTNERSTACK_ENGINE="none", **config)
        (partnerstack or PartnerStack()).init_app(app)
        app.add_url_rule("/", "landing", lambda: "<p>Welcome")
        apps.append(app)
        return app

    yield make
    for app in apps:
        get_state(app).ledger.close()


@pytest.fixture
def entries() -> Entries:
    """Return what lists an app's entries, oldest first."""
    return lambda app: list(reversed(get_state(app).ledger.entries()))
