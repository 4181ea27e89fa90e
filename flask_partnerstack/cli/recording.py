"""``track``: one conversion by hand, for a signup that was missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from .._state import EXTENSION
from .._state import get_state
from .._state import this_app
from ..conversion import Conversion
from ..engines import NoEngine
from ..errors import EntryNotFound
from ..ledger import ERASED
from ..ledger import Cause
from ..ledger import Entry
from ..ledger import comes_again
from ..ledger import is_parked
from ..ledger import is_stuck
from ..masking import masked
from ..referral import Referral
from ..tracking import track_conversion
from .choosing import customer_key_argument
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import json_option
from .output import say_json


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise click.BadParameter('expected a JSON object, like {"company": "Acme"}.')
    return content


@partnerstack.command("track")
@customer_key_argument()
@click.option("--xid", required=True, help="The click, as the ERROR line in the log has it.")
@click.option(
    "--partner", "partner_key", metavar="KEY", help="The partner key, for your own reports."
)
@click.option("--email")
@click.option("--name")
@click.option("--provider-key", help="The payment provider's ID of the customer.")
@click.option("--origin", help="The host of the signup.")
@click.option("--ip-address", help="The customer's.")
@click.option("--user-agent", help="The customer's.")
@click.option("--external-type")
@click.option("--sub-id", "sub_ids", multiple=True, help="May be given more than once.")
@click.option("--meta", type=json_object, metavar="JSON", help="Custom fields, as a JSON object.")
@json_option
@in_app
def track(
    customer_key: str, xid: str, partner_key: str | None, as_json: bool, **fields: Any
) -> None:
    """Record one conversion by hand, for a signup that was missed.

    Whoever delivers for the site delivers it. A second time does no harm: a customer key is
    recorded once. Exit code 1: it is recorded, but will not be delivered, and why is said; one
    that is dead or parked is sent again by requeue.
    """
    demand_enabled()
    Conversion.of(customer_key=customer_key, xid=xid, partner_key=partner_key, **fields)
    known = _entry_of(customer_key)
    entry = record_quietly(customer_key, xid, partner_key, fields)
    if as_json:
        say_json({**facts_of(entry), "new": known is None or comes_again(known)})
    else:
        click.echo(_told(customer_key, entry, known))
    moved = say_where_moved()
    if moved or is_stuck(entry):
        raise click.exceptions.Exit(1)


def _told(customer_key: str, entry: Entry, known: Entry | None) -> str:
    if is_stuck(entry):
        return f"Entry {entry.id} is {_stuck_as(entry)}, and will not be sent: {entry.reason}."
    if known is not None and not comes_again(known):
        # As it was typed: an entry that was erased knows its customer no more.
        return f"Nothing to do: {masked(customer_key)} is entry {entry.id}, {_state_of(entry)}."
    return f"Recorded entry {entry.id}: customer {masked(entry.customer_key)}, xid {entry.xid}."


def _state_of(entry: Entry) -> str:
    return f"{entry.status} and {ERASED}" if entry.reason == ERASED else entry.status.value


def _stuck_as(entry: Entry) -> str:
    return "parked" if is_parked(entry) else entry.status.value


def _entry_of(customer_key: str) -> Entry | None:
    try:
        return get_state().ledger.get(customer_key)
    except EntryNotFound:
        return None


def record_quietly(
    customer_key: str, xid: str, partner_key: str | None, fields: dict[str, Any]
) -> Entry:
    """Record a conversion, and leave its delivery to whoever delivers for the site.

    A process that ends at once must not begin to send.

    :raises InvalidConversion: naming the field that cannot be reported.
    """
    referral = Referral(xid, partner_key=partner_key, source="stored")
    with _nobody_delivering():
        entry = track_conversion(customer_key, referral=referral, **fields)
    assert entry is not None  # noqa: S101 - there is a click, and the app is switched on
    return entry


def demand_enabled() -> None:
    """Say it at once when nothing can be recorded."""
    if not get_state().settings.enabled:
        raise click.ClickException("PARTNERSTACK_ENABLED is False, so nothing is recorded.")


def say_where_moved() -> bool:
    """Say it when nothing is delivered from this ledger any more, and whether it is so."""
    ledger = get_state().ledger
    pause = ledger.outlook().pause
    if pause is None or pause.cause is not Cause.MOVED:
        return False
    click.echo(f"Nothing is delivered from {ledger.location}: it was {pause.reason}.", err=True)
    return True


@contextmanager
def _nobody_delivering() -> Iterator[None]:
    app = this_app()
    state = get_state()
    app.extensions[EXTENSION] = replace(state, engine=NoEngine())
    try:
        yield
    finally:
        app.extensions[EXTENSION] = state
