"""A signup of the shop: one commit for user and conversion, delivered by its Celery."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from flask import Flask
from sqlalchemy import func
from sqlalchemy import select

from examples.postgres_celery.extensions import db
from examples.postgres_celery.users import User
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.kit import XID

PATIENCE = 60.0
JO = {"name": "Jo", "email": "jo@example.com"}


def count_users(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(User)) or 0


def count_conversions(app: Flask) -> int:
    return sum(app.extensions["partnerstack"].ledger.counts().values())


@pytest.mark.usefixtures("worker")
def test_a_referred_signup_is_delivered_by_celery(app: Flask, sandbox: SandboxProcess) -> None:
    """From the partner's link to PartnerStack, by way of PostgreSQL, Redis and a worker."""
    visitor = app.test_client()
    assert "friend of" in visitor.get(f"/?{LANDING}").text
    assert visitor.post("/signup", data=JO).location == "/welcome"
    deadline = time.monotonic() + PATIENCE
    while not sandbox.received():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # another process's doing: there is nothing to be woken by
    (received,) = sandbox.received()
    assert (received["body"]["xid"], received["body"]["email"]) == (XID, JO["email"])


def test_a_click_without_a_partner_greets_nobody(app: Flask) -> None:
    """The page names a partner only where the link did."""
    assert "friend of" not in app.test_client().get(f"/?ps_xid={XID}").text


def test_a_signup_that_fails_leaves_neither(app: Flask) -> None:
    """An e-mail address that is taken: no second user, and no second conversion."""
    for status in (302, 409):
        visitor = app.test_client()
        visitor.get(f"/?{LANDING}")
        assert visitor.post("/signup", data=JO).status_code == status
    assert (count_users(app), count_conversions(app)) == (1, 1)


def test_who_came_by_themselves_is_nobodys_conversion(app: Flask) -> None:
    """A user, and nothing to report."""
    assert app.test_client().post("/signup", data=JO).location == "/welcome"
    assert (count_users(app), count_conversions(app)) == (1, 0)


@pytest.mark.usefixtures("environment")
def test_the_migration_makes_the_tables_of_the_models() -> None:
    """Flask-Migrate finds nothing to add, neither to the shop's tables nor to the ledger's."""
    command = [sys.executable, "-m", "flask", "db", "check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
