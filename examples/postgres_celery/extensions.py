"""The extensions, each made once and given to the app in its factory."""

from __future__ import annotations

from celery import Celery
from celery import Task
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase

from flask_partnerstack import PartnerStack


class Base(DeclarativeBase):
    """What the app's models are made of."""


db = SQLAlchemy(model_class=Base)
migrate = Migrate()
partnerstack = PartnerStack(db=db)


def celery_init_app(app: Flask) -> Celery:
    """Make the app's Celery, as https://flask.palletsprojects.com/patterns/celery/ shows."""

    class FlaskTask(Task):  # type: ignore[misc]  # Celery ships no types
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app
