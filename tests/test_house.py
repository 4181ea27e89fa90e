"""The house keeps its own rules: names, floors, and tests that say what they show."""

from __future__ import annotations

import ast
import configparser
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_partnerstack
from flask_partnerstack import errors
from flask_partnerstack import signals

ROOT = Path(__file__).parent.parent
TESTS = sorted(
    path for folder in ("tests", "examples") for path in (ROOT / folder).rglob("test_*.py")
)


def test_all_is_what_can_be_seen() -> None:
    """``__all__`` lists every public name of the package, sorted, and no other."""
    modules = {"errors", "signals"}
    visible = {
        name
        for name, value in vars(flask_partnerstack).items()
        if not name.startswith("_") and (not inspect.ismodule(value) or name in modules)
    }
    assert flask_partnerstack.__all__ == sorted(visible)


@pytest.mark.parametrize("name", sorted(set(flask_partnerstack.__all__) - {"current_referral"}))
def test_public_names_are_documented(name: str) -> None:
    """Whatever a user imports says what it does."""
    assert inspect.getdoc(getattr(flask_partnerstack, name))


def test_every_error_is_in_the_drawn_tree() -> None:
    """The tree at the top of ``errors`` has each class, and each class comes from one base."""
    drawn = inspect.getdoc(errors) or ""
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, Exception):
            assert issubclass(error, errors.PartnerStackError)
            assert name in drawn


def test_every_signal_says_what_it_carries() -> None:
    """Above each signal stands what happened and which arguments it is sent with."""
    lines = (ROOT / "flask_partnerstack" / "signals.py").read_text().splitlines()
    for number, line in enumerate(lines):
        if "_signals.signal(" in line:
            above = "".join(lines[max(0, number - 2) : number])
            assert above.count("#:") >= 1, line
            assert "``" in above, line
    assert signals.conversion_recorded.name == "partnerstack-conversion-recorded"


def test_the_drawing_shows_the_contract() -> None:
    """The floors in the package's docstring and in docs/architecture are those of setup.cfg."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / "setup.cfg")
    floors = contract["importlinter:contract:stairs"]["layers"].split("\n")
    wanted = [floor.strip() for floor in floors if floor.strip()]
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    for drawing in (inspect.getdoc(flask_partnerstack) or "", architecture):
        drawn = [line.strip() for line in drawing.splitlines()]
        found = [f for line in drawn for f in wanted if line == f]
        assert found == wanted


def test_imports_keep_to_the_stairs() -> None:
    """import-linter finds every contract of setup.cfg kept."""
    pytest.importorskip("importlinter", reason="import-linter is in the dev extra")
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_importing_brings_no_orm_and_no_queue() -> None:
    """Importing the package loads neither the ORM nor Celery nor RQ, and starts no thread."""
    code = (
        "import sys, threading, flask_partnerstack; "
        "print([m for m in ('sqlalchemy.orm', 'celery', 'rq') if m in sys.modules], "
        "threading.active_count())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] 1\n"


def _test_functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    yield from (function for function in functions if function.name.startswith("test_"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_is_a_claim(path: Path) -> None:
    """A test's docstring is one sentence or two that say what it shows."""
    unclaimed = [node.name for node in _test_functions(path) if not ast.get_docstring(node)]
    assert unclaimed == []
