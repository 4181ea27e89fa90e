"""Orders: a shop on PostgreSQL, whose Celery delivers. A signup and its conversion are one commit.

    docker compose --file examples/postgres_celery/compose.yaml up

or, with a PostgreSQL and a Redis of your own (``DATABASE_URL`` and ``BROKER_URL`` say where)

    pip install --editable . -r examples/postgres_celery/requirements.txt

and each in a terminal:

    flask partnerstack sandbox
    flask --app examples.postgres_celery db upgrade
    flask --app examples.postgres_celery run
    celery --app examples.postgres_celery.make_celery worker --beat

Then follow a partner's link at http://127.0.0.1:8787.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from flask_partnerstack.celery import SWEEP_SCHEDULE

from . import signup
from .extensions import celery_init_app
from .extensions import db
from .extensions import migrate
from .extensions import partnerstack


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app.

    :param config: laid over what the environment says.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=os.environ.get(
            "DATABASE_URL", "postgresql+psycopg://orders:orders@127.0.0.1/orders"
        ),
        CELERY={
            "broker_url": os.environ.get("BROKER_URL", "redis://127.0.0.1"),
            "broker_connection_retry_on_startup": True,
            "task_ignore_result": True,
            "beat_schedule": {**SWEEP_SCHEDULE},
        },
        PARTNERSTACK_ENGINE="celery",
        # What a fresh sandbox accepts, and where it listens.
        PARTNERSTACK_TOKEN=os.environ.get("PARTNERSTACK_TOKEN", "sandbox-token"),
        PARTNERSTACK_CONVERSION_URL=os.environ.get(
            "PARTNERSTACK_CONVERSION_URL", "http://127.0.0.1:8787/conversion/xid"
        ),
    )
    app.config.from_mapping(config or {})

    db.init_app(app)
    migrate.init_app(app, db, directory=str(Path(__file__).parent / "migrations"))
    celery_init_app(app)
    partnerstack.init_app(app)
    app.register_blueprint(signup.blueprint)
    return app
