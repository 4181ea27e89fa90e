"""A person's browser, as far as these tests need one."""

from __future__ import annotations

import re

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery"


class Browser:
    """One person's browser: keeps cookies, and sends the forms that it was shown."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()

    def arrive_by_link(self, xid: str, partner_key: str = "YWRh") -> TestResponse:
        """Land as a partner's link leads; the partner is ada."""
        return self.client.get(f"/?ps_partner_key={partner_key}&ps_xid={xid}")

    def sign_up(self, **fields: str) -> TestResponse:
        """Send a good signup form, or one spoilt by the arguments."""
        form = {
            "name": "Grace Hopper",
            "email": "grace@example.com",
            "password": PASSWORD,
            "plan": "starter",
        }
        return self.send("/signup", **{**form, **fields})

    def log_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        """Send the login form."""
        return self.send("/login", email=email, password=password)

    def approve(self, name: str) -> TestResponse:
        """Press the button in the row of the person with this name."""
        row = self.client.get("/admin/").text.partition(f"<b>{name}</b>")[2]
        return self.send(_found(r'action="(/admin/approve/[^"]+)"', row), shown_at="/admin/")

    def send(self, path: str, *, shown_at: str | None = None, **fields: str) -> TestResponse:
        """Send a form with the CSRF token of the page that shows it."""
        page = self.client.get(shown_at or path).text
        token = _found(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        return self.client.post(path, data={"csrf_token": token, **fields})


def _found(pattern: str, page: str) -> str:
    match = re.search(pattern, page)
    assert match, f"no {pattern} in the page"
    return match[1]
