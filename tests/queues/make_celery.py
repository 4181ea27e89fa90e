"""What ``celery --app`` is given: the site's app, and its Celery."""

from __future__ import annotations

from celery.signals import after_setup_logger

from tests.e2e.site import create_app
from tests.logwatch import watch_this_process


@after_setup_logger.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def watch_again(**_said: object) -> None:
    """Celery's worker has put its own in the place of the root logger's handlers."""
    watch_this_process()


flask_app = create_app()
celery_app = flask_app.extensions["celery"]
