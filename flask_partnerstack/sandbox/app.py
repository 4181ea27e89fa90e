"""The sandbox as a WSGI app."""

from __future__ import annotations

from flask import Flask
from flask import Response
from flask import abort
from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from .._origin import comes_from_here
from . import control
from . import page
from . import redirector
from . import script
from . import service
from .answers import envelope
from .faults import FaultTable
from .links import Program
from .links import base62
from .loopback import hostname
from .loopback import is_this_machine
from .memory import Memory
from .settings import SandboxSettings
from .state import EXTENSION
from .state import State

#: The longest request body that is read, in bytes.
LONGEST_BODY = 2**20


def create_app(settings: SandboxSettings | None = None) -> Flask:
    """A fake PartnerStack with an empty memory, or with the one in ``settings.records``.

    Served by :func:`serve` it can also drop and drip; another server knows no ``drip``.
    """
    settings = settings or SandboxSettings()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_BODY

    memory = Memory(settings.records)
    app.extensions[EXTENSION] = State(settings, memory, FaultTable(), Program(base62(8)))

    # A key may hold, begin and end with any number of slashes.
    app.url_map.merge_slashes = False
    app.url_map.converters["key"] = KeyConverter
    for room in (redirector, script, service, control, page):
        app.register_blueprint(room.blueprint)

    app.before_request(refuse_strangers)
    app.after_request(keep_private)
    app.register_error_handler(HTTPException, say_in_json)
    return app


class KeyConverter(BaseConverter):
    """The rest of the path, whatever it is made of."""

    regex = r"(?s:.+)"
    part_isolating = False


def refuse_strangers() -> None:
    """Turn away what a foreign page makes the developer's browser send."""
    # A name that an attacker points at 127.0.0.1 arrives here with that name (DNS rebinding).
    if not is_this_machine(hostname(request.host)):
        abort(403, "The sandbox answers to loopback addresses and localhost only.")
    if request.method not in {"GET", "HEAD", "OPTIONS"} and comes_from_here() is False:
        abort(403, "The sandbox takes no orders from pages of other sites.")


def keep_private(response: Response) -> Response:
    """Let nothing be cached or sniffed."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def say_in_json(error: HTTPException) -> Response:
    """Answer every refusal in the service's own envelope."""
    return envelope(error.code or 500, error.description or error.name)
