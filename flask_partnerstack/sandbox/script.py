"""PartnerStackJS's stand-in, at the addresses of the real one, and what it asks of its host."""

from __future__ import annotations

import time
from typing import Any
from typing import Final

from flask import Blueprint
from flask import Response
from flask import current_app
from flask import request
from flask import send_from_directory

from .loopback import hostname
from .loopback import is_this_machine
from .memory import PageSignup
from .state import get_state

blueprint: Final = Blueprint("script", __name__)


@blueprint.get("/pr/js")
@blueprint.get("/v1/")
def show() -> Response:
    """Serve the script, as a link domain of one's own does and as the shared host does."""
    folder = f"{current_app.root_path}/static"
    return send_from_directory(folder, "partnerstack.js", mimetype="text/javascript")


@blueprint.get("/pr/grc/<public_key>")
def recover(public_key: str) -> dict[str, str]:  # noqa: ARG001 - one programme, one key
    """Tell the script of the click that the redirector's cookies remember, when it is one."""
    xids = {v for name, v in request.cookies.items() if name.startswith("_ps_xid_")}
    clicks = {click.xid: click for click in get_state().memory.clicks}
    if len(xids) != 1 or not xids <= clicks.keys():
        return {}
    click = clicks[xids.pop()]
    return {"xid": click.xid, "partner_key": click.partner_key}


@blueprint.get("/pr/signup/<public_key>")
def take_signup(public_key: str) -> dict[str, Any]:
    """Remember that a page called ``createSignup``."""
    signup = PageSignup(time.time(), public_key, request.args.to_dict())
    get_state().memory.add_page_signup(signup)
    return {}


@blueprint.after_request
def let_pages_ask(response: Response) -> Response:
    """Let pages of this machine's sites read the answers, with their visitors' cookies."""
    origin = request.headers.get("Origin", "")
    if is_this_machine(hostname(origin.partition("://")[2])):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Vary"] = "Origin"
    return response
