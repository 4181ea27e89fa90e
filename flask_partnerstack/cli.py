"""The ``flask partnerstack`` commands: each a few lines over a method of the same name.

Found through the ``flask.commands`` entry point, without the app doing anything.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from functools import wraps
from typing import ParamSpec
from typing import TypeVar

import click
from flask.cli import with_appcontext

from ._state import State
from ._state import get_state
from .doctor import Finding
from .doctor import examine
from .engines import ThreadEngine
from .errors import PartnerStackError
from .ledger import Cause
from .ledger import Entry
from .ledger import Move
from .ledger import Moved
from .ledger import Pause
from .ledger import Status
from .ledger import open_source
from .sandbox import SandboxSettings
from .sandbox import serve
from .settings import DEADLINE

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds between two lines about how far a move is.
SAY_EVERY = 2.0

_ENTRY_HEADINGS = ("ID", "CUSTOMER", "STATUS", "PARTNER", "XID", "TRIES", "RECORDED", "REASON")
_TRAIL_HEADINGS = ("AT", "JUDGED", "STATUS", "REASON", "ANSWER")


@click.group()
def partnerstack() -> None:
    """See and steer what is reported to PartnerStack."""


def _command(function: Callable[P, R]) -> Callable[P, R]:
    """Run in the app's context; an error of ours is one line and exit code 1, no traceback."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except PartnerStackError as e:
            raise click.ClickException(str(e)) from e

    return with_appcontext(run)


@partnerstack.command("init-db")
@_command
def init_db() -> None:
    """Make the ledger's tables, or bring older ones up to date."""
    ledger = get_state().ledger
    before = ledger.init()
    done = "Made" if before == 0 else "Checked"
    click.echo(f"{done} the tables of the ledger at {ledger.location}.")


@partnerstack.command("status")
@_command
def status() -> None:
    """Count the conversions by state."""
    state = get_state()
    counts = state.ledger.counts()
    click.echo(f"Ledger: {state.ledger.location}")
    _table(
        ("STATUS", "CONVERSIONS"),
        [*((s.value, str(n)) for s, n in counts.items()), ("all", str(sum(counts.values())))],
    )
    oldest = state.ledger.oldest_pending()
    if oldest is not None:
        click.echo(f"Oldest undelivered: recorded {_moment(oldest)}.")
    _say_pause(state.ledger.outlook().pause)


def _say_pause(pause: Pause | None) -> None:
    if pause is not None:
        click.echo(f"Delivery is paused since {_moment(pause.since)}: {pause.reason}.")
        if pause.cause not in (Cause.NO_TOKEN, Cause.MOVING, Cause.MOVED):
            click.echo(f"Next probe: {_moment(pause.probe_at)}, after {pause.probes} so far.")


@partnerstack.command("list")
@click.option("--status", type=click.Choice([s.value for s in Status]), help="Only this state.")
@click.option("--partner", metavar="KEY", help="Only this partner key.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@_command
def list_entries(status: str | None, partner: str | None, limit: int) -> None:
    """List entries, newest first."""
    entries = get_state().ledger.entries(
        status=Status(status) if status else None, partner_key=partner, limit=limit
    )
    _table(_ENTRY_HEADINGS, [_cells(entry) for entry in entries])


@partnerstack.command("show")
@click.argument("customer_key")
@_command
def show(customer_key: str) -> None:
    """Show one customer's entry with its trail."""
    ledger = get_state().ledger
    entry = ledger.get(customer_key)
    for name in Entry.__dataclass_fields__:
        value = getattr(entry, name)
        click.echo(f"{name:13} {_moment(value) if isinstance(value, datetime) else value}")
    trail = ledger.trail(entry)
    click.echo()
    _table(
        _TRAIL_HEADINGS,
        [(_moment(t.at), t.judged.value, str(t.status or "-"), t.reason, t.answer) for t in trail],
    )


@partnerstack.command("requeue")
@click.argument("customer_key", required=False)
@click.option("--all", "everything", is_flag=True, help="Every dead entry, or as --status says.")
@click.option(
    "--status",
    type=click.Choice(["dead", "skipped", "parked"]),
    default="dead",
    show_default=True,
    help="With --all: which.",
)
@click.option("--partner", metavar="KEY", help="With --all: only this partner key.")
@click.option("--reason", metavar="TEXT", help="With --all: only where the reason contains this.")
@_command
def requeue(
    customer_key: str | None,
    everything: bool,
    status: str,
    partner: str | None,
    reason: str | None,
) -> None:
    """Make a dead, skipped or parked entry due again: one customer's, or with --all many."""
    if (customer_key is None) is not everything:
        raise click.UsageError("Name one CUSTOMER_KEY, or give --all.")
    ledger = get_state().ledger
    if customer_key is not None:
        entry = ledger.requeue(customer_key)
        click.echo(f"Entry {entry.id} is {entry.status} and due now.")
        return
    wanted = Status.PENDING if status == "parked" else Status(status)
    count = ledger.requeue_all(status=wanted, partner_key=partner, reason=reason)
    click.echo(f"{_entries(count)} due now.")


@partnerstack.command("deliver")
@_command
def deliver() -> None:
    """Deliver what is due, once, and end. For cron."""
    state = get_state()
    _demand_token(state)
    done = state.dispatcher.run_pass()
    click.echo(f"Dealt with {_entries(done)}.")


@partnerstack.command("worker")
@click.option("--concurrency", type=click.IntRange(1, 64), help="Sends at once.")
@_command
def worker(concurrency: int | None) -> None:
    """Deliver what is due, until it is stopped (Ctrl-C, SIGTERM).

    Any number may share a ledger. Stopped, it finishes the sends under way, which takes 30 seconds
    at most; stopped twice, it ends at once.
    """
    state = get_state()
    _demand_token(state)
    engine = ThreadEngine(
        state.dispatcher,
        concurrency=concurrency or state.settings.concurrency,
        poll=1.0,
        stop_within=DEADLINE.total_seconds(),
    )
    with _until_stopped() as wait:
        engine.wake()
        click.echo(f"Delivering from {state.ledger.location}. Stop with Ctrl-C.")
        wait()
    click.echo("Finishing the sends under way. Stop again to end at once.")
    engine.stop()
    click.echo("Stopped.")


@partnerstack.command("move")
@click.option(
    "--from", "source_url", required=True, metavar="URL", help="The ledger that the app had before."
)
@click.option("--anew", is_flag=True, help="Though it was moved before: that ledger is gone.")
@_command
def move(source_url: str, anew: bool) -> None:
    """Take every entry over from another ledger, which delivers nothing from then on.

    Run it again, also after Ctrl-C, until it finds nothing more to copy.
    """
    state = get_state()
    source = open_source(
        source_url,
        str(state.place.home),
        lease=state.settings.lease,
        clock=state.clock,
    )
    try:
        done = Move(source, state.ledger, tell=_Progress(), anew=anew).run()
    except KeyboardInterrupt:
        raise click.ClickException("Stopped. Run it again: it goes on where it was.") from None
    finally:
        source.storage.close()
    click.echo(f"Moved from {source.storage.location} to {state.ledger.location}:")
    click.echo(f"{_entries(done.copied)} copied, {done.updated} brought up to date, ", nl=False)
    click.echo(f"{done.there} there already.")


class _Progress:
    """Says how far a move is, every other second."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, moved: Moved) -> None:
        if time.monotonic() - self._said_at < SAY_EVERY:
            return
        self._said_at = time.monotonic()
        done = moved.copied + moved.updated + moved.there
        waits = f", waiting for {moved.sending} being sent there" if moved.sending else ""
        click.echo(f"{_entries(done)} so far{waits} ...", err=True)


@partnerstack.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--landing",
    default="http://127.0.0.1:5000/",
    show_default=True,
    help="Where its partner links lead.",
)
def sandbox(host: str, port: int, landing: str) -> None:
    """Serve a fake PartnerStack on this machine. Needs no app."""
    try:
        serve(host, port, settings=SandboxSettings(landing=landing), ready=_say_where)
    except (OSError, ValueError) as e:
        raise click.ClickException(str(e)) from e


def _say_where(url: str) -> None:
    click.echo(f"The sandbox is open at {url}. Stop with Ctrl-C.")
    click.echo(f"A partner's link:       {url}/l/ann")
    click.echo("Point your app at it:   PARTNERSTACK_TOKEN=sandbox-token")
    click.echo(f"                        PARTNERSTACK_CONVERSION_URL={url}/conversion/xid")
    click.echo(f"                        PARTNERSTACK_API_URL={url}")


@partnerstack.command("check")
@_command
def check() -> None:
    """Say whether this app is set up right, and what to do where it is not."""
    findings = examine(get_state())
    for finding in findings:
        _say(finding)
    if any(finding.level == "error" for finding in findings):
        raise click.exceptions.Exit(1)


_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def _say(finding: Finding) -> None:
    click.secho(f"{finding.level:8}", fg=_COLOURS[finding.level], nl=False)
    click.echo(finding.what)
    if finding.way_out:
        click.echo(f"        {finding.way_out}")


def _demand_token(state: State) -> None:
    if state.settings.token is None:
        raise click.ClickException(
            "PARTNERSTACK_TOKEN is not set, so nothing can be delivered. See: "
            "flask partnerstack check"
        )


@contextmanager
def _until_stopped() -> Iterator[Callable[[], object]]:
    """Yield what waits for Ctrl-C or SIGTERM."""
    # Whatever a handler in Python sets, a signal may come just before the wait for it begins, and
    # is then seen when the wait is over. The interpreter's own writes a byte at once:
    # https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno())
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield partial(reader.recv, 1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        reader.close()
        writer.close()


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.id),
        entry.customer_key,
        entry.status.value,
        entry.partner_key or "-",
        entry.xid,
        str(entry.attempts),
        _moment(entry.recorded_at),
        entry.reason or "",
    )


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
