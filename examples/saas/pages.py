"""What everybody may see."""

from __future__ import annotations

from flask import Blueprint
from flask import render_template
from flask_wtf.csrf import CSRFError

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def landing() -> str:
    """Greet the visitor, by name of their partner where there is one: see the template."""
    return render_template("landing.html")


@blueprint.get("/pricing")
def pricing() -> str:
    return render_template("pricing.html")


def _refuse_form(_error: CSRFError) -> tuple[str, int]:
    return render_template(
        "error.html",
        title="This form is too old",
        text="It was open for more than an hour, or came from elsewhere. Please go back, load "
        "the page again and send it once more.",
    ), 400


def _not_found(_error: Exception) -> tuple[str, int]:
    return render_template(
        "error.html", title="There is no such page", text="It may have moved, or never was."
    ), 404


blueprint.app_errorhandler(CSRFError)(_refuse_form)
blueprint.app_errorhandler(404)(_not_found)
