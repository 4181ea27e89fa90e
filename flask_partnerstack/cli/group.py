"""The group that all commands belong to, and what each of them runs in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec
from typing import TypeVar

import click
from flask.cli import with_appcontext

from ..errors import InvalidConversion
from ..errors import PartnerStackError

P = ParamSpec("P")
R = TypeVar("R")


@click.group()
def partnerstack() -> None:
    """See and steer what is reported to PartnerStack."""


def in_app(function: Callable[P, R]) -> Callable[P, R]:
    """Run in the app's context; an error of ours is one line and exit code 1, no traceback.

    What was typed wrongly is exit code 2, as everywhere.
    """
    within = with_appcontext(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return within(*args, **kwargs)
        except InvalidConversion as e:
            raise click.UsageError(str(e)) from e
        except PartnerStackError as e:
            raise click.ClickException(str(e)) from e

    return run
