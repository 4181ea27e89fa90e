"""What is to be said is said, whenever the app sets up its logging."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import celery
from flask_partnerstack import rq

MakeApp = Callable[..., Flask]

# As in https://flask.palletsprojects.com/en/stable/logging/
SITE = """
import sys
from logging.config import dictConfig

from flask import Flask

from flask_partnerstack import PartnerStack, set_customer, track_signup

CONFIG = {
    "version": 1,
    "handlers": {"wsgi": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "root": {"level": "INFO", "handlers": ["wsgi"]},
}
dictConfig(CONFIG)
app = Flask("site", instance_path=sys.argv[1])
app.config["PARTNERSTACK_ENGINE"] = "none"
PartnerStack(app)
dictConfig(CONFIG)  # as a migration does that the app runs at its start


@app.post("/signup")
@track_signup
def signup():
    set_customer(None)
    return "", 201


app.test_client().post("/signup?ps_xid=abcd1234")
"""


def test_logging_set_up_after_our_import(tmp_path: Path) -> None:
    """What Flask's own recipe for logging switches off is on again: a lost conversion is said."""
    ran = subprocess.run(
        [sys.executable, "-c", SITE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "The ledger lies at" in ran.stderr  # by init_app
    assert "A conversion was NOT recorded" in ran.stderr  # in a request


@pytest.mark.parametrize("worker", [celery, rq])
def test_a_worker_that_sets_up_its_logging_last(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, worker: object
) -> None:
    """Celery's signal for it comes after the app is made; the first task has our log on again."""
    with make_app().app_context():
        log = logging.getLogger("flask_partnerstack")
        monkeypatch.setattr(log, "disabled", True)
        worker._state()  # type: ignore[attr-defined]  # both modules have it
        assert not log.disabled
