"""``status``, ``list``, ``show``: what became of the conversions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import click

from .._state import get_state
from ..ledger import Entry
from ..ledger import Filter
from ..ledger import Pause
from ..ledger import Status
from .choosing import choosing
from .choosing import customer_key_argument
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import facts_of_attempt
from .output import facts_of_conversion
from .output import facts_of_pause
from .output import json_option
from .output import moment
from .output import say_json
from .output import shown
from .output import table

_ENTRY_HEADINGS = ("ID", "CUSTOMER", "STATUS", "PARTNER", "XID", "TRIES", "RECORDED", "REASON")
_TRAIL_HEADINGS = ("AT", "JUDGED", "STATUS", "REASON", "ANSWER")


@partnerstack.command("status")
@json_option
@in_app
def status(as_json: bool) -> None:
    """Count the conversions by state."""
    state = get_state()
    ledger = state.ledger
    standing = _Standing(
        ledger.location,
        ledger.counts(),
        ledger.oldest_pending(),
        ledger.outlook().pause,
        state.settings.enabled,
    )
    if as_json:
        _say_status_as_json(standing)
    else:
        _say_status(standing)


class _Standing(NamedTuple):
    """How delivery stands.

    :param oldest: when the oldest that is not delivered was recorded.
    :param is_enabled: this app delivers.
    """

    location: str
    counts: Mapping[Status, int]
    oldest: datetime | None
    pause: Pause | None
    is_enabled: bool


def _say_status_as_json(standing: _Standing) -> None:
    say_json(
        {
            "ledger": standing.location,
            "conversions": {status.value: count for status, count in standing.counts.items()},
            "all": sum(standing.counts.values()),
            "oldest_undelivered": standing.oldest,
            "pause": facts_of_pause(standing.pause),
            "enabled": standing.is_enabled,
        }
    )


def _say_status(standing: _Standing) -> None:
    click.echo(f"Ledger: {standing.location}")
    rows = [(status.value, str(count)) for status, count in standing.counts.items()]
    table(("STATUS", "CONVERSIONS"), [*rows, ("all", str(sum(standing.counts.values())))])
    if standing.oldest is not None:
        click.echo(f"Oldest undelivered: recorded {moment(standing.oldest)}.")
    if standing.pause is not None:
        _say_pause(standing.pause, is_probed_here=standing.is_enabled)
    if not standing.is_enabled:
        click.echo("This app delivers nothing: PARTNERSTACK_ENABLED is False.")


def _say_pause(pause: Pause, *, is_probed_here: bool) -> None:
    click.echo(f"Delivery is paused since {moment(pause.since)}: {pause.reason}.")
    if pause.is_probed and is_probed_here:
        click.echo(f"Next probe: {moment(pause.probe_at)}, after {pause.probes} so far.")


@partnerstack.command("list")
@in_app
@choosing
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_entries(wanted: Filter, limit: int, as_json: bool) -> None:
    """List entries, newest first."""
    found = get_state().ledger.newest(wanted, limit=limit + 1)
    entries = found[:limit]
    if as_json:
        say_json([facts_of(entry) for entry in entries])
        return
    table(_ENTRY_HEADINGS, [_cells(entry) for entry in entries])
    if len(found) > limit:
        click.echo("There are more: raise --limit, or export them.", err=True)


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.id),
        entry.customer_key or "-",
        entry.status.value,
        entry.partner_key or "-",
        entry.xid,
        str(entry.attempts),
        moment(entry.recorded_at),
        entry.reason or "",
    )


@partnerstack.command("show")
@customer_key_argument()
@json_option
@in_app
def show(customer_key: str, as_json: bool) -> None:
    """Show one customer's entry with its trail."""
    ledger = get_state().ledger
    entry = ledger.get(customer_key)
    reported = facts_of_conversion(ledger.conversion_of(entry))
    trail = ledger.trail(entry)
    if as_json:
        say_json({**facts_of(entry), **reported, "trail": [facts_of_attempt(t) for t in trail]})
        return
    for name, value in {**facts_of(entry), **_known(reported)}.items():
        click.echo(f"{name:13} {shown(value)}")
    click.echo()
    table(
        _TRAIL_HEADINGS,
        [(moment(t.at), t.judged.value, str(t.status or "-"), t.reason, t.answer) for t in trail],
    )


def _known(reported: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in reported.items() if value is not None}
