"""What visitors fill in, and what is asked of it."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import EmailField
from wtforms import PasswordField
from wtforms import RadioField
from wtforms import StringField
from wtforms.validators import DataRequired
from wtforms.validators import InputRequired
from wtforms.validators import Length
from wtforms.validators import Regexp

from .users import STARTER
from .users import TEAM


def _stripped(value: str | None) -> str:
    return (value or "").strip()


class SignupForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF ships no types
    name = StringField(
        "Your name",
        filters=[_stripped],
        validators=[DataRequired("Please tell us your name."), Length(max=80)],
        render_kw={"autocomplete": "name"},
    )
    email = EmailField(
        "E-mail",
        filters=[_stripped],
        validators=[
            DataRequired("We need an address to reach you."),
            Regexp(r"[^@\s]+@[^@\s]+\.[^@\s]+$", message="That is not an e-mail address."),
            Length(max=254),
        ],
        render_kw={"autocomplete": "email"},
    )
    password = PasswordField(
        "Password",
        validators=[
            InputRequired("Please choose a password."),
            Length(min=10, max=200, message="Ten characters or more, please."),
        ],
        render_kw={"autocomplete": "new-password"},
    )
    plan = RadioField(
        "Plan",
        choices=[STARTER, TEAM],
        default=STARTER,
        validators=[InputRequired("Please pick a plan.")],
    )


class LoginForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF ships no types
    email = EmailField(
        "E-mail",
        filters=[_stripped],
        validators=[DataRequired("Which address did you sign up with?")],
        render_kw={"autocomplete": "email"},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Please enter your password.")],
        render_kw={"autocomplete": "current-password"},
    )
