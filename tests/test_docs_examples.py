"""Every example in the documents stands in a file that the tests run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: The quickstart's files are run, and the recipes' are compared to the letter, elsewhere.
PAGES = sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs/quickstart.md"})
TESTED = [
    path.read_text(encoding="utf-8")
    for folder in ("examples", "tests")
    for pattern in ("*.py", "*.html")
    for path in (ROOT / folder).rglob(pattern)
]
IMPORT = re.compile("(from|import) ")
BLOCK = re.compile(r"^```(?:python|jinja|html)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def said(text: str) -> str:
    """Return the lines of a text without indentation, comments, annotations and blank lines."""
    lines = (re.sub(r"  # .*", "", line).strip() for line in text.splitlines())
    return "\n".join(map(_plain, filter(None, lines)))


def _plain(line: str) -> str:
    if line.startswith("def "):
        line = re.sub(r" -> .*:$", ":", line)
        return re.sub(r": [\w.\[\]| ]+(?=[,)])", "", line)
    found = re.fullmatch(r"from (\S+) import ([\w, ]+)", line)
    if found:
        return "\n".join(f"from {found[1]} import {name}" for name in found[2].split(", "))
    return line


def stands_in(block: str, file: str) -> bool:
    """Say whether a file has the imports of a block somewhere, and the rest of it in one piece.

    ``...`` stands for anything in its line.
    """
    lines = said(block).splitlines()
    imports = [line for line in lines if IMPORT.match(line)]
    rest = "\n".join(line for line in lines if not IMPORT.match(line))
    pattern = ".*".join(map(re.escape, rest.split("...")))
    return set(imports) <= set(file.splitlines()) and bool(
        re.search(f"^{pattern}$", file, re.MULTILINE)
    )


FILES: Sequence[str] = [said(text) for text in TESTED]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_example_is_a_tested_one(page: Path) -> None:
    """Each piece of code on a page stands in a file of the tests or of the examples."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    strays = [block for block in blocks if not any(stands_in(block, file) for file in FILES)]
    assert strays == []


def test_an_example_that_is_nowhere_is_found() -> None:
    """What is compared is each line of the code, and its order."""
    file = said("from flask import g\n\ndef view() -> str:\n    if g.there:\n        return 'yes'")
    assert stands_in("from flask import g\n\ndef view():\n    if ...:", file)
    assert not stands_in("def view():\n    return 'yes'", file)
    assert not stands_in("from flask import request\n\nif g.there:", file)


@pytest.mark.parametrize("name", ["minimal", "saas", "postgres_celery", "recipes"])
def test_an_example_says_how_it_is_started(name: str) -> None:
    """A page has the commands that its code names, what to install first; no link there is dead."""
    folder = ROOT / "examples" / name
    page = (folder / "README.md").read_text(encoding="utf-8")
    said = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    commands = re.findall(r"^    (.+)$", page, re.MULTILINE)
    assert commands
    assert commands[0].startswith(("pip install", "docker compose"))  # what a fresh clone lacks
    assert all(command in said or "pytest" in command for command in commands)
    for link in re.findall(r"\]\((?!http)([^)#]+)", page):
        assert (folder / link).exists()
