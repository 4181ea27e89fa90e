"""What the package says of itself, as Markdown: its settings, its commands, its errors."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import Field
from dataclasses import fields
from datetime import timedelta
from typing import Any

import click

from flask_partnerstack import errors
from flask_partnerstack.cli import partnerstack
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.settings import PREFIX
from flask_partnerstack.settings import Settings

# --- the settings -------------------------------------------------------------------------------

#: Every key by its name without the prefix.
SETTINGS: Mapping[str, Field[Any]] = {field.name.upper(): field for field in fields(Settings)}

#: Values that somebody might try. What a key's error says to those it refuses is on its page.
PROBES: tuple[Any, ...] = (
    object(),
    "pk_live",
    "sk_live",
    "two words",
    "ünïcode",
    "https://user:password@acme.com",
    "ftp://acme.com",
    "http://acme.com",
    "ps_xid",
    "a;b",
    -1,
    1,
    31.0,
    {"4xx": "retry"},
    {404: "ignore"},
)


def all_settings() -> str:
    """Return every key in a table: its default, what it does, and where the rest is told."""
    rows = (
        f"| [`{name}`](#{name.lower()}) | {_default_of(field)} | {_cell(_meaning_of(field))} |"
        for name, field in SETTINGS.items()
    )
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows])


def setting(name: str) -> str:
    """Return one key: its name, type, default, what it does, and what is refused."""
    field = SETTINGS[name]
    lines = [
        f"### `{name}`",
        "",
        _meaning_of(field),
        "",
        f"- Key: {_code(PREFIX + name)}",
        f"- Type: {_code(_type_of(field))}",
        f"- Default: {_default_of(field)}",
        f"- Refused: {', '.join(f'“{said}”' for said in refusals_of(name))}",
        "",
    ]
    return "\n".join(lines)


def _meaning_of(field: Field[Any]) -> str:
    return str(field.metadata["meaning"])


def refusals_of(name: str) -> tuple[str, ...]:
    """Return what a key's errors say of the values that it refuses, each once."""
    found = (_refusal(name, probe) for probe in PROBES)
    return tuple(dict.fromkeys(said for said in found if said is not None))


def _refusal(name: str, value: Any) -> str | None:
    try:
        SETTINGS[name].metadata["parse"](PREFIX + name, value)
    except ConfigurationError as e:
        # What was got is ours, and no reader's.
        said = re.sub(r", got .*?\.?$", "", e.expected).rstrip(".")
        return _with_index(e.key) + said
    return None


def _with_index(key: str) -> str:
    """Return the part of a key that names an item of it: ``STATUS_POLICY[404]: ``."""
    return f"{key.removeprefix(PREFIX)}: " if "[" in key else ""


def _type_of(field: Field[Any]) -> str:
    return re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace(", ", " | "), str(field.type))


def _default_of(field: Field[Any]) -> str:
    default = getattr(Settings(), field.name)
    if isinstance(default, timedelta):
        return f"{_spoken(default)} ({_code(repr(default).removeprefix('datetime.'))})"
    return _code(repr(dict(default) if isinstance(default, Mapping) else default))


def _spoken(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    return f"{duration.days} days" if duration.days else f"{minutes} minutes"


# --- the commands -------------------------------------------------------------------------------

COMMANDS: Mapping[str, click.Command] = partnerstack.commands


def all_commands() -> str:
    """Return every command in a table, with the first sentence of what it does."""
    rows = (
        f"| [`{name}`](#{name}) | {_cell(next(_paragraphs(found.help or '')))} |"
        for name, found in sorted(COMMANDS.items())
    )
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def command(name: str) -> str:
    """Return one command: how it is called, what it does, and each of its options."""
    found = COMMANDS[name]
    context = click.Context(found, info_name=f"flask partnerstack {name}")
    lines = [
        f"### `{name}`",
        "",
        f"```text\n{' '.join(found.get_usage(context).split()).removeprefix('Usage: ')}\n```",
        "",
        *_paragraphs(found.help or ""),
        *_options(found, context),
        "",
    ]
    return "\n".join(lines)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""


def _options(found: click.Command, context: click.Context) -> list[str]:
    rows = [f"| {_code(_cell(name))} | {_cell(told)} |" for name, told in _told(found, context)]
    return ["| option | what it does |", "|---|---|", *rows] if rows else []


def _told(found: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in found.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record and "--help" not in parameter.opts:
            yield record[0], _plain(record[1])


def _plain(text: str) -> str:
    # As Click writes it for a terminal: [default: 50; 1<=x<=10000]
    text = re.sub(r"\s*\[([^\]]*)\]", lambda m: f" ({m[1]})", text).strip()
    return re.sub(r"(\d+)<=x<=(\d+)", r"\1 to \2", text) or "The field of that name."


# --- the errors ---------------------------------------------------------------------------------

ERRORS: Mapping[str, type[Exception]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.PartnerStackError)
}


def error_tree() -> str:
    """Return the drawing at the top of ``flask_partnerstack.errors``."""
    drawn = (inspect.getdoc(errors) or "").partition("::\n\n")[2].partition("\n\n")[0]
    return f"```text\n{textwrap.dedent(drawn)}\n```\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _code(text: str) -> str:
    return f"`{text}`"
