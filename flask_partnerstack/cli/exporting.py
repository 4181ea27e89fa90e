"""``export``: entries with all that is reported of them, as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from typing import TextIO

import click

from .._state import get_state
from ..ledger import Entry
from ..ledger import Filter
from .choosing import choosing
from .group import in_app
from .group import partnerstack
from .output import CONVERSION_FIELDS
from .output import facts_of
from .output import facts_of_conversion
from .output import plain
from .progress import LongWork

Facts = dict[str, Any]

COLUMNS = (*Entry.__dataclass_fields__, *CONVERSION_FIELDS)
#: How cells begin that a spreadsheet would take for a formula, and run.
#: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


@partnerstack.command("export")
@in_app
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True
)
@click.option(
    "--output",
    "-o",
    # Nothing is taken from what it has before it is known that there is something to write.
    type=click.File("a", encoding="utf-8", lazy=False),
    default="-",
    help="A file, in the place of standard output.",
)
@choosing
def export(form: str, output: TextIO, wanted: Filter) -> None:
    """Write entries with all that is reported of them, oldest first.

    E-mail addresses and names are in it. In CSV, a cell that a spreadsheet would take for a
    formula begins with an apostrophe; import takes it off again.
    """
    ledger = get_state().ledger
    with LongWork("Exported", ledger.count(wanted)) as work:
        _empty(output)
        write = _WRITERS[form](output)
        for entry, conversion in ledger.stream(wanted):
            write({**facts_of(entry), **facts_of_conversion(conversion)})
            work.advance()
            if work.stopped:
                break
        output.flush()


def _empty(output: TextIO) -> None:
    """Empty a file that was named; what the shell appends to is none of ours."""
    if Path(output.name).is_file():
        output.truncate(0)


def _csv(output: TextIO) -> Callable[[Facts], None]:
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(facts: Facts) -> None:
        writer.writerow([cell(facts[name]) for name in COLUMNS])

    return write


def cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _as_text(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, default=plain)


def _jsonl(output: TextIO) -> Callable[[Facts], None]:
    def write(facts: Facts) -> None:
        output.write(json.dumps(facts, default=plain) + "\n")

    return write


_WRITERS = {"csv": _csv, "jsonl": _jsonl}
