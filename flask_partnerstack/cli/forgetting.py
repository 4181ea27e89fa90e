"""``prune`` and ``erase``: personal data that is not needed any more."""

from __future__ import annotations

from datetime import timedelta

import click

from .._state import get_state
from ..erasing import erase_customer
from ..ledger import Ledger
from ..ledger import Status
from .choosing import customer_key_argument
from .choosing import duration
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import how_many
from .output import json_option
from .output import say_json
from .progress import LongWork
from .recording import say_where_moved

#: Entries that are pruned in one transaction.
BATCH = 500


@partnerstack.command("prune")
@click.option(
    "--older-than",
    type=duration,
    metavar="DAYS",
    help="Days since it was settled, or 12h. Default: RETENTION.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@json_option
@in_app
def prune(older_than: timedelta | None, dry_run: bool, as_json: bool) -> None:
    """Remove the personal data of entries that were settled long ago.

    E-mail address, name, IP address, agent, custom fields and stored answers are gone for good;
    that there was a conversion, whose, when and by which partner, stays. Exit code 1 in a ledger
    that was moved: prune where it went as well.
    """
    state = get_state()
    age = state.settings.retention if older_than is None else older_than
    if age is None:
        raise click.UsageError("PARTNERSTACK_RETENTION is not set. Give --older-than DAYS.")
    count = state.ledger.prunable(age) if dry_run else _prune(state.ledger, age)
    if as_json:
        say_json({"pruned": 0 if dry_run else count, "prunable": count if dry_run else 0})
    else:
        click.echo(f"{'Would prune' if dry_run else 'Pruned'} {how_many(count)}.")
    if say_where_moved():
        raise click.exceptions.Exit(1)


def _prune(ledger: Ledger, age: timedelta) -> int:
    with LongWork("Pruned", ledger.prunable(age)) as work:
        while not work.stopped and (pruned := ledger.prune(age, limit=BATCH)):
            work.advance(pruned)
    return work.done


@partnerstack.command("erase")
@customer_key_argument()
@json_option
@in_app
def erase(customer_key: str, as_json: bool) -> None:
    """Empty what is known of one customer, for good.

    Key, e-mail address, name, IP address, agent and stored answers, in the entry, its trail and
    the search. What is pending is not sent any more. PartnerStack's own record is not touched.
    Exit code 1 in a ledger that was moved: erase where it went as well.
    """
    entry = erase_customer(customer_key)
    if as_json:
        say_json(facts_of(entry))
        return
    click.echo(f"Entry {entry.id} is erased; it is {entry.status}.")
    if entry.status is not Status.SKIPPED:
        click.echo("PartnerStack may know this customer: ask for it to be erased there, too.")
