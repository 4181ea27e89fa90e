"""The tables of the comparison, and the page that shows them. No server is started."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.compare.tables import NoPlace
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import figure
from benchmarks.compare.tables import times
from benchmarks.compare.tables import with_block
from benchmarks.compare.tables import write

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
TABLE = Table(
    name="speed",
    measured="How fast.",
    columns=("way", "median"),
    rows=(("Flask-PartnerStack", "2"), ("another", "1")),
    notes=("Measured once.",),
)


def block_of(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def part(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.compare.{name}")


def test_a_table_says_what_was_measured() -> None:
    """Above the rows stands the sentence, below them the notes, and ours stands out."""
    assert TABLE.markdown() == (
        "How fast.\n\n"
        "| way | median |\n|---|--:|\n| **Flask-PartnerStack** | **2** |\n| another | 1 |\n\n"
        "Measured once."
    )


def test_a_block_replaces_the_one_before() -> None:
    """Written twice, a page holds the second table only, and all that is around it."""
    page = "before <!-- speed --> old <!-- /speed --> after"
    assert with_block(with_block(page, "speed", "1"), "speed", "2") == (
        "before <!-- speed -->\n\n2\n\n<!-- /speed --> after"
    )


@pytest.mark.parametrize("page", ["", "<!-- speed --><!-- /speed -->" * 2])
def test_a_block_needs_its_place(page: str) -> None:
    """A page without the markers, or with two pairs, is not written to."""
    with pytest.raises(NoPlace, match="speed"):
        with_block(page, "speed", "1")


def test_the_page_is_written_as_a_whole(tmp_path: Path) -> None:
    """The machine and each table come to their markers."""
    page = tmp_path / "page.md"
    page.write_text("<!-- machine --><!-- /machine -->\n<!-- speed --><!-- /speed -->\n")
    write(page, "2 cores.", [TABLE])
    assert "2 cores." in page.read_text()
    assert "| another | 1 |" in page.read_text()


def test_figures_say_no_more_than_was_measured() -> None:
    """A small number has one digit after the point, a large one none; thousands stand apart."""
    assert [figure(n) for n in (1.54, -0.04, 54.4, 101_600)] == ["1.5", "-0.0", "54", "101,600"]
    assert [times(n) for n in (0.25, 434.2)] == ["0.25", "434"]


@pytest.mark.parametrize("name", ["hooks", "signup", "draining", "importing", "survival"])
def test_the_page_has_a_row_for_each_contender(name: str) -> None:
    """What the command measures is what docs/compare.md shows: nobody is left out."""
    pytest.importorskip("pyperf", reason="pyperf is in the dev extra")
    rows = re.findall(r"^\| (?:\*\*)?(.+?)(?:\*\*)? \|", block_of(name), re.M)
    assert rows[1:] == list(part(name).CONTENDERS)


def test_the_page_names_the_machine() -> None:
    """Above the tables stand the processor and the versions of every peer."""
    peers = re.findall(
        r"^([a-z-]+)", (ROOT / "benchmarks/compare/requirements.txt").read_text(), re.M
    )
    assert [name for name in peers if f"{name} " not in block_of("machine")] == []
