"""Ours with Celery as its engine: a message says what is due, and the ledger is SQLite's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from benchmarks.compare import handing
from benchmarks.compare import queues
from benchmarks.compare.place import Place


def work(place: Place) -> None:
    """Work on what is due, and sweep, until it is stopped."""
    app = _app(place)
    handing.partnerstack_on_celery(app, place)
    beat = ["--beat", f"--schedule={Path(place.folder, 'beat')}"]
    queues.work_with_threads(app.extensions["celery"], *beat)


def publisher(place: Place) -> Callable[[int | None], object]:
    """Return what says that an entry is due."""
    from flask_partnerstack.celery import connect

    app = _app(place)
    queues.give_celery(app, place)
    publish: Callable[[int | None], Any] = connect(app)
    return publish


def _app(place: Place) -> Flask:
    return Flask("celery", instance_path=place.folder)
