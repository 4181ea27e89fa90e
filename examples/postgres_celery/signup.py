"""The signup: a user and a conversion, in one transaction."""

from __future__ import annotations

from flask import Blueprint
from flask import redirect
from flask import render_template_string
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import IntegrityError

from .extensions import db
from .extensions import partnerstack
from .users import User

blueprint = Blueprint("signup", __name__)

PAGE = """<!doctype html><title>Orders</title>
{% if g.partnerstack.partner_key %}
<p>Welcome, friend of {{ g.partnerstack.partner_key }}.</p>
{% endif %}
{% if error %}<p role="alert">{{ error }}</p>{% endif %}
<form method="post" action="/signup">
<label>Name <input name="name" required></label>
<label>E-mail <input name="email" type="email" required></label>
<button>Sign up</button></form>"""


@blueprint.get("/")
def landing() -> str:
    return render_template_string(PAGE)


@blueprint.get("/welcome")
def welcome() -> str:
    return "Welcome to Orders."


@blueprint.post("/signup")
def sign_up() -> ResponseReturnValue:
    user = User(email=request.form["email"], name=request.form["name"])
    db.session.add(user)
    try:
        db.session.flush()  # gives the user a public_id, or finds the e-mail address taken
    except IntegrityError:
        db.session.rollback()
        return render_template_string(PAGE, error="This e-mail address has signed up."), 409
    partnerstack.track_conversion(
        user.public_id, email=user.email, name=user.name, session=db.session
    )
    db.session.commit()  # both, or neither; only then is it published
    return redirect("/welcome")
