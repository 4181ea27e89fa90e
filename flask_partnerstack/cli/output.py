"""How commands say what they found: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import click

from ..conversion import Conversion
from ..ledger import Attempt
from ..ledger import Entry
from ..ledger import Pause
from ..masking import printable

Facts = Mapping[str, Any]

#: The option of every command that says what it found.
json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Say it as JSON, for scripts."
)

#: What is reported beside the fields of the entry.
CONVERSION_FIELDS = tuple(
    name for name in Conversion.__dataclass_fields__ if name not in Entry.__dataclass_fields__
)


def say_json(facts: object) -> None:
    """Print ``facts`` as JSON: moments in ISO 8601, in UTC."""
    click.echo(json.dumps(facts, default=plain, indent=2))


def say_json_line(facts: Facts) -> None:
    """Print ``facts`` as JSON in one line, where more are to follow."""
    click.echo(json.dumps(facts, default=plain))


def plain(value: object) -> object:
    """Return what JSON can say of ``value``."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else str(value)


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return all fields of an entry, as JSON says them."""
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}


def facts_of_conversion(conversion: Conversion) -> dict[str, Any]:
    """Return what is reported beside the fields of the entry; ``None`` where it is not known."""
    return {name: getattr(conversion, name) or None for name in CONVERSION_FIELDS}


def facts_of_attempt(attempt: Attempt) -> dict[str, Any]:
    """Return one line of a trail."""
    return {name: getattr(attempt, name) for name in ("at", "judged", "status", "reason", "answer")}


def facts_of_pause(pause: Pause | None) -> dict[str, Any] | None:
    """Return why nothing is delivered, if so."""
    if pause is None:
        return None
    return {name: getattr(pause, name) for name in ("cause", "reason", "since", "probe_at")}


def moment(at: datetime | None) -> str:
    """Return a moment to the second, in UTC."""
    return "-" if at is None else at.strftime("%Y-%m-%d %H:%M:%SZ")


def shown(value: object) -> str:
    """Return a value as a person reads it, in one line that no terminal obeys."""
    if isinstance(value, datetime):
        return moment(value)
    if value is None or value == "":  # a customer who was erased has no key
        return "-"
    if isinstance(value, tuple):
        return printable(", ".join(value))
    if isinstance(value, Mapping):
        return printable(json.dumps(value, default=plain, ensure_ascii=False))
    return printable(str(value))


def how_many(count: int) -> str:
    """Return so many entries in words."""
    return "1 entry" if count == 1 else f"{count} entries"


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows under headings, in columns, each cell as :func:`shown` would."""
    lines = [headings, *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
