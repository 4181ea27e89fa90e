"""The group that all commands belong to, and what each of them runs in."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from functools import wraps
from typing import ParamSpec
from typing import TypeVar

import click
from flask.cli import with_appcontext

from ..errors import InvalidConversion
from ..errors import PartnerStackError
from .progress import STOPPED

P = ParamSpec("P")
R = TypeVar("R")


@click.group()
def partnerstack() -> None:
    """See and steer what is reported to PartnerStack."""
    _spell_out(sys.stdout)


def _spell_out(output: object) -> None:
    """Have an output write what it has no letters for as escapes: one of Windows, for one."""
    if isinstance(output, io.TextIOWrapper) and codecs.lookup(output.encoding).name != "utf-8":
        output.reconfigure(errors="backslashreplace")


def in_app(function: Callable[P, R]) -> Callable[P, R]:
    """Run in the app's context; an error of ours is one line and exit code 1, no traceback.

    What was typed wrongly is exit code 2, as everywhere.
    """
    # Around the command only: where the app itself fails to load, its traceback is what helps.
    within = with_appcontext(in_words()(function))

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return within(*args, **kwargs)
        except InvalidConversion as e:
            raise click.UsageError(f"{_as_typed(e.field)}: {e.expected}") from e
        except PartnerStackError as e:
            raise click.ClickException(str(e)) from e

    return run


def _as_typed(field: str) -> str:
    """Return a conversion's field as the current command has it typed: ``--ip-address``."""
    for parameter in click.get_current_context().command.params:
        if parameter.name == field:
            is_option = isinstance(parameter, click.Option)
            return parameter.opts[0] if is_option else parameter.human_readable_name
    return field


@contextmanager
def in_words() -> Iterator[None]:
    """Say in one line that nothing can be read or written, or that it was stopped by Ctrl-C."""
    try:
        yield
    except BrokenPipeError:  # who reads has seen enough; Click ends quietly then
        raise
    except OSError as e:
        _forget_what_is_unwritten()
        raise click.ClickException(f"Nothing more can be read or written: {e}.") from e
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        raise click.exceptions.Exit(STOPPED) from None


def _forget_what_is_unwritten() -> None:
    # At its end the interpreter would try again, and say so with a code of its own.
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            sys.stdout.close()
