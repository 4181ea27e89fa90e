"""A site for the browser: pages with and without scripts, and a signup."""

from __future__ import annotations

from flask import Flask
from flask import current_app
from flask import g
from flask import redirect
from flask import render_template_string
from flask import request
from flask.typing import ResponseReturnValue

from flask_partnerstack import PartnerStack

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
{% if "snippet" in parts %}{{ partnerstack_snippet() }}{% endif %}
{% if "handing" in parts %}{{ partnerstack_snippet(referral=True) }}{% endif %}
{% if "capture" in parts %}{{ partnerstack_capture() }}{% endif %}
</head>
<body>
<h1>{{ request.path }}</h1>
{% set partner = g.partnerstack.partner_key %}
{% if partner %}<p id="greeting">friend of {{ partner }}</p>{% endif %}
{% if request.path == "/signup" %}
<form method="post"><input name="email"><button id="sign-up">Sign up</button></form>
{% endif %}
</body>
</html>"""


def page(*parts: str) -> str:
    """Render a page with these scripts on it."""
    return render_template_string(PAGE, parts=parts)


def build(app: Flask, partnerstack: PartnerStack, *parts: str) -> None:
    """Build the site; ``parts`` are the scripts on each page but for those at ``/bare``."""
    for path in ("/", "/pricing", "/about", "/team", "/welcome"):
        app.add_url_rule(path, path, lambda: page(*parts))
    app.add_url_rule("/bare", "bare", lambda: page())
    app.add_url_rule("/scripted", "scripted", lambda: page("snippet"))
    app.add_url_rule("/captured", "captured", lambda: page("capture"))

    @app.route("/signup", methods=["GET", "POST"])
    @partnerstack.track_signup
    def signup() -> ResponseReturnValue:
        if request.method == "GET":
            return page(*parts)
        partnerstack.set_customer(request.form["email"].split("@")[0], email=request.form["email"])
        return redirect("/welcome")

    @app.get("/who")
    def who() -> dict[str, str | None]:
        return {"xid": g.partnerstack.xid, "app": current_app.name}


def building(*parts: str):  # type: ignore[no-untyped-def]
    """Return the builder of a site with these scripts on its pages."""
    return lambda app, partnerstack: build(app, partnerstack, *parts)
