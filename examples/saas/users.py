"""``Users``: the app's own database, which has nothing to do with PartnerStack's ledger.

All it holds of PartnerStack is one text per user: the referral they came with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from uuid import uuid4

from flask import current_app
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash

from flask_partnerstack import Referral

STARTER = "starter"
TEAM = "team"

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    plan TEXT NOT NULL,
    approved INTEGER NOT NULL,
    is_admin INTEGER NOT NULL,
    referral TEXT NOT NULL
)
"""
INSERT = """
INSERT INTO users
    (public_id, email, name, password_hash, plan, approved, is_admin, referral)
VALUES
    (:public_id, :email, :name, :password_hash, :plan, :approved, :is_admin, :referral)
RETURNING *
"""


class EmailTaken(Exception):
    """When there is a user with this e-mail address already."""


@dataclass(frozen=True, kw_only=True)
class User:
    """One account.

    :param public_id: what the world calls them, and their customer key at PartnerStack. Random,
        because ``id`` starts at 1 again in the next database and may be given out twice.
    :param referral: what :meth:`Referral.dumps` wrote when they signed up.
    """

    id: int
    public_id: str
    email: str
    name: str
    password_hash: str = field(repr=False)
    plan: str
    approved: bool
    is_admin: bool
    referral: str

    # What Flask-Login asks of a user.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return what the session remembers."""
        return self.public_id

    def has_password(self, password: str) -> bool:
        """Say whether this is their password."""
        return check_password_hash(self.password_hash, password)

    @property
    def partner_key(self) -> str | None:
        """Who recommended us to them."""
        return Referral.loads(self.referral).partner_key


class Users:
    """All accounts, in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(
        self,
        *,
        email: str,
        name: str,
        password: str,
        plan: str,
        referral: str = "",
        is_admin: bool = False,
    ) -> User:
        """Make an account; the Team plan waits for an admin's approval.

        :raises EmailTaken: there is one with this address.
        """
        values = {
            "public_id": str(uuid4()),
            "email": email,
            "name": name,
            "password_hash": generate_password_hash(password),
            "plan": plan,
            "approved": is_admin or plan != TEAM,
            "is_admin": is_admin,
            "referral": referral,
        }
        try:
            with self._open() as database:
                return _user(database.execute(INSERT, values).fetchone())
        except sqlite3.IntegrityError as e:
            raise EmailTaken(email) from e

    def approve(self, public_id: str) -> None:
        """Let somebody on the Team plan in."""
        with self._open() as database:
            database.execute("UPDATE users SET approved = 1 WHERE public_id = ?", (public_id,))

    def get(self, public_id: str) -> User | None:
        """Return the user, or ``None``."""
        return self._find("SELECT * FROM users WHERE public_id = ?", public_id)

    def by_email(self, email: str) -> User | None:
        """Return the user with this address, or ``None``."""
        return self._find("SELECT * FROM users WHERE email = ?", email)

    def newest_first(self) -> list[User]:
        """Return everybody who signed up."""
        with self._open() as database:
            rows = database.execute("SELECT * FROM users WHERE NOT is_admin ORDER BY id DESC")
            return [_user(row) for row in rows]

    def _find(self, query: str, value: str) -> User | None:
        with self._open() as database:
            row = database.execute(query, (value,)).fetchone()
            return None if row is None else _user(row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # The inner context commits, or rolls back; the outer one closes.
        with closing(sqlite3.connect(self._path)) as database, database:
            database.row_factory = sqlite3.Row
            database.execute(SCHEMA)
            yield database


def _user(row: sqlite3.Row) -> User:
    flags = {name: bool(row[name]) for name in ("approved", "is_admin")}
    return User(**{**dict(row), **flags})


def get_users() -> Users:
    """Return the current app's accounts."""
    return Users(Path(current_app.instance_path) / "users.db")


def load_user(public_id: str) -> User | None:
    """Return whoever the session remembers; for Flask-Login."""
    return get_users().get(public_id)
