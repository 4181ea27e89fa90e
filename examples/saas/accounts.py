"""Logging in and out, and the account page."""

from __future__ import annotations

from flask import Blueprint
from flask import redirect
from flask import render_template
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_login import login_required
from flask_login import login_user
from flask_login import logout_user

from .forms import LoginForm
from .users import get_users

blueprint = Blueprint("accounts", __name__)


@blueprint.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    form = LoginForm()
    if not form.validate_on_submit():
        return render_template("login.html", form=form)
    user = get_users().by_email(form.email.data)
    if user is None or not user.has_password(form.password.data):
        form.password.errors = ["Address and password do not match."]
        return render_template("login.html", form=form)
    login_user(user)
    return redirect(url_for("admin.show" if user.is_admin else "accounts.show"))


@blueprint.post("/logout")
def log_out() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("pages.landing"))


@blueprint.get("/account")
@login_required  # type: ignore[untyped-decorator]  # Flask-Login ships no types
def show() -> str:
    return render_template("account.html", user=current_user)
