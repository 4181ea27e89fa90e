"""What is asked of an app's ``db`` object: Flask-SQLAlchemy 3, or Flask-SQLAlchemy-Lite."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy import MetaData

from ._state import context_of
from ._state import is_current
from .errors import ConfigurationError
from .ledger import AppDatabase
from .ledger import add_tables

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def database_of(app: Flask, db: Any) -> AppDatabase:
    """Return the ledger's storage in the database of ``db``, which may be registered later."""
    return AppDatabase(lambda: _engine_of(app, db), lambda: _open_connection_of(app, db))


def join_metadata(db: Any) -> None:
    """Add the ledger's tables to the metadata of ``db``, if it has one.

    Flask-SQLAlchemy-Lite has none: there it is the app's own, for ``add_tables``.

    :raises ConfigurationError: it is no ``db`` object that we know.
    """
    if not hasattr(type(db), "engine"):  # of the class: on the object it would ask for an app
        raise ConfigurationError(
            "db",
            "expected the SQLAlchemy object of Flask-SQLAlchemy or Flask-SQLAlchemy-Lite, got "
            f"{type(db).__name__}. For another database set PARTNERSTACK_LEDGER_URL.",
        )
    metadata = getattr(db, "metadata", None)
    if isinstance(metadata, MetaData):
        add_tables(metadata)


def _engine_of(app: Flask, db: Any) -> Engine:
    with context_of(app):
        engine: Engine = db.engine
    schema = getattr(getattr(db, "metadata", None), "schema", None)
    return engine if schema is None else _looking_at(schema, engine)


def _looking_at(schema: str, engine: Engine) -> Engine:
    """Return the engine with our tables in the schema that the metadata gave them.

    Where the engine has another one put in that one's place, they were made there.
    """
    places = engine.get_execution_options().get("schema_translate_map") or {}
    ours = {**places, None: places.get(schema, schema)}
    return engine.execution_options(schema_translate_map=ours)


def _open_connection_of(app: Flask, db: Any) -> Any:
    """Return the driver's connection of the transaction that ``db.session`` has open here."""
    if not is_current(app):
        return None
    session = _session_of(db)
    if session is None or not session.in_transaction() or not session.is_active:
        return None
    return session.connection().connection.driver_connection


def _session_of(db: Any) -> Session | None:
    registry = getattr(db.session, "registry", None)
    if registry is None:  # Flask-SQLAlchemy-Lite gives the session itself
        session: Session = db.session
        return session
    return registry() if registry.has() else None
