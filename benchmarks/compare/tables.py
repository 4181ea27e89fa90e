"""Tables in Markdown, and their place in a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OURS = "Flask-PartnerStack"
#: Heads the column of the 10th and the 90th percentile.
SPREAD = "p10\N{EN DASH}p90"


class NoPlace(Exception):
    """The page has no markers of that name."""


@dataclass(frozen=True)
class Table:
    """What one part of the comparison found.

    :param name: the marker's, in the page.
    :param measured: one sentence that says what was measured.
    :param columns: the first heads the contenders' names.
    :param notes: sentences for below.
    """

    name: str
    measured: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the sentence, the table and the notes."""
        ruler = "|".join(["---", *["--:"] * (len(self.columns) - 1)])
        lines = [_line(self.columns), f"|{ruler}|", *map(_line, map(_emphasized, self.rows))]
        return "\n\n".join([self.measured, "\n".join(lines), *self.notes])


def with_block(page: str, name: str, block: str) -> str:
    """Return the page with ``block`` between the markers of ``name``.

    :raises NoPlace: the page has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    written, found = pattern.subn(lambda _: f"{begin}\n\n{block}\n\n{end}", page)
    if found != 1:
        raise NoPlace(f"expected {begin} … {end} once in the page, found {found}")
    return written


def write(path: Path, machine: str, tables: Sequence[Table]) -> None:
    """Put the machine and the tables into the page at their markers."""
    page = with_block(path.read_text(encoding="utf-8"), "machine", machine)
    for table in tables:
        page = with_block(page, table.name, table.markdown())
    path.write_text(page, encoding="utf-8")


def sentence_of(low_high: tuple[float, float]) -> str:
    """Return a spread as it stands in a cell: with as many digits as say something."""
    return "\N{EN DASH}".join(figure(value) for value in low_high)


def figure(value: float) -> str:
    """Return a number with two or three digits that mean something, and thousands apart."""
    if abs(value) < 10:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def times(ratio: float) -> str:
    """Return a ratio as it stands in a cell."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _emphasized(cells: Sequence[str]) -> Sequence[str]:
    return [f"**{cell}**" for cell in cells] if cells[0].startswith(OURS) else cells
