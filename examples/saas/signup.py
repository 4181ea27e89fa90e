"""Becoming a customer by oneself: the Starter plan."""

from __future__ import annotations

from flask import Blueprint
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_login import login_user

from flask_partnerstack import current_referral

from .extensions import partnerstack
from .forms import SignupForm
from .users import STARTER
from .users import EmailTaken
from .users import get_users

blueprint = Blueprint("signup", __name__)


@blueprint.route("/signup", methods=["GET", "POST"])
@partnerstack.track_signup
def sign_up() -> ResponseReturnValue:
    """Make an account. Whoever is a customer at once is named to PartnerStack, once it is made."""
    if current_user.is_authenticated:
        return redirect(url_for("accounts.show"))
    form = SignupForm(plan=request.args.get("plan", STARTER))
    if not form.validate_on_submit():
        return render_template("signup.html", form=form)

    try:
        user = get_users().add(
            email=form.email.data,
            name=form.name.data,
            password=form.password.data,
            plan=form.plan.data,
            # Whoever approves them later is somebody else, with another browser.
            referral=current_referral.dumps(),
        )
    except EmailTaken:
        flash("There is an account with this address already. Is it yours? Then log in.")
        return redirect(url_for("signup.sign_up"))

    login_user(user)
    if user.approved:
        partnerstack.set_customer(user.public_id, email=user.email, name=user.name)
    return redirect(url_for("accounts.show"))
