"""Partner links: ``GET /l/<partner>`` makes a click and sends the visitor on."""

from __future__ import annotations

import time
from typing import Final

from flask import Blueprint
from flask import Response
from flask import abort
from flask import request

from .links import PADDINGS
from .links import XID_LENGTHS
from .links import Link
from .links import is_forwarded
from .links import make_xid
from .loopback import hostname
from .memory import Click
from .settings import require_landing
from .state import get_state

blueprint: Final = Blueprint("redirector", __name__)

#: How long the redirector's own cookies live, in seconds.
COOKIE_AGE = 90 * 24 * 60 * 60


@blueprint.get("/l/<key:partner_key>")
def follow(partner_key: str) -> Response:
    """Remember the click and send the visitor to the landing URL."""
    link = _link(partner_key)
    click = Click(link.xid, partner_key, link.version, time.time())
    get_state().memory.add_click(click)

    response = Response(status=302, headers={"Location": link.url})
    response.autocorrect_location_header = False
    if request.args.get("cookies") == "1":
        _set_cookies(response, click)
    return response


def _link(partner_key: str) -> Link:
    version = int(_choice("v", tuple(map(str, XID_LENGTHS)), "2"))
    return Link(
        landing=_landing(),
        partner_key=partner_key,
        xid=make_xid(version),
        version=version,
        padding=_choice("padding", PADDINGS, PADDINGS[0]),
        link_domain=hostname(request.host),
        forwarded=tuple(pair for pair in request.args.items(multi=True) if is_forwarded(pair[0])),
    )


def _landing() -> str:
    try:
        return require_landing("to", request.args.get("to", get_state().settings.landing))
    except ValueError as error:
        abort(400, str(error))


def _choice(name: str, choices: tuple[str, ...], default: str) -> str:
    chosen = request.args.get(name, default)
    if chosen not in choices:
        abort(400, f"{name}: expected {' or '.join(choices)}, got {chosen!r}")
    return chosen


def _set_cookies(response: Response, click: Click) -> None:
    for name, value in get_state().program.cookies(click.partner_key, click.xid).items():
        response.set_cookie(name, value, max_age=COOKIE_AGE, samesite="Lax", domain=_domain())


def _domain() -> str | None:
    """Return the merchant's domain when the link domain is below it: try.shop.localhost."""
    labels = hostname(request.host).split(".")
    return ".".join(labels[-2:]) if len(labels) > 2 and labels[-1] == "localhost" else None
