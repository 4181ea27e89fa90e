"""A small site in a process of its own, configured by its environment.

``python -m tests.e2e.site`` prints its URL and serves until it is stopped. ``SITE_INSTANCE`` is
its instance folder, ``SITE_HOURS_AHEAD`` moves its clock, ``SITE_BARE`` leaves the extension out,
``SITE_DB`` is the URL of a database of its own, in which its ledger lies, ``SITE_CELERY`` and
``SITE_RQ`` are the brokers of its task queues.
"""

from __future__ import annotations

import os
import uuid
from datetime import datetime
from datetime import timedelta
from typing import Any

from flask import Flask
from flask import g
from flask import redirect
from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.serving import WSGIRequestHandler
from werkzeug.serving import make_server

from flask_partnerstack import PartnerStack
from flask_partnerstack import set_customer
from flask_partnerstack import track_signup
from flask_partnerstack.ledger import utcnow
from tests.logwatch import watch_this_process


class AheadPartnerStack(PartnerStack):
    """The extension some hours ahead, so that a test need not wait for a lease to run out."""

    def clock(self) -> datetime:
        return utcnow() + timedelta(hours=float(os.environ.get("SITE_HOURS_AHEAD", "0")))


def create_app() -> Flask:
    watch_this_process()
    app = Flask("site", instance_path=os.environ["SITE_INSTANCE"])
    app.config.update({k: v for k, v in os.environ.items() if k.startswith("PARTNERSTACK_")})
    bare = "SITE_BARE" in os.environ
    if not bare:
        AheadPartnerStack(app, db=_db_of(app))

    if "SITE_CELERY" in os.environ:
        from tests.queues.celery_app import celery_init_app

        celery_init_app(app, os.environ["SITE_CELERY"])
    if "SITE_RQ" in os.environ:
        from redis import Redis
        from rq import Queue

        app.extensions["rq"] = Queue(connection=Redis.from_url(os.environ["SITE_RQ"]))

    @app.get("/")
    def landing() -> str:
        return "hello" if bare else f"hello, friend of {g.partnerstack.partner_key}"

    def signup() -> ResponseReturnValue:
        if not bare:
            set_customer(request.form["key"], email=f"{uuid.uuid4().hex}@example.com")
        return redirect("/welcome")

    app.post("/signup")(signup if bare else track_signup(signup))
    return app


def _db_of(app: Flask) -> Any:
    if "SITE_DB" not in os.environ:
        return None
    from flask_sqlalchemy import SQLAlchemy  # few sites have one, and many are started

    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SITE_DB"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 32}
    return SQLAlchemy(app)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main() -> None:
    server = make_server("127.0.0.1", 0, create_app(), threaded=True, request_handler=_Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - its ready line
    server.serve_forever()


if __name__ == "__main__":
    main()
