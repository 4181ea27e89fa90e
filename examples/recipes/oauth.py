"""Sign in with a provider, and credit the partner when that made an account."""

from __future__ import annotations

from authlib.integrations.flask_client import OAuth
from flask import Blueprint
from flask import redirect
from flask import request
from flask import session
from flask import url_for
from flask.typing import ResponseReturnValue

from examples.recipes.people import find_or_create
from flask_partnerstack import Referral
from flask_partnerstack import current_referral
from flask_partnerstack import track_conversion

blueprint = Blueprint("oauth", __name__)
oauth = OAuth()


@blueprint.get("/login")
def log_in() -> ResponseReturnValue:
    session["referral"] = current_referral.dumps()
    answer: ResponseReturnValue = oauth.provider.authorize_redirect(
        url_for("oauth.come_back", _external=True), response_mode="form_post"
    )
    return answer


@blueprint.route("/login/callback", methods=["GET", "POST"])
def come_back() -> ResponseReturnValue:
    oauth.provider.authorize_access_token()
    profile = oauth.provider.get("userinfo").json()

    person, created = find_or_create(profile["email"])
    referral = Referral.loads(session.pop("referral", ""))
    if created:
        track_conversion(person.public_id, email=person.email, referral=referral)
    session["person"] = person.public_id
    return redirect("/welcome")


def take_along() -> None:
    # It also runs for the callback, to which the cookie may not have come.
    if current_referral and request.endpoint == f"{request.blueprint}.login":
        session["referral"] = current_referral.dumps()
