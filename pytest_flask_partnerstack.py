"""The pytest plugin of Flask-PartnerStack: fixtures for an app that reports conversions.

Every pytest of the environment loads this file, so that it lies beside the package and imports
nothing of it, nor of Flask, until a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from flask_partnerstack.sandbox import SandboxProcess
    from flask_partnerstack.testing import CapturedSignals
    from flask_partnerstack.testing import FakePartnerStack
    from flask_partnerstack.testing import FrozenClock
    from flask_partnerstack.testing import ReferredClient
    from flask_partnerstack.testing import Rehearsal

T = TypeVar("T")


@pytest.fixture
def partnerstack_app(request: pytest.FixtureRequest) -> Flask:
    """Your app: your fixture ``app``. Override this one where yours has another name."""
    try:
        app: Flask = request.getfixturevalue("app")
    except pytest.FixtureLookupError as e:
        if e.argname != "app":  # one that theirs asks for
            raise
        pytest.fail(
            "The partnerstack_ fixtures need your app. Write a fixture called app that returns "
            "it, or one called partnerstack_app.",
            pytrace=False,
        )
    return app


@pytest.fixture
def partnerstack_config() -> dict[str, Any]:
    """Other configuration for the rehearsal, without the prefix. Override or parametrize it."""
    return {}


@pytest.fixture
def partnerstack_clock() -> FrozenClock:
    """The time of day, which stands still at the test's beginning until it is told to move."""
    from flask_partnerstack.testing import FrozenClock

    return FrozenClock()


@pytest.fixture
def partnerstack_rehearsal(
    request: pytest.FixtureRequest,
    partnerstack_app: Flask,
    partnerstack_clock: FrozenClock,
    partnerstack_config: dict[str, Any],
) -> Iterator[Rehearsal]:
    """Your app before the fake PartnerStack, or before the sandbox where the test asks for that."""
    from flask_partnerstack.testing import rehearse

    stand_in = None
    if "partnerstack_sandbox" in request.fixturenames:
        if "partnerstack_fake" in request.fixturenames:
            pytest.fail("Ask for partnerstack_fake or partnerstack_sandbox.", pytrace=False)
        stand_in = request.getfixturevalue("_partnerstack_process")
    with rehearse(
        partnerstack_app, stand_in, clock=partnerstack_clock, **partnerstack_config
    ) as rehearsal:
        yield rehearsal


@pytest.fixture
def partnerstack_fake(partnerstack_rehearsal: Rehearsal) -> FakePartnerStack:
    """A PartnerStack in this process, with a memory, in the real one's place."""
    from flask_partnerstack.testing import FakePartnerStack

    return _rehearsed(partnerstack_rehearsal, FakePartnerStack, "partnerstack_fake")


@pytest.fixture
def partnerstack_sandbox(partnerstack_rehearsal: Rehearsal) -> SandboxProcess:
    """A PartnerStack in a process of its own, over real sockets, in the real one's place."""
    from flask_partnerstack.sandbox import SandboxProcess

    return _rehearsed(partnerstack_rehearsal, SandboxProcess, "partnerstack_sandbox")


def _rehearsed(rehearsal: Rehearsal, kind: type[T], fixture: str) -> T:
    """Return who is in PartnerStack's place, if that is who the test means."""
    if not isinstance(rehearsal.partnerstack, kind):
        pytest.fail(
            f"{fixture}: the rehearsal is before a {type(rehearsal.partnerstack).__name__}. "
            "Name the fixture among the test's arguments, or in pytest.mark.usefixtures: asked for "
            "by request.getfixturevalue() it comes too late.",
            pytrace=False,
        )
    return rehearsal.partnerstack


@pytest.fixture
def partnerstack_client(partnerstack_rehearsal: Rehearsal) -> ReferredClient:
    """A visitor: your app's test client, which can arrive by a partner's link."""
    return partnerstack_rehearsal.client()


@pytest.fixture
def partnerstack_signals(partnerstack_app: Flask) -> Iterator[CapturedSignals]:
    """Every signal that your app sends during the test, in order."""
    from flask_partnerstack.testing import capture_signals

    with capture_signals(partnerstack_app) as captured:
        yield captured


@pytest.fixture(scope="session")
def _partnerstack_shared_process() -> Iterator[SandboxProcess]:
    from flask_partnerstack.sandbox import SandboxProcess

    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture
def _partnerstack_process(_partnerstack_shared_process: SandboxProcess) -> SandboxProcess:
    """The one process of the whole session, whole, and without a memory of other tests."""
    if not _partnerstack_shared_process.running:
        _partnerstack_shared_process.start()
    _partnerstack_shared_process.clear_faults()
    _partnerstack_shared_process.clear()
    return _partnerstack_shared_process
