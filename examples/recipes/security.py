"""Flask-Security registers; its signal says who is new."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_security import user_registered

from flask_partnerstack import set_customer
from flask_partnerstack import track_signup


def track_registrations(app: Flask) -> None:
    """Call this after ``Security(app, …)``."""
    views: dict[str, Any] = app.view_functions
    views["security.register"] = track_signup(views["security.register"])
    user_registered.connect(name_customer, app)


def name_customer(_app: Flask, user: Any, **_facts: Any) -> None:
    set_customer(user.public_id, email=user.email)
