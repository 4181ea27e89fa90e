"""The programs that newcomers copy work as they stand."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_partnerstack._state import get_state
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.kit import PARTNER_KEY
from tests.kit import XID

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def module_sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(module_sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """A sandbox that remembers nothing, named by the environment."""
    module_sandbox.clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PARTNERSTACK_TOKEN", module_sandbox.settings.token)
    monkeypatch.setenv("PARTNERSTACK_CONVERSION_URL", module_sandbox.conversion_url)
    return module_sandbox


def write_minimal(path: Path) -> None:
    shutil.copy(ROOT / "examples/minimal/app.py", path)


def write_program_of_readme(path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (program,) = (block for block in blocks if "app = Flask" in block)
    path.write_text(program, encoding="utf-8")


@pytest.fixture(params=[write_minimal, write_program_of_readme], ids=["minimal", "README"])
def program(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flask]:
    """The program as ``flask run`` finds it, in a folder of its own, where its ledger goes too."""
    request.param(tmp_path / "app.py")
    monkeypatch.syspath_prepend(tmp_path)
    app: Flask = importlib.import_module("app").app
    yield app
    del sys.modules["app"]
    get_state(app).engine.stop()
    get_state(app).ledger.close()


@pytest.fixture
def arrival(sandbox: SandboxProcess) -> Callable[[], dict[str, Any]]:
    """Waits until the sandbox has received something, and returns the only conversion."""

    def wait() -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while not sandbox.received() and time.monotonic() < deadline:
            time.sleep(0.01)
        (received,) = sandbox.received()
        body: dict[str, Any] = received["body"]
        return body

    return wait


def test_program_reports_referred_signup(
    program: Flask, arrival: Callable[[], dict[str, Any]]
) -> None:
    """Who comes by a partner's link and signs up arrives at PartnerStack, click and address."""
    visitor = program.test_client()
    visitor.get(f"/?{LANDING}")
    assert visitor.post("/signup", data={"email": "grace@example.com"}).status_code == 302
    body = arrival()
    assert (body["xid"], body["email"]) == (XID, "grace@example.com")


def test_program_reports_sub_ids(program: Flask, arrival: Callable[[], dict[str, Any]]) -> None:
    """What the partner noted on the link arrives with it."""
    visitor = program.test_client()
    visitor.get(f"/?{LANDING}&sid1=newsletter")
    visitor.post("/signup", data={"email": "grace@example.com"})
    assert arrival()["sub_ids"] == ["newsletter"]


def test_program_greets_referred_visitor_only(program: Flask) -> None:
    """The landing page names the partner to whom they referred, and nobody to the others."""
    assert f"friend of {PARTNER_KEY}" in program.test_client().get(f"/?{LANDING}").text
    assert "friend of" not in program.test_client().get("/").text


def test_program_greets_nobody_by_a_name_that_did_not_come(program: Flask) -> None:
    """A click without a partner key is a plain welcome."""
    assert "friend of" not in program.test_client().get(f"/?ps_xid={XID}").text


def test_program_records_nothing_for_unreferred_signup(program: Flask) -> None:
    """Who came by themselves is nobody's conversion."""
    program.test_client().post("/signup", data={"email": "grace@example.com"})
    assert sum(get_state(program).ledger.counts().values()) == 0


@pytest.mark.parametrize("program", [write_minimal], indirect=True, ids=["minimal"])
def test_minimal_records_address_once(program: Flask) -> None:
    """The same address signed up twice is one customer."""
    visitor = program.test_client()
    visitor.get(f"/?{LANDING}")
    for _ in range(2):
        visitor.post("/signup", data={"email": "grace@example.com"})
    assert sum(get_state(program).ledger.counts().values()) == 1
