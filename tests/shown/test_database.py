"""The examples of docs/database.md."""

from __future__ import annotations

from uuid import uuid4

from flask import Blueprint
from flask import Flask
from flask import redirect
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy_lite import SQLAlchemy as LiteSQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state
from flask_partnerstack.ledger import add_tables
from tests.kit import LANDING


class Base(DeclarativeBase):
    """What the app's models are made of."""


db = SQLAlchemy(model_class=Base)
partnerstack = PartnerStack(db=db)  # its tables join db.metadata here
bp = Blueprint("pages", __name__)


class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(CONFIG)
    db.init_app(app)  # in any order
    partnerstack.init_app(app)
    app.register_blueprint(bp)
    return app


@bp.post("/signup")
def signup() -> ResponseReturnValue:
    user = User(public_id=str(uuid4()), email=request.form["email"])
    db.session.add(user)
    partnerstack.track_conversion(user.public_id, email=user.email, session=db.session)
    db.session.commit()  # both, or neither
    return redirect(url_for("pages.welcome"))


@bp.get("/welcome")
def welcome() -> str:
    return "Welcome!"


CONFIG = {
    "PARTNERSTACK_TOKEN": "t0ken",
    "PARTNERSTACK_ENGINE": "none",
    "SQLALCHEMY_DATABASE_URI": "sqlite://",
    # An IntegrityError of the app's own says its parameters, and Flask logs it.
    "SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True},
}


def test_signup_and_conversion_are_committed_together() -> None:
    """A second signup with the same address leaves one user and one conversion."""
    app = create_app()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context():
        db.create_all()
        client = app.test_client()
        client.get("/welcome", query_string=LANDING)
        answers = [client.post("/signup", data={"email": "jo@acme.com"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [302, 500]
        db.session.rollback()
        assert db.session.query(User).count() == 1
        assert sum(get_state(app).ledger.counts().values()) == 1


def test_lite_has_its_tables_added() -> None:
    """Flask-SQLAlchemy-Lite has no metadata, so the app's own gets the tables."""

    class Model(DeclarativeBase):
        pass

    PartnerStack(db=LiteSQLAlchemy())
    assert "partnerstack_entry" not in Model.metadata.tables
    add_tables(Model.metadata)
    assert "partnerstack_entry" in Model.metadata.tables
