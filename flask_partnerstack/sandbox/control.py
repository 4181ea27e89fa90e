"""The control API: what was received, and which faults are on, as JSON under ``/_sandbox/``."""

from __future__ import annotations

from typing import Any
from typing import Final

from flask import Blueprint
from flask import abort
from flask import request

from .conversion import read_object
from .faults import read_faults
from .state import get_state

blueprint: Final = Blueprint("control", __name__, url_prefix="/_sandbox")

Documents = list[dict[str, Any]]


@blueprint.get("/received")
def show_received() -> Documents:
    """Every request to the conversion endpoint, oldest first."""
    return [received.as_json() for received in get_state().memory.received]


@blueprint.get("/customers")
def show_customers() -> Documents:
    """Every customer as REST v2 shows it, oldest first, whatever the read-back lag."""
    state = get_state()
    return [customer.as_json(test=state.settings.test) for customer in state.memory.customers]


@blueprint.get("/clicks")
def show_clicks() -> Documents:
    """Every click, oldest first."""
    return [click.as_json() for click in get_state().memory.clicks]


@blueprint.get("/page-signups")
def show_page_signups() -> Documents:
    """Every signup that a page reported by ``createSignup`` since the start, oldest first."""
    return [signup.as_json() for signup in get_state().memory.page_signups]


@blueprint.get("/lookups")
def show_lookups() -> Documents:
    """Every request for a customer since the start, oldest first."""
    return [lookup.as_json() for lookup in get_state().memory.lookups]


@blueprint.get("/faults")
def show_faults() -> dict[str, Documents]:
    """The faults that are on, by target."""
    return get_state().faults.as_json()


@blueprint.put("/faults")
def put_faults() -> dict[str, Documents]:
    """Replace the faults of the targets named in the body; the others stay."""
    try:
        chosen = read_faults(read_object(request.get_data().decode("utf-8", "replace")))
    except ValueError as error:
        abort(400, str(error))
    for target, faults in chosen.items():
        get_state().faults.put(target, faults)
    return show_faults()


@blueprint.delete("/faults")
def clear_faults() -> dict[str, Documents]:
    """Switch every fault off; whoever hangs in one is let go."""
    get_state().faults.clear()
    return show_faults()


@blueprint.post("/clear")
def clear() -> dict[str, str]:
    """Forget clicks, requests and customers; the faults stay on."""
    get_state().memory.clear()
    return {"message": "cleared"}
