"""The smallest complete program: it greets the referred visitor, and reports who signs up.

Start a fake PartnerStack, then this program; then open http://127.0.0.1:8787/ and follow a link::

    pip install .
    flask partnerstack sandbox
    flask --app examples/minimal/app run

In production the two PARTNERSTACK_* variables are the token from PartnerStack's Settings →
Integrations, and https://partnerlinks.io/conversion/xid.
"""

from __future__ import annotations

import os
from uuid import uuid4

from flask import Flask
from flask import redirect
from flask import render_template_string
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue

from flask_partnerstack import PartnerStack

app = Flask(__name__)
app.config["PARTNERSTACK_TOKEN"] = os.environ.get("PARTNERSTACK_TOKEN", "sandbox-token")
app.config["PARTNERSTACK_CONVERSION_URL"] = os.environ.get(
    "PARTNERSTACK_CONVERSION_URL", "http://127.0.0.1:8787/conversion/xid"
)
partnerstack = PartnerStack(app)

#: E-mail address → public ID. Yours are in a database.
customers: dict[str, str] = {}

LANDING = """
<!doctype html>
<title>Acme</title>
<h1>
  Welcome{% if g.partnerstack.partner_key %}, friend of {{ g.partnerstack.partner_key }}{% endif %}
</h1>
<p><a href="{{ url_for('signup') }}">Sign up</a></p>
"""

SIGNUP = """
<!doctype html>
<title>Sign up at Acme</title>
<form method="post">
  <label>E-mail <input type="email" name="email" required></label>
  <button>Sign up</button>
</form>
"""


@app.get("/")
def landing() -> str:
    return render_template_string(LANDING)


@app.route("/signup", methods=["GET", "POST"])
@partnerstack.track_signup
def signup() -> ResponseReturnValue:
    email = request.form.get("email", "").strip().lower()
    if "@" not in email:
        return render_template_string(SIGNUP)
    public_id = customers.setdefault(email, str(uuid4()))
    partnerstack.set_customer(public_id, email=email)
    return redirect(url_for("welcome"))


@app.get("/welcome")
def welcome() -> str:
    return "<!doctype html><title>Acme</title><h1>Thank you for signing up</h1>"
