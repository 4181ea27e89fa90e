"""The options that say which entries: by state, partner, customer and time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from functools import wraps
from typing import Any
from typing import TypeVar

import click

from .._state import get_state
from ..ledger import Filter
from ..ledger import Status
from ..settings import LONGEST_DURATION

F = TypeVar("F", bound=Callable[..., Any])


def utf_8(text: str) -> str:
    """Read what a ledger can look for: a shell hands on any bytes, a database takes text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("expected UTF-8.") from None
    return text


def customer_key_argument(**options: Any) -> Callable[[F], F]:
    """Return the argument that names one customer.

    :param options: of :func:`click.argument`: ``required=False`` where there is ``--all`` as well.
    """
    return click.argument("customer_key", type=utf_8, **options)


def check_one_or_all(customer_key: str | None, *, everything: bool) -> None:
    """Make sure that either one customer is named or all are meant.

    :raises click.UsageError: neither, or both.
    """
    if (customer_key is None) is not everything:
        raise click.UsageError("Name one CUSTOMER_KEY, or give --all.")


_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta | None:
    """Return how long ``90d`` is, or ``12h``, ``30m``, ``2w``; ``None`` for anything else."""
    found = _AGO.fullmatch(text.strip())
    if found is None:
        return None
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if length > LONGEST_DURATION:
        raise click.BadParameter(f"{text!r}: expected {LONGEST_DURATION.days} days at most.")
    return length


def moment_or_ago(text: str) -> datetime | timedelta:
    """Read a day, a moment (UTC unless told), or how long before now it is."""
    ago = span(text)
    if ago is not None:
        return ago
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: expected a day (2026-03-01), a moment in UTC (2026-03-01T12:30) or how "
            "long ago (30m, 12h, 7d, 2w)."
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def duration(text: str) -> timedelta:
    """Read how long: a number of days, or 90d, 12h, 2w."""
    length = span(f"{text}d" if text.isdecimal() else text)
    if length is None:
        raise click.BadParameter(f"{text!r}: expected days (90), or 12h, 90d, 2w.")
    return length


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose entries; the command gets them as one filter, ``wanted``.

    Below :func:`.in_app`: how long ago something was is asked of the app's clock.
    """

    @wraps(command)
    def run(
        *,
        status: str | None,
        partner: str | None,
        customer: str,
        since: datetime | timedelta | None,
        until: datetime | timedelta | None,
        **others: Any,
    ) -> Any:
        wanted = Filter(
            status=Status(status) if status else None,
            partner_key=partner,
            search=customer,
            since=_at(since),
            until=_at(until),
        )
        return command(wanted=wanted, **others)

    chosen: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        chosen = option(chosen)
    return chosen


_OPTIONS = (
    click.option("--status", type=click.Choice([s.value for s in Status]), help="Only this state."),
    click.option("--partner", type=utf_8, metavar="KEY", help="Only this partner key."),
    click.option(
        "--customer",
        type=utf_8,
        metavar="TEXT",
        default="",
        help="Only where customer key, e-mail address, name, click or partner contains this.",
    ),
    click.option(
        "--since",
        type=moment_or_ago,
        metavar="WHEN",
        help="Recorded then or later: 2026-03-01, 7d.",
    ),
    click.option("--until", type=moment_or_ago, metavar="WHEN", help="Recorded before then."),
)


def _at(moment: datetime | timedelta | None) -> datetime | None:
    return get_state().clock() - moment if isinstance(moment, timedelta) else moment
