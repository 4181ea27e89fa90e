"""Becoming a customer by an admin's approval: the Team plan."""

from __future__ import annotations

from flask import Blueprint
from flask import abort
from flask import flash
from flask import redirect
from flask import render_template
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from flask_partnerstack import Referral

from .extensions import login_manager
from .extensions import partnerstack
from .users import get_users

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.before_request
def require_admin() -> ResponseReturnValue | None:
    if not current_user.is_authenticated:
        answer: ResponseReturnValue = login_manager.unauthorized()
        return answer
    if not current_user.is_admin:
        abort(404)
    return None


@blueprint.get("/")
def show() -> str:
    return render_template("admin.html", users=get_users().newest_first())


@blueprint.post("/approve/<public_id>")
def approve(public_id: str) -> ResponseReturnValue:
    """Make a customer of somebody who waits.

    This request is the admin's, so nothing in it says who referred the customer; the text on the
    customer's row does. Recorded first, then approved: however often it is asked, the ledger
    has one entry per customer key, so whatever happens in between, the button may be pressed again.
    """
    user = get_users().get(public_id)
    if user is None:
        abort(404)
    if not user.approved:
        partnerstack.track_conversion(
            user.public_id,
            email=user.email,
            name=user.name,
            referral=Referral.loads(user.referral),
        )
        get_users().approve(user.public_id)
        flash(f"{user.name} is in.")
    return redirect(url_for("admin.show"))
