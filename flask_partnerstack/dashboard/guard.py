"""Who may see the page, and whose orders it takes.

An order is a POST. It must come from a page of this very site, which the browser itself says in
``Sec-Fetch-Site`` or ``Origin``, and it must repeat a secret that was put into the form and into a
cookie that no other site's request carries. Neither needs the app to have a secret key.

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable
from collections.abc import Callable

from flask import Response
from flask import abort
from flask import current_app
from flask import g
from flask import request
from werkzeug.wrappers import Response as WerkzeugResponse

from .._origin import comes_from_here

#: Asked before each request: ``True`` lets it pass, a response is what is answered instead (a
#: redirect to a login, say), anything else is a 403. Only ``True``, because the text of a login
#: page and ``("go away", 403)`` are true as well.
Answer = bool | WerkzeugResponse | None
Permission = Callable[[], "Answer | Awaitable[Answer]"]

COOKIE = "partnerstack_dashboard"
FIELD = "partnerstack_token"
_TOKEN = "_partnerstack_dashboard_token"  # noqa: S105 - a name on g

#: How long the secret is, and its text: six bits a character.
_BYTES = 32
_LENGTH = 43

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def check_permission(permission: object) -> Permission:
    """Return ``permission`` if it can be asked.

    :raises TypeError: with the way out.
    """
    if not callable(permission):
        raise TypeError(
            "dashboard(permission=…) needs a function that says who may see the page, because it "
            "shows your customers: dashboard(permission=lambda: current_user.is_authenticated and "
            "current_user.is_admin). It is called in each request, and returns True, False, or a "
            "response."
        )
    return permission


def ask_permission(permission: Permission) -> WerkzeugResponse | None:
    """Let the request pass, or return what is answered in its place.

    :raises Forbidden: the answer was no.
    """
    answer = current_app.ensure_sync(permission)()
    if isinstance(answer, WerkzeugResponse):
        return answer
    return None if answer is True else abort(403)


def refuse_foreign_orders() -> None:
    """Turn away what another site makes an operator's browser send.

    :raises Forbidden: with the reason, and what to look at.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    if not comes_from_here():
        abort(
            403,
            "The order did not come from a page of this site. Behind a proxy, let Flask know the "
            "host that browsers see: ProxyFix.",
        )
    given, kept = request.form.get(FIELD, ""), request.cookies.get(COOKIE, "")
    if not kept or not hmac.compare_digest(given.encode(), kept.encode()):
        abort(403, "The form is too old, or cookies are off. Go back, reload and try again.")


def token() -> str:
    """Return the secret for a form on this page; the same for all of them."""
    if _TOKEN not in g:
        kept = request.cookies.get(COOKIE, "")
        setattr(g, _TOKEN, kept if len(kept) == _LENGTH else secrets.token_urlsafe(_BYTES))
    known: str = getattr(g, _TOKEN)
    return known


def seal(response: Response, *, path: str) -> Response:
    """Let nobody frame, sniff or keep the page, and send the secret along if a form has one."""
    headers = response.headers
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    # Not no-referrer: a browser would then send "Origin: null" with our own forms.
    headers["Referrer-Policy"] = "same-origin"
    if request.endpoint is None or not request.endpoint.endswith(".static"):
        headers["Cache-Control"] = "no-store"
    if _TOKEN in g:
        response.set_cookie(
            COOKIE, token(), path=path, secure=request.is_secure, httponly=True, samesite="Strict"
        )
    return response
