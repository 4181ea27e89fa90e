"""Sign up with Flask-Login, from outside the view: whoever was logged in already is not new."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask import g
from flask import redirect
from flask import request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_login import current_user
from flask_login import login_user

from examples.recipes.people import find_or_create
from examples.recipes.people import people
from flask_partnerstack import track_signup

blueprint = Blueprint("login", __name__)
login_manager = LoginManager()


@blueprint.before_request
def look_who_comes() -> None:
    g.came_logged_in = current_user.is_authenticated


def new_customer() -> dict[str, Any] | None:
    if g.came_logged_in or not current_user.is_authenticated:
        return None
    return {"customer_key": current_user.public_id, "email": current_user.email}


@blueprint.post("/signup")
@track_signup(customer=new_customer)
def sign_up() -> ResponseReturnValue:
    person, created = find_or_create(request.form["email"])
    if not created:
        return redirect("/login")
    login_user(person)
    return redirect("/welcome")


@login_manager.user_loader  # type: ignore[untyped-decorator]  # Flask-Login ships no types
def load(public_id: str) -> Any:
    return next((p for p in people().values() if p.public_id == public_id), None)
