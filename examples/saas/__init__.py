"""Kettle, a small SaaS with a partner programme: sign up, log in, approve.

    pip install '.[examples]'
    flask partnerstack sandbox
    flask --app examples.saas add-admin admin@kettle.example
    flask --app examples.saas run

It takes two ways to become a customer. Whoever picks the Starter plan is one at once: see
``signup.py``. Whoever picks the Team plan is one when an admin approves, days later and in a
request of the admin's own: see ``admin.py``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import accounts
from . import admin
from . import pages
from . import signup
from .commands import add_admin
from .extensions import csrf
from .extensions import login_manager
from .extensions import partnerstack
from .users import load_user


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | None = None
) -> Flask:
    """Build the app.

    :param config: laid over what the environment says.
    :param instance_path: the folder of the users' database and of the ledger.
    """
    app = Flask(__name__, instance_path=instance_path or os.environ.get("KETTLE_FOLDER"))
    app.config.from_mapping(
        # Without one of your own, everybody is logged out by a restart.
        SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
        SESSION_COOKIE_SAMESITE="Lax",
        # What a fresh sandbox accepts, and where it listens.
        PARTNERSTACK_TOKEN=os.environ.get("PARTNERSTACK_TOKEN", "sandbox-token"),
        PARTNERSTACK_CONVERSION_URL=os.environ.get(
            "PARTNERSTACK_CONVERSION_URL", "http://127.0.0.1:8787/conversion/xid"
        ),
    )
    app.config.from_mapping(config or {})
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)

    partnerstack.init_app(app)
    csrf.init_app(app)
    login_manager.init_app(app)
    login_manager.user_loader(load_user)

    for blueprint in (pages.blueprint, signup.blueprint, accounts.blueprint, admin.blueprint):
        app.register_blueprint(blueprint)
    app.cli.add_command(add_admin)
    return app
