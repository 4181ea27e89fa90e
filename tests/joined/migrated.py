"""An app whose tables are made by Flask-Migrate: ``python -m tests.joined.migrated URL FOLDER``."""

from __future__ import annotations

import sys

import flask_migrate
from flask import Flask

from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion

from .conftest import make_db

if __name__ == "__main__":
    url, folder = sys.argv[1:]
    db = make_db()
    app = Flask("migrated")
    app.config.update(SQLALCHEMY_DATABASE_URI=url, PARTNERSTACK_ENGINE="none")
    db.init_app(app)
    PartnerStack(app, db=db)
    flask_migrate.Migrate(app, db, directory=folder)
    with app.app_context():
        flask_migrate.init()
        flask_migrate.migrate(message="first")
        flask_migrate.upgrade()
        track_conversion("acme", xid="h8pb9E7TZK6YMO", session=db.session)
        db.session.commit()
        flask_migrate.migrate(message="second")  # makes no file when nothing has changed
