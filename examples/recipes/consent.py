"""A consent banner: nothing is kept before it is answered with yes."""

from __future__ import annotations

from flask import Blueprint
from flask import Response
from flask import request

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral

blueprint = Blueprint("consent", __name__)
partnerstack = PartnerStack()


@partnerstack.consent
def has_consented(purpose: str, referral: Referral) -> bool | None:
    if purpose == "report" and referral.source == "stored":
        return True  # an admin's request, or a webhook's: the click was kept with consent
    return {"yes": True, "no": False}.get(request.cookies.get("consent", ""))


@blueprint.post("/consent")
def answer() -> Response:
    response = Response(status=204)
    granted = request.form["answer"] == "yes"
    response.set_cookie("consent", "yes" if granted else "no", max_age=180 * 24 * 60 * 60)
    if not granted:
        response.delete_cookie("partnerstack_referral")
    return response
