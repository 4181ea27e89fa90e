"""An API-only signup: the page, on another host, posts the xid itself."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask import g
from flask import request
from flask.typing import ResponseReturnValue

from examples.recipes.people import find_or_create
from flask_partnerstack import track_signup

blueprint = Blueprint("api", __name__)


def new_customer() -> dict[str, Any]:
    return {
        "customer_key": g.person.public_id,
        "email": g.person.email,
        "xid": request.get_json().get("xid") or None,
        # With an xid nothing is taken from the request; this one is the customer's own.
        "ip_address": request.remote_addr,
        "user_agent": request.user_agent.string,
    }


@blueprint.post("/api/signup")
@track_signup(customer=new_customer)
def sign_up() -> ResponseReturnValue:
    g.person, created = find_or_create(request.get_json()["email"])
    return {"id": g.person.public_id}, 201 if created else 200
