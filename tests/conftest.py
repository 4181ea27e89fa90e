"""Short fixtures that many tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from typing import TypeVar

import pytest
from flask import Flask

from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from tests.kit import XID
from tests.kit import Clock
from tests.kit import ScriptedTransport
from tests.kit import TravellingPartnerStack
from tests.servers import Servers

T = TypeVar("T")
FIGURES = "figures"
#: A folder that no disk is behind; a folder of its own is made in it.
IN_MEMORY = "/dev/shm"


@pytest.fixture
def size() -> Callable[[T, T], T]:
    """Return what chooses between the small and the full size of a test.

    ``PARTNERSTACK_TEST_SIZE=full`` chooses the full one.
    """
    full = os.environ.get("PARTNERSTACK_TEST_SIZE") == "full"
    return lambda small, large: large if full else small


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return what prints a row's figures once its test is over, captured output or not."""
    return lambda figures: record_property(FIGURES, figures)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print what was said, also by a worker process, whose own output nobody sees."""
    if report.when == "call":
        for name, figures in report.user_properties:
            if name == FIGURES:
                print(f"\n{figures}")  # noqa: T201 - the figures are what the row is for


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The database servers of this machine."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport() -> ScriptedTransport:
    return ScriptedTransport()


@pytest.fixture
def instances() -> Iterator[Path]:
    """A folder for the instance folders of a test's apps, in memory where Linux has one there.

    SQLite asks for each commit to be on the disk, as it does for a user, and nobody here claims
    how long that takes: it was half of the time of tests that commit much.
    """
    in_memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else gettempdir()
    folder = Path(in_memory, f"partnerstack-{uuid.uuid4().hex}")  # which is like no key of a pair
    folder.mkdir(mode=0o700)
    yield folder
    rmtree(folder)


@pytest.fixture
def make_app(
    instances: Path, clock: Clock, transport: ScriptedTransport
) -> Iterator[Callable[..., Flask]]:
    """Return what makes apps with the extension, a token, and nobody who delivers by themselves."""
    apps: list[Flask] = []

    def make(**config: object) -> Flask:
        app = Flask(f"app{len(apps)}", instance_path=str(instances / f"app{len(apps)}"))
        app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none")
        app.config.update({f"PARTNERSTACK_{key}": value for key, value in config.items()})
        TravellingPartnerStack(clock, transport).init_app(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        get_state(app).engine.stop()
        get_state(app).ledger.close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def bury() -> Callable[[Flask, str], None]:
    """Return what records a conversion with an app, and has it turned away for good."""

    def bury(app: Flask, customer_key: str) -> None:
        with app.app_context():
            track_conversion(customer_key, xid=XID)
        ledger = get_state(app).ledger
        (claim,) = ledger.claim(1)
        ledger.bury(claim, reason="rejected")

    return bury
