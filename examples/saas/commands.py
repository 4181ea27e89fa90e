"""``flask --app examples.saas add-admin``."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from .users import TEAM
from .users import EmailTaken
from .users import get_users


@click.command("add-admin")
@click.argument("email")
@click.password_option()
@with_appcontext
def add_admin(email: str, password: str) -> None:
    """Make an account that may approve others."""
    try:
        get_users().add(email=email, name="Admin", password=password, plan=TEAM, is_admin=True)
    except EmailTaken as e:
        raise click.ClickException(f"There is an account with the address {email}.") from e
    click.echo(f"{email} can log in at /login.")
