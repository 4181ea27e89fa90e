"""``deliver``, ``worker``, ``requeue``, ``verify``: what is sent, and looked up."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from .._state import State
from .._state import get_state
from ..engines import ThreadEngine
from ..errors import IllegalTransition
from ..errors import Judgement
from ..ledger import Entry
from ..ledger import Status
from ..settings import DEADLINE
from .choosing import customer_key_argument
from .choosing import utf_8
from .group import in_app
from .group import partnerstack
from .output import facts_of
from .output import facts_of_pause
from .output import how_many
from .output import json_option
from .output import moment
from .output import say_json
from .output import say_json_line
from .progress import LongWork
from .progress import asking


@partnerstack.command("requeue")
@customer_key_argument(required=False)
@click.option("--all", "everything", is_flag=True, help="Every dead entry, or as --status says.")
@click.option(
    "--status",
    type=click.Choice(["dead", "skipped", "parked"]),
    default="dead",
    show_default=True,
    help="With --all: which.",
)
@click.option("--partner", type=utf_8, metavar="KEY", help="With --all: only this partner key.")
@click.option(
    "--reason", type=utf_8, metavar="TEXT", help="With --all: only where the reason contains this."
)
@json_option
@in_app
def requeue(
    customer_key: str | None,
    everything: bool,
    status: str,
    partner: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Make a dead, skipped or parked entry due again: one customer's, or with --all many."""
    if (customer_key is None) is not everything:
        raise click.UsageError("Name one CUSTOMER_KEY, or give --all.")
    ledger = get_state().ledger
    if customer_key is not None:
        entry = _requeued(get_state(), customer_key)
        if as_json:
            say_json(facts_of(entry))
        else:
            click.echo(f"Entry {entry.id} is {entry.status} and due now.")
        _say_off()
        return
    wanted = Status.PENDING if status == "parked" else Status(status)
    count = ledger.requeue_all(status=wanted, partner_key=partner, reason=reason)
    if as_json:
        say_json({"requeued": count})
    else:
        click.echo(f"{how_many(count)} due now.")
    _say_off()


def _say_off() -> None:
    if not get_state().settings.enabled:
        click.echo("It waits: this app delivers nothing, PARTNERSTACK_ENABLED is False.", err=True)


def _requeued(state: State, customer_key: str) -> Entry:
    try:
        return state.ledger.requeue(customer_key)
    except IllegalTransition:
        entry = state.ledger.get(customer_key)
        if entry.status is not Status.PENDING:
            raise
        raise click.ClickException(_why_it_waits(state, entry)) from None


def _why_it_waits(state: State, entry: Entry) -> str:
    if _waits_for_token(state, entry):
        return (
            f"Entry {entry.id} is pending, and waits for a token: set PARTNERSTACK_TOKEN. It is "
            "sent by itself then."
        )
    return (
        f"Entry {entry.id} is pending, and is dealt with by itself at {moment(entry.due_at)} or "
        "soon after. What keeps it, if anything does, says: flask partnerstack check"
    )


def _waits_for_token(state: State, entry: Entry) -> bool:
    is_due = entry.due_at is not None and entry.due_at <= state.ledger.now()
    return entry.status is Status.PENDING and is_due and state.settings.token is None


@partnerstack.command("deliver")
@json_option
@in_app
def deliver(as_json: bool) -> None:
    """Deliver what is due, once, and end. For cron.

    Exit code 1: delivery is paused, or cannot be: without a token, with ENABLED off, in TESTING.
    """
    state = get_state()
    _demand_delivery(state)
    with LongWork("Dealt with") as work:
        while not work.stopped and (jobs := state.dispatcher.take(1)):
            jobs[0]()
            work.advance()
    pause = state.ledger.outlook().pause
    if as_json:
        say_json({"dealt_with": work.done, "pause": facts_of_pause(pause)})
    else:
        click.echo(f"Dealt with {how_many(work.done)}.")
    if pause is not None:
        click.echo(f"Delivery is paused: {pause.reason}.", err=True)
        raise click.exceptions.Exit(1)


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
    if (customer_key is None) is not everything:
        raise click.UsageError("Name one CUSTOMER_KEY, or give --all.")
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


@partnerstack.command("worker")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), help="Sends at once. Default: CONCURRENCY."
)
@in_app
def worker(concurrency: int | None) -> None:
    """Deliver what is due, until it is stopped (Ctrl-C, SIGTERM).

    Any number may share a ledger. Stopped, it finishes what it has claimed, and waits for it 30
    seconds at most; stopped twice, it ends at once. Exit code 1: nothing can be delivered,
    without a token, with ENABLED off, or in TESTING.
    """
    state = get_state()
    _demand_delivery(state)
    concurrency = concurrency or state.settings.concurrency
    engine = ThreadEngine(
        state.dispatcher,
        concurrency=concurrency,
        poll=1.0,
        stop_within=DEADLINE.total_seconds(),
    )
    with _until_stopped() as wait:
        engine.wake()
        click.echo(f"Delivering from {state.ledger.location}. Stop with Ctrl-C.")
        wait()
    click.echo("Finishing what is claimed. Stop again to end at once.")
    engine.stop()
    click.echo("Stopped.")


def _demand_delivery(state: State) -> None:
    """Say it at once when this app delivers nothing."""
    if not state.settings.enabled:
        raise click.ClickException(
            "PARTNERSTACK_ENABLED is False, so nothing is delivered from here. What is pending "
            "waits until it is on again."
        )
    if state.settings.token is None:
        raise click.ClickException(
            "PARTNERSTACK_TOKEN is not set, so nothing can be delivered. See: "
            "flask partnerstack check"
        )
    if state.dispatcher.is_blocked:  # what it claimed would be parked, and wait for a person
        raise click.ClickException(
            "TESTING is on, and in a test nothing is sent but to this machine, so nothing can be "
            "delivered. Switch TESTING off, or set PARTNERSTACK_CONVERSION_URL (and "
            "PARTNERSTACK_API_URL, with a key pair) to the sandbox's."
        )


def _read_until(numbers: Collection[int], reader: socket.socket) -> None:
    """Wait for one of these signals: whatever else has a handler in Python writes its own byte."""
    while reader.recv(1)[0] not in numbers:
        pass


@contextmanager
def _until_stopped() -> Iterator[Callable[[], object]]:
    """Yield what waits for Ctrl-C, SIGTERM or SIGHUP."""
    # Whatever a handler in Python sets, a signal may come just before the wait for it begins, and
    # is then seen when the wait is over. The interpreter's own writes a byte at once:
    # https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno())
    numbers = asking()
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield partial(_read_until, numbers, reader)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        reader.close()
        writer.close()
