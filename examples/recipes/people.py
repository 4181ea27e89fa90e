"""The recipes' accounts. Yours are in a database."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from uuid import uuid4

from flask import current_app


@dataclass
class Person:
    """An account.

    :param referral: what ``Referral.dumps()`` wrote when they were first seen.
    """

    email: str
    referral: str = ""
    confirmed: bool = False
    public_id: str = field(default_factory=lambda: str(uuid4()))

    # What Flask-Login asks of a user.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return what the session remembers."""
        return self.public_id


def people() -> dict[str, Person]:
    """Return the current app's accounts, by their e-mail address."""
    found: dict[str, Person] = current_app.extensions.setdefault("people", {})
    return found


def find_or_create(email: str) -> tuple[Person, bool]:
    """Return the account with this address, and whether it was made just now."""
    created = email not in people()
    return people().setdefault(email, Person(email)), created
