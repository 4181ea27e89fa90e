"""``let_be_heard``: what is lost or waits is said, whenever the app sets up its logging."""

from __future__ import annotations

import logging
from typing import Final

log: Final = logging.getLogger("flask_partnerstack")


def let_be_heard() -> None:
    """Have our log say what it is to say, though logging was set up after our import.

    ``dictConfig`` and ``fileConfig`` switch off every logger that is there by then and that they
    do not name, unless they are told not to. Flask's own recipe does not tell them, nor does the
    ``env.py`` of Flask-Migrate: https://flask.palletsprojects.com/en/stable/logging/
    """
    log.disabled = False
