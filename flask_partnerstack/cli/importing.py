"""``import``: customers that were never reported, from a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TextIO

import click

from .._state import get_state
from ..conversion import Conversion
from ..errors import EntryNotFound
from ..errors import InvalidConversion
from ..ledger import Entry
from ..ledger import Status
from ..ledger import comes_again
from .exporting import FORMULA
from .group import in_app
from .group import partnerstack
from .output import how_many
from .output import json_option
from .output import say_json
from .progress import LongWork
from .recording import demand_enabled
from .recording import record_quietly
from .recording import say_where_moved

#: One row: ``(column, cell)``.
Row = list[tuple[str, str]]

#: The columns there may be; the first two there must be.
COLUMNS = tuple(Conversion.__dataclass_fields__)
REQUIRED = COLUMNS[:2]
#: What an export has beside them, and nobody can import.
IGNORED = tuple(name for name in Entry.__dataclass_fields__ if name not in COLUMNS)


@dataclass
class Tally:
    """What became of the rows.

    :param bad: ``(line, field, what is wrong with it)``.
    """

    new: int = 0
    known: int = 0
    skipped: int = 0
    bad: list[tuple[int, str, str]] = field(default_factory=list)


#: What begins a cell, or ends a line.
NO_DELIMITER = ('"', "\r", "\n")


# What is no UTF-8 becomes a surrogate, which no text has, and spoils its own row only:
# https://peps.python.org/pep-0383/
@partnerstack.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="surrogateescape"))
@click.option("--commit", is_flag=True, help="Record them. Without it, only say what would be.")
@click.option("--delimiter", default=",", show_default=True, help="Between the columns.")
@json_option
@in_app
def import_customers(file: TextIO, commit: bool, delimiter: str, as_json: bool) -> None:
    """Record customers that were never reported, from a CSV file with a line of headings.

    Columns: customer_key and xid, and as you have them partner_key, email, name, provider_key,
    origin, ip_address, user_agent, external_type, sub_ids and meta (these two as JSON). A customer
    who is in the ledger is left alone, so that it may be run twice. Exit code 1: there are rows
    that cannot be recorded, and each is named; or the ledger was moved, and delivers nothing.
    """
    if len(delimiter) != 1 or delimiter in NO_DELIMITER:
        raise click.UsageError("--delimiter: expected one character, like a comma or a tab.")
    demand_enabled()
    table = _Table(file, delimiter)
    tally = Tally()
    try:
        _take_all(table, tally, commit=commit)
    finally:
        # Also of what was stopped: half of it may be recorded.
        _say(tally, commit=commit, as_json=as_json)
    moved = say_where_moved()
    if moved or tally.bad:
        raise click.exceptions.Exit(1)


class _Table:
    """A CSV file: each row by the line where it begins, its cells by the names of their columns.

    A row that cannot be read is one cell, ``row``, with what is wrong with it.

    :raises click.ClickException: the line of headings cannot be read.
    :raises click.UsageError: it has other columns than those that there may be.
    """

    def __init__(self, file: TextIO, delimiter: str) -> None:
        self._reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            self._headings = [name.strip() for name in next(self._reader, [])]
        except csv.Error as e:
            raise click.ClickException(f"line 1: this is not CSV: {e}.") from e
        _check(self._headings)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        while (row := self._next()) is not None:
            if row[1]:
                yield row

    def _next(self) -> tuple[int, Row] | None:
        begins = self._reader.line_num + 1
        try:
            cells = next(self._reader)
            return begins, _named(self._headings, cells) if cells else []
        except StopIteration:
            return None
        except csv.Error as e:  # after which it goes on with the next line
            upto = self._reader.line_num
            where = f", up to line {upto}" if upto > begins else ""
            return begins, [("row", f"this is not CSV{where}: {e}.")]


def _check(headings: list[str]) -> None:
    for name in headings:
        if name not in COLUMNS and name not in IGNORED:
            raise click.UsageError(
                f"line 1: unknown column {name!r}. Expected some of {', '.join(COLUMNS)}; "
                "and where not a comma is between them, --delimiter."
            )
    for name in COLUMNS:
        count = headings.count(name)
        if count > 1 or (count == 0 and name in REQUIRED):
            raise click.UsageError(f"line 1: expected one column {name}, got {count}.")


def _named(headings: list[str], cells: list[str]) -> Row:
    if len(cells) != len(headings):
        return [("row", f"expected {len(headings)} cells, got {len(cells)}.")]
    return list(zip(headings, cells, strict=True))


def _take_all(table: _Table, tally: Tally, *, commit: bool) -> None:
    seen: set[str] = set()
    with LongWork("Imported" if commit else "Looked at") as work:
        for line, row in table:
            _take(tally, line, row, seen, commit=commit)
            work.advance()
            if work.stopped:
                break


def _take(tally: Tally, line: int, row: Row, seen: set[str], *, commit: bool) -> None:
    try:
        conversion = _conversion_of(row)
    except InvalidConversion as e:
        tally.bad.append((line, e.field, e.expected))
        return
    known = _is_known(conversion.customer_key) or conversion.customer_key in seen
    if known:
        tally.known += 1
    elif not commit:
        seen.add(conversion.customer_key)
        tally.new += 1
    elif _record(conversion).status is Status.SKIPPED:
        tally.skipped += 1
    else:
        tally.new += 1


def _conversion_of(row: Row) -> Conversion:
    if row[0][0] == "row":
        raise InvalidConversion(*row[0])
    given = {name: _read(name, cell) for name, cell in row if name in COLUMNS and cell.strip()}
    missing = next((name for name in REQUIRED if name not in given), None)
    if missing is not None:
        raise InvalidConversion(missing, "it is empty.")
    return Conversion.of(**given)


def _read(name: str, cell: str) -> Any:
    text = cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
    _demand_utf_8(name, text)
    if name not in _AS_JSON:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidConversion(name, f"expected JSON, like {_AS_JSON[name]}.") from None


#: The columns whose cells are JSON, each with what one may look like.
_AS_JSON = {"sub_ids": '["newsletter"]', "meta": '{"company": "Acme"}'}


def _demand_utf_8(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        byte = ord(text[e.start]) & 0xFF
        raise InvalidConversion(name, f"expected UTF-8, got the byte {byte:#x}.") from None


def _is_known(customer_key: str) -> bool:
    try:
        return not comes_again(get_state().ledger.get(customer_key))
    except EntryNotFound:
        return False


def _record(conversion: Conversion) -> Entry:
    fields = {name: getattr(conversion, name) for name in COLUMNS[3:]}
    return record_quietly(conversion.customer_key, conversion.xid, conversion.partner_key, fields)


def _say(tally: Tally, *, commit: bool, as_json: bool) -> None:
    if as_json:
        bad = [{"line": line, "field": name, "expected": why} for line, name, why in tally.bad]
        counts = {"new": tally.new, "known": tally.known, "skipped": tally.skipped}
        say_json({"committed": commit, **counts, "bad": bad})
        return
    for line, name, why in tally.bad:
        click.echo(f"line {line}: {name}: {why}", err=True)
    done = "Recorded" if commit else "Would record"
    click.echo(f"{done} {how_many(tally.new)}; {tally.known} known already, {len(tally.bad)} bad.")
    if tally.skipped:
        click.echo(f"{how_many(tally.skipped)} skipped by the app's own hooks.")
    if not commit and tally.new:
        click.echo("Nothing was written. Add --commit to do it.")
