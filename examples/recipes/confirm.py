"""Confirm the e-mail address, on whatever device, and credit the partner then."""

from __future__ import annotations

from flask import Blueprint
from flask import abort
from flask import current_app
from flask import redirect
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature
from itsdangerous import URLSafeTimedSerializer

from examples.recipes.people import find_or_create
from flask_partnerstack import Referral
from flask_partnerstack import current_referral
from flask_partnerstack import track_conversion

blueprint = Blueprint("confirm", __name__)


def signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="confirm")


@blueprint.post("/signup")
def sign_up() -> ResponseReturnValue:
    email = request.form["email"]
    token = signer().dumps([email, current_referral.dumps()])
    send_mail(email, url_for("confirm.confirm", token=token, _external=True))
    return redirect("/look-into-your-inbox")


@blueprint.get("/confirm/<token>")
def confirm(token: str) -> ResponseReturnValue:
    try:
        email, referral = signer().loads(token, max_age=7 * 24 * 60 * 60)
    except BadSignature:
        abort(404)
    person, _ = find_or_create(email)
    if not person.confirmed:
        person.confirmed = True
        track_conversion(person.public_id, email=email, referral=Referral.loads(referral))
    return redirect("/welcome")


def send_mail(to: str, link: str) -> None:
    current_app.extensions.setdefault("outbox", []).append((to, link))
