"""``verify``: what was delivered is looked up now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator

import click

from .._state import State
from .._state import get_state
from ..errors import Judgement
from ..ledger import Entry
from ..ledger import Status
from .choosing import check_one_or_all
from .choosing import customer_key_argument
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import how_many
from .output import json_option
from .output import say_json_line
from .progress import LongWork


@partnerstack.command("verify")
@customer_key_argument(required=False)
@click.option("--all", "everything", is_flag=True, help="All of that state.")
@click.option(
    "--status",
    type=click.Choice(["delivered", "pending"]),
    default="delivered",
    show_default=True,
    help="Pending: who waits to be sent, and is not where PartnerStack has them already.",
)
@json_option
@in_app
def verify(customer_key: str | None, everything: bool, status: str, as_json: bool) -> None:
    """Look delivered conversions up at PartnerStack now: one customer's, or with --all each.

    Needs the key pair. Who is found is verified; nobody is given up by it, and nothing is sent.
    What was found is said at once, with --json in a line of its own. Exit code 1: somebody
    delivered was not found, or of somebody it cannot be told.
    """
    check_one_or_all(customer_key, everything=everything)
    state, wanted = get_state(), Status(status)
    looked_up = (
        _verify_all(state, wanted)
        if customer_key is None
        else _verify_one(state, customer_key, wanted)
    )
    say = _say_found_as_json if as_json else _say_found
    tally = Counter[Judgement]()
    for entry, found in looked_up:
        say(entry, found)
        tally[found] += 1
    if not as_json:
        click.echo(f"Found {tally[Judgement.FOUND]} of {how_many(tally.total())}.")
    # Who waits to be sent is not expected to be there.
    fine = {Judgement.FOUND, *([Judgement.MISSING] if wanted is Status.PENDING else [])}
    if tally.keys() - fine:
        raise click.exceptions.Exit(1)


def _verify_one(
    state: State, customer_key: str, status: Status
) -> Iterable[tuple[Entry, Judgement]]:
    entry = state.ledger.get(customer_key)
    if entry.status is Status.VERIFIED:
        return [(entry, Judgement.FOUND)]
    if entry.status is not status:
        raise click.ClickException(
            f"Entry {entry.id} is {entry.status}, and only what is {status} is looked up."
        )
    looked_up = state.dispatcher.verify_next(status=status, customer_key=customer_key)
    if looked_up is None:
        raise click.ClickException(f"Entry {entry.id} is being dealt with just now, or is erased.")
    return [looked_up]


def _verify_all(state: State, status: Status) -> Iterator[tuple[Entry, Judgement]]:
    last = 0
    with LongWork("Looked up", state.ledger.counts()[status]) as work:
        while not work.stopped and (
            found := state.dispatcher.verify_next(status=status, after_id=last)
        ):
            last = found[0].id
            yield found
            work.advance()


def _say_found(entry: Entry, found: Judgement) -> None:
    if found is not Judgement.FOUND:
        click.echo(f"{found.value:12} entry {entry.id}, {entry.customer_key}")
    elif entry.test:
        click.echo(f"{'test':12} entry {entry.id}, {entry.customer_key}: pays nobody")


def _say_found_as_json(entry: Entry, found: Judgement) -> None:
    say_json_line({**facts_of(entry), "found": found.value})
