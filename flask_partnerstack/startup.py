"""What an app is refused, and what it is told, when it is registered."""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

import click
from flask import Flask
from flask.cli import FlaskGroup

from ._db import join_metadata
from ._state import EXTENSION
from ._state import State
from .engines import engine_here
from .errors import ConfigurationError
from .ledger import LEDGER_URL
from .ledger import Place
from .settings import Settings

log: Final = logging.getLogger("flask_partnerstack")

_ELSEWHERE = ("celery", "rq")


def check_app(app: object) -> None:
    """Make sure that it is one.

    :raises ConfigurationError: it is something else, like a db object.
    """
    if not isinstance(app, Flask):
        raise ConfigurationError(
            "app",
            f"expected a Flask app, got {type(app).__name__}. A db object goes by its name: "
            "PartnerStack(app, db=db), or PartnerStack(db=db) and init_app(app) in the factory.",
        )


def refuse_second(app: Flask) -> None:
    """Let nobody register an app twice.

    :raises RuntimeError: it is registered already.
    """
    if EXTENSION in app.extensions:
        raise RuntimeError(
            f"The app {app.name!r} was given to PartnerStack before. Call PartnerStack(app) or "
            "init_app(app), once."
        )


def place_of(app: Flask, settings: Settings, db: Any) -> Place:
    """Return where the app's ledger lies; with ``db`` its tables join that one's metadata.

    :raises ConfigurationError: a second place is set, or this one cannot be used.
    """
    if db is None:
        return Place.of(settings.ledger_url, app.instance_path)
    if settings.ledger_url is not None:
        raise ConfigurationError(
            LEDGER_URL, "expected this key or db=, not both: the ledger lies in one database."
        )
    join_metadata(db)
    return Place.of_app(app.instance_path)


def check_place(place: Place) -> None:
    """Make sure that the ledger's folder can be written to.

    :raises ConfigurationError: it cannot. Told in the log where a command loads the app: whoever
        runs ``flask partnerstack check`` wants to read of this and not to stumble on it.
    """
    try:
        place.make_writable()
    except ConfigurationError as e:
        if not _is_flask_command():
            raise
        log.error("%s", e)


def _is_flask_command() -> bool:
    """Say whether a ``flask`` command other than ``run`` is what loads the app."""
    context = click.get_current_context(silent=True)
    while context is not None and context.parent is not None:
        if isinstance(context.parent.command, FlaskGroup):
            return context.info_name != "run"
        context = context.parent
    return context is not None and isinstance(context.command, FlaskGroup)


# --- what is told -------------------------------------------------------------------------------


def tell(state: State) -> None:
    """Tell the log where the ledger lies, and of each choice that will not do what it seems to."""
    if not state.settings.enabled:
        log.warning(
            "PARTNERSTACK_ENABLED is False: nothing is captured, nothing is recorded, and nothing "
            "is delivered by this process."
        )
        return
    log.info("The ledger lies at %s.", state.ledger.location)
    _tell_of_engine(state)
    if not _is_looked_at():  # check says it, and above each answer of the others it would be noise
        _tell_what_is_missing(state)
        _tell_of_cookie(state)


def _tell_of_engine(state: State) -> None:
    engine = state.settings.engine
    if engine_here(engine) != engine:
        log.error(
            "uWSGI runs here without threads, so nothing is delivered between requests: page "
            "views and signups deliver, and wait for it, 3 s at most. Start uWSGI with "
            "--enable-threads, or keep flask partnerstack worker running and set "
            'PARTNERSTACK_ENGINE to "none".'
        )
    if engine in _ELSEWHERE and state.place.path is not None:
        log.warning(
            'PARTNERSTACK_ENGINE is "%s" and the ledger is a file: only workers on this machine '
            "that share it can deliver. Set PARTNERSTACK_LEDGER_URL to a database.",
            engine,
        )


def _tell_what_is_missing(state: State) -> None:
    if not state.place.lasts():
        log.warning(
            "The ledger at %s will not outlive this machine or process: mount a volume there, "
            "or set PARTNERSTACK_LEDGER_URL to a database.",
            state.ledger.location,
        )
    if state.settings.token is None:
        log.warning(
            "PARTNERSTACK_TOKEN is not set: conversions are recorded and parked until it is."
        )


def _tell_of_cookie(state: State) -> None:
    if state.settings.takes_each_click_for_the_first:
        log.warning(
            'PARTNERSTACK_COOKIE_SAMESITE is "Strict" and PARTNERSTACK_ATTRIBUTION is "first": '
            "browsers leave a Strict cookie behind when they follow another site's link, so each "
            'click looks like the first and the last one counts. Set COOKIE_SAMESITE to "Lax".'
        )
    if state.settings.hides_the_first_click:
        log.warning(
            'PARTNERSTACK_COOKIE_PATH is "%s" and PARTNERSTACK_ATTRIBUTION is "first": a landing '
            "page outside of that path does not see the cookie, so each click there looks like the "
            'first and the last one counts. Set COOKIE_PATH to "/", unless every page that a link '
            "leads to lies below it.",
            state.settings.cookie_path,
        )


def _is_looked_at() -> bool:
    """Say whether one of our own commands loads the app, which all but the worker end at once."""
    context, names = click.get_current_context(silent=True), []
    while context is not None:
        names.append(context.info_name)
        context = context.parent
    return "partnerstack" in names and names[0] != "worker"
