"""The page: what came in, and forms that break things."""

from __future__ import annotations

import time
from datetime import datetime
from datetime import timezone
from typing import Any
from typing import Final

from flask import Blueprint
from flask import Response
from flask import abort
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from .memory import Received
from .presets import PRESETS
from .presets import read_preset
from .state import get_state

blueprint: Final = Blueprint(
    "page",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/_sandbox/static",
)

#: Of clicks and of conversions, the newest so many are shown.
SHOWN = 100

#: Seconds from one reload to the next of the page that keeps itself fresh.
RELOAD = 3

# No script, no foreign asset, no frame; what a visitor can send stays text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


@blueprint.get("/")
def show() -> Response:
    """Show what came in, newest first."""
    page = render_template("flask_partnerstack_sandbox/page.html", **_facts())
    # JSON can say a lone surrogate, which UTF-8 has no bytes for.
    response = make_response(page.encode("utf-8", "backslashreplace"))
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    # Not no-referrer: a browser would then send "Origin: null" with our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


@blueprint.post("/faults")
def switch_faults() -> WerkzeugResponse:
    """Switch on the fault that the form names."""
    target = request.form.get("on", "conversion")
    if target not in get_state().faults.on:
        abort(400, f"on: expected conversion or api, got {target!r}")
    try:
        fault = read_preset(request.form)
        # Only look-ups have a lag; whoever picks that from the list says enough.
        get_state().faults.put("api" if fault.lag else target, [fault])
    except ValueError as error:
        abort(400, str(error))
    return _back()


@blueprint.post("/faults/clear")
def clear_faults() -> WerkzeugResponse:
    """Switch every fault off."""
    get_state().faults.clear()
    return _back()


@blueprint.post("/clear")
def clear() -> WerkzeugResponse:
    """Forget clicks, conversions and customers."""
    get_state().memory.clear()
    return _back()


def _back() -> WerkzeugResponse:
    return redirect(url_for("page.show"), 303)


def _facts() -> dict[str, Any]:
    state = get_state()
    received = state.memory.received
    return {
        "settings": state.settings,
        "root": request.host_url.rstrip("/"),
        "clicks": state.memory.clicks,
        "received": received,
        "customers": len(state.memory.customers),
        "duplicates": sum(one.duplicate for one in received),
        "partner_of": _partner_of,
        "faults": state.faults.on,
        "presets": PRESETS,
        "shown": SHOWN,
        "reload": RELOAD if "live" in request.args else None,
        "now": time.time(),
    }


def _partner_of(received: Received) -> str:
    return get_state().memory.partner_of(str(received.body.get("xid", "")))


@blueprint.app_template_filter("moment")
def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


@blueprint.app_template_filter("ago")
def ago(seconds: float) -> str:
    """So many seconds, in the largest unit that fits."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago" if seconds >= 1 else "just now"
