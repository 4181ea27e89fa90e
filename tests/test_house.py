"""The house keeps its own rules: names, floors, and tests that say what they show."""

from __future__ import annotations

import ast
import configparser
import inspect
import pkgutil
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
    wanted = _listed("stairs", "layers")
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    for drawing in (inspect.getdoc(flask_partnerstack) or "", architecture):
        drawn = [line.strip() for line in drawing.splitlines()]
        found = [f for line in drawn for f in wanted if line == f]
        assert found == wanted


def test_what_is_below_flask_is_all_that_is_below_it() -> None:
    """The contract of those who have not heard of Flask is about every floor below ``_state``."""
    floors = _listed("stairs", "layers")
    below = floors[floors.index("_state") + 1 :]
    assert _sources("flask-free") == {name for floor in below for name in floor.split(" | ")}


@pytest.mark.parametrize(
    ("contract", "at_home"),
    [
        ("sql-at-home", {"ledger", "_db"}),
        ("network-at-home", {"wire.exchange", "wire.transport", "sandbox"}),
    ],
)
def test_every_module_keeps_a_contract_or_is_named(contract: str, at_home: set[str]) -> None:
    """What is listed and the few at home in it are all modules: a new one is not forgotten."""
    known = _sources(contract) | at_home
    found = {name for name in MODULES if known.isdisjoint((name, *_packages_of(name)))}
    assert (found, _sources(contract) & at_home) == (set(), set())


#: Every file of ours by its name, but for those that only gather the names of a folder.
MODULES = [
    found.name.removeprefix("flask_partnerstack.")
    for found in pkgutil.walk_packages(flask_partnerstack.__path__, "flask_partnerstack.")
    if not found.ispkg
]


def _packages_of(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _sources(contract: str) -> set[str]:
    listed = _listed(contract, "source_modules")
    return {name.removeprefix("flask_partnerstack.") for name in listed}


def _listed(contract: str, key: str) -> list[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / "setup.cfg")
    lines = contracts[f"importlinter:contract:{contract}"][key].split("\n")
    return [line.strip() for line in lines if line.strip()]


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
