"""``known_of``: what is known of a customer without being told, by the referral and the request.

All of it is checked: what can be reported is kept, and the rest is left out.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from typing import Any
from typing import Final
from typing import NamedTuple

from flask import has_request_context

from ._state import State
from ._visit import Environ
from ._visit import this_request
from ._visit import visit_of
from .conversion import check_optional
from .conversion import check_xid
from .conversion import cleaned_user_agent
from .conversion import without_invalid
from .errors import InvalidConversion
from .referral import CLOCK_SKEW
from .referral import Referral
from .referral import check_clicked_at
from .referral import check_referral

log: Final = logging.getLogger("flask_partnerstack")


class FromRequest:
    """The default of ``xid`` and ``referral``: whoever sent this request is who is converted."""

    def __repr__(self) -> str:
        return "FROM_REQUEST"


FROM_REQUEST: Final = FromRequest()


class Known(NamedTuple):
    """What is known of a customer who came by a click that may earn. All of it is checked.

    :param facts: optional fields of the conversion.
    """

    xid: str
    referral: Referral
    facts: Mapping[str, Any]


def known_of(
    state: State,
    xid: str | FromRequest | None,
    referral: Referral | FromRequest | None,
) -> Known | None:
    """Return what is known of the customer; ``None``: there is no click to report.

    With ``xid`` or ``referral``, be it ``None``, nothing is taken from the request, which is
    somebody else's then.

    :raises InvalidConversion: naming the argument that nothing can be known by.
    """
    if xid is not None and not isinstance(xid, FromRequest):
        return _known_of_xid(xid, referral)
    if not isinstance(referral, FromRequest):
        return None if referral is None else _known_of_stored(state, referral)
    return None if xid is None else _known_of_visitor(state)


def _known_of_xid(xid: object, referral: Referral | FromRequest | None) -> Known:
    if not isinstance(referral, FromRequest):
        raise InvalidConversion("xid", "expected xid= or referral=, not both.")
    checked = check_xid(xid)
    return Known(checked, Referral(checked, source="stored"), {})


def _known_of_visitor(state: State) -> Known | None:
    if not has_request_context():
        _warn_of_no_request(state)
        return None
    referral = visit_of(state).referral
    if not _may_earn(state, referral):
        return None
    return Known(
        check_xid(referral.xid), referral, {**_said_by_request(state), **_said_by(referral)}
    )


def _known_of_stored(state: State, given: object) -> Known | None:
    referral = check_referral(given)
    check_clicked_at(referral.clicked_at)  # also of one that cannot be converted anyhow
    objection = _objection_to(state, referral)
    if referral.xid is not None and objection is None:
        return Known(check_xid(referral.xid), referral, _said_by(referral))
    if referral.xid is not None:
        log.warning(
            "Nothing is reported for the click %s: %s, or give xid= to report it all the same.",
            referral.xid,
            objection,
        )
    return None


def _warn_of_no_request(state: State) -> None:
    """Say once that a task, a thread or a command knows no visitor, whose click nobody reports."""
    if state.settings.enabled and state.once.first("no request"):
        log.warning(
            "track_conversion() was called outside of a request and without referral= or xid=, so "
            "no click is known, and nothing is recorded, now and each time. Keep what "
            "current_referral.dumps() gives in the signup's request, and give "
            "referral=Referral.loads(text) here."
        )


def _objection_to(state: State, stored: Referral) -> str | None:
    """Return what keeps a stored click from earning, and what to do about it."""
    now = state.clock()
    if stored.expired(now, state.attribution.window):
        return (
            "it is older than PARTNERSTACK_ATTRIBUTION_WINDOW. Record a conversion when the "
            "customer signs up"
        )
    if stored.clicked_at is not None and stored.clicked_at - now > CLOCK_SKEW:
        return "its clicked_at is in the future, so that it would never expire. Store when it was"
    return None


def _may_earn(state: State, referral: Referral) -> bool:
    return referral.xid is not None and not referral.expired(
        state.clock(), state.attribution.window
    )


def _said_by(referral: Referral) -> dict[str, Any]:
    return check_optional({"partner_key": referral.partner_key, "sub_ids": referral.sub_ids})


# --- what the request knows ---------------------------------------------------------------------


def _said_by_request(state: State) -> dict[str, Any]:
    if not has_request_context():
        return {}
    request, settings = this_request(), state.settings
    _warn_of_proxy(state, request.environ, request.remote_addr)
    facts: dict[str, object] = {"origin": request.host}
    if settings.send_ip:
        facts["ip_address"] = request.remote_addr
    if settings.send_user_agent:
        facts["user_agent"] = cleaned_user_agent(request.environ.get("HTTP_USER_AGENT"))
    kept, _ = without_invalid(facts)
    return kept


#: What ProxyFix leaves in a request that it has set right.
PROXY_FIXED = "werkzeug.proxy_fix.orig"


def _warn_of_proxy(state: State, environ: Environ, address: str | None) -> None:
    """Say once that customers' addresses are a proxy's, where a request shows it."""
    is_forwarded = environ.get("HTTP_X_FORWARDED_FOR") or environ.get("HTTP_FORWARDED")
    if not is_forwarded or PROXY_FIXED in environ:
        return
    if _is_private(address) and state.once.first("behind a proxy"):
        log.warning(
            "A conversion's request came from the private address %s with X-Forwarded-For: the "
            "app is behind a proxy and does not know it, so that PartnerStack is told the proxy's "
            "address in the place of the customer's. Expected: app.wsgi_app = "
            "ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)",
            address,
        )


def _is_private(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_private
    except ValueError:  # a socket's file has none
        return True
