"""``deliver`` and ``worker``: what is due is sent."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from .._state import State
from .._state import get_state
from ..engines import ThreadEngine
from ..settings import DEADLINE
from .group import in_app
from .group import partnerstack
from .output import facts_of_pause
from .output import how_many
from .output import json_option
from .output import say_json
from .progress import LongWork
from .progress import asking


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
        click.echo(f"Delivery is paused: {pause.reason}. See: flask partnerstack check", err=True)
        raise click.exceptions.Exit(1)


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
