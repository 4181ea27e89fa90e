"""Celery as Flask's documentation shows it (https://flask.palletsprojects.com/patterns/celery/)."""

from __future__ import annotations

from celery import Celery
from celery import Task
from flask import Flask

from flask_partnerstack.celery import SWEEP_SCHEDULE

#: So that a test need not wait half a minute for each sweep.
OFTEN = {name: {**entry, "schedule": 0.5} for name, entry in SWEEP_SCHEDULE.items()}


def celery_init_app(app: Flask, broker_url: str) -> Celery:
    class FlaskTask(Task):  # type: ignore[misc]  # Celery ships no types
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(
        {
            "broker_url": broker_url,
            "broker_connection_retry_on_startup": True,
            "task_ignore_result": True,
            "beat_schedule": OFTEN,
        }
    )
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app
