"""``requeue``: what is dead, skipped or parked is due again."""

from __future__ import annotations

from collections.abc import Mapping

import click

from .._state import State
from .._state import get_state
from ..errors import IllegalTransition
from ..ledger import Entry
from ..ledger import Status
from .choosing import check_one_or_all
from .choosing import customer_key_argument
from .choosing import utf_8
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import how_many
from .output import json_option
from .output import moment
from .output import say_json


@partnerstack.command("requeue")
@customer_key_argument(required=False)
@click.option("--all", "everything", is_flag=True, help="Every dead entry, or as --status says.")
@click.option(
    "--status",
    type=click.Choice(["dead", "skipped", "parked"]),
    help="With --all: which. Default: dead.",
)
@click.option("--partner", type=utf_8, metavar="KEY", help="With --all: only this partner key.")
@click.option(
    "--reason", type=utf_8, metavar="TEXT", help="With --all: only where the reason contains this."
)
@json_option
@in_app
def requeue(
    customer_key: str | None, everything: bool, as_json: bool, **narrowed: str | None
) -> None:
    """Make a dead, skipped or parked entry due again: one customer's, or with --all many."""
    check_one_or_all(customer_key, everything=everything)
    if customer_key is None:
        _requeue_all(as_json=as_json, **narrowed)
    else:
        _refuse_choice(narrowed)
        _requeue_one(customer_key, as_json=as_json)
    if not get_state().settings.enabled:
        click.echo("It waits: this app delivers nothing, PARTNERSTACK_ENABLED is False.", err=True)


def _refuse_choice(narrowed: Mapping[str, str | None]) -> None:
    for option, value in narrowed.items():
        if value is not None:
            raise click.UsageError(f"--{option}: expected with --all only, which chooses by it.")


def _requeue_all(
    *, status: str | None, partner: str | None, reason: str | None, as_json: bool
) -> None:
    wanted = Status.PENDING if status == "parked" else Status(status or "dead")
    count = get_state().ledger.requeue_all(status=wanted, partner_key=partner, reason=reason)
    if as_json:
        say_json({"requeued": count})
    else:
        click.echo(f"{how_many(count)} due now.")


def _requeue_one(customer_key: str, *, as_json: bool) -> None:
    entry = _requeued(get_state(), customer_key)
    if as_json:
        say_json(facts_of(entry))
    else:
        click.echo(f"Entry {entry.id} is {entry.status} and due now.")


def _requeued(state: State, customer_key: str) -> Entry:
    try:
        return state.ledger.requeue(customer_key)
    except IllegalTransition:
        entry = state.ledger.get(customer_key)
        if entry.status is not Status.PENDING:
            raise
        raise click.ClickException(f"Entry {entry.id} is pending{_waits(state, entry)}") from None


def _waits(state: State, entry: Entry) -> str:
    """Return what a pending entry waits for, as the end of a sentence."""
    if entry.due_at is not None and entry.due_at > state.ledger.now():
        return (
            f", and is dealt with by itself at {moment(entry.due_at)} or soon after. What keeps "
            "it, if anything does, says: flask partnerstack check"
        )
    if state.settings.token is None:
        return ", and waits for a token: set PARTNERSTACK_TOKEN. It is sent by itself then."
    return (
        " and due already: the site, its worker or cron sends it. Now, by hand: "
        "flask partnerstack deliver"
    )
