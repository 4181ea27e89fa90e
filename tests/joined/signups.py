"""Signs customers up and dies in between: ``python -m tests.joined.signups URL START STOP``.

Each signup is a user and a conversion in one transaction. By its number it is committed, rolled
back, half of it taken back by a savepoint, or cut off by SIGKILL just before its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from flask import Flask
from sqlalchemy import make_url

from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion

from .conftest import let_sqlalchemy_begin
from .conftest import make_db


def sign_up(db: Any, name: str) -> None:
    db.session.add(db.User(name=name))
    track_conversion(name, xid="h8pb9E7TZK6YMO", session=db.session)


def live(db: Any, number: int) -> None:
    """One request of the app."""
    sign_up(db, f"customer-{number}")
    fate = number * 7919 % 10
    if fate in (1, 2):
        savepoint = db.session.begin_nested()
        sign_up(db, f"taken-back-{number}")
        savepoint.rollback()
    elif fate == 3:
        with db.session.begin_nested():
            sign_up(db, f"inner-{number}")
    elif fate in (4, 5):
        db.session.rollback()
    elif number % 97 == 50:
        db.session.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    db.session.commit()
    print(number, flush=True)  # noqa: T201 - the answer to the visitor


def main(url: str, start: str, stop: str) -> None:
    db = make_db()
    app = Flask("house")
    app.config.update(SQLALCHEMY_DATABASE_URI=make_url(url), PARTNERSTACK_ENGINE="none")
    db.init_app(app)
    PartnerStack(app, db=db)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            let_sqlalchemy_begin(db.engine)
        db.create_all()
        for number in range(int(start), int(stop)):
            live(db, number)


if __name__ == "__main__":
    main(*sys.argv[1:])
