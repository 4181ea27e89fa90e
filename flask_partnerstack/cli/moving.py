"""``move``: from one ledger to another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .._state import get_state
from ..errors import ConfigurationError
from ..errors import LedgerUnavailable
from ..ledger import Move
from ..ledger import Moved
from ..ledger import open_source
from .group import in_app
from .group import partnerstack
from .output import how_many
from .progress import STOPPED

#: Seconds between two lines about how far a move is.
SAY_EVERY = 2.0


@partnerstack.command("move")
@click.option(
    "--from", "source_url", required=True, metavar="URL", help="The ledger that the app had before."
)
@click.option("--anew", is_flag=True, help="Though it was moved before: that ledger is gone.")
@in_app
def move(source_url: str, anew: bool) -> None:
    """Take every entry over from another ledger, which delivers nothing from then on.

    Run it again, also after Ctrl-C, until it finds nothing more to copy.
    """
    state = get_state()
    with _naming_it():
        source = open_source(
            source_url,
            str(state.place.home),
            lease=state.settings.lease,
            clock=state.clock,
        )
    try:
        done = Move(source, state.ledger, tell=_Progress(), anew=anew).run()
    except KeyboardInterrupt:
        click.echo("Stopped. Run it again: it goes on where it was.", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    finally:
        source.storage.close()
    click.echo(f"Moved from {source.storage.location} to {state.ledger.location}:")
    click.echo(f"{how_many(done.copied)} copied, {done.updated} brought up to date, ", nl=False)
    click.echo(f"{done.there} there already.")


@contextmanager
def _naming_it() -> Iterator[None]:
    """Say that the call was wrong, where what it names as the source can be none."""
    try:
        yield
    except ConfigurationError as e:
        if isinstance(e.__cause__, LedgerUnavailable):
            raise
        raise click.UsageError(str(e)) from e


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
        click.echo(f"{how_many(done)} so far{waits} ...", err=True)
