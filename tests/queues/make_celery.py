"""What ``celery --app`` is given: the site's app, and its Celery."""

from __future__ import annotations

from tests.e2e.site import create_app

flask_app = create_app()
celery_app = flask_app.extensions["celery"]
