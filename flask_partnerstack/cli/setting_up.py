"""``init-db`` and ``sandbox``: what there must be before anything can be seen."""

from __future__ import annotations

import click

from .._state import get_state
from ..sandbox import SandboxSettings
from ..sandbox import serve
from .group import in_app
from .group import in_words
from .group import partnerstack


@partnerstack.command("init-db")
@in_app
def init_db() -> None:
    """Make the ledger's tables, or bring older ones up to date."""
    ledger = get_state().ledger
    before = ledger.init()
    done = "Made" if before == 0 else "Checked"
    click.echo(f"{done} the tables of the ledger at {ledger.location}.")


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
    except ValueError as e:  # which begins with the name of the option
        raise click.UsageError(f"--{e}") from e
    except OSError as e:
        raise click.ClickException(str(e)) from e


@in_words()
def _say_where(url: str) -> None:
    click.echo(f"The sandbox is open at {url}. Stop with Ctrl-C.")
    click.echo(f"A partner's link:       {url}/l/ann")
    click.echo("Point your app at it:   PARTNERSTACK_TOKEN=sandbox-token")
    click.echo(f"                        PARTNERSTACK_CONVERSION_URL={url}/conversion/xid")
    click.echo(f"                        PARTNERSTACK_API_URL={url}")
    settings = SandboxSettings()
    click.echo(f"To have it looked up:   PARTNERSTACK_PUBLIC_KEY={settings.public_key}")
    click.echo(f"                        PARTNERSTACK_SECRET_KEY={settings.secret_key}")
    click.echo(f"PartnerStackJS:         PARTNERSTACK_SCRIPT_URL={url}/pr/js")
