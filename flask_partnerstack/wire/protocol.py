"""What PartnerStack's API means. No I/O: values in, values out, or a typed error.

Every rule can be tried by calling a function with bytes. Where the vendor's page has no table of
statuses, the judgement is ours and ``STATUS_POLICY`` overrides it
(https://docs.partnerstack.com/docs/step-3-tracking-conversions).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from ..conversion import Conversion
from ..errors import DeliveryError
from ..errors import Denied
from ..errors import Redirected
from ..errors import Refused
from ..errors import Rejected
from ..errors import Unclear
from .credentials import basic
from .messages import Request
from .messages import Response
from .messages import retry_after

#: A 503 that comes faster than this was given at the door, not half way through.
PROMPT = timedelta(seconds=2)

DENIED_HINT = (
    "the token was not accepted. PARTNERSTACK_TOKEN is the server-to-server token of "
    "PartnerStack's Settings → Integrations, not the pk_/sk_ pair of the REST API"
)


@dataclass(frozen=True)
class Receipt:
    """PartnerStack took the conversion. It does not prove that a customer came of it."""

    status: int
    answer: str = ""


@dataclass(frozen=True)
class Customer:
    """What a look-up found. ``test`` customers are never paid for."""

    key: str
    test: bool | None = None


@dataclass(frozen=True)
class Answer:
    """What a look-up found, and what the time was there."""

    customer: Customer | None
    date: datetime | None


# --- a conversion -------------------------------------------------------------------------------


def conversion_request(url: str, token: str, conversion: Conversion) -> Request:
    """Say ``conversion`` the way PartnerStack wants to hear it.

    https://docs.partnerstack.com/reference (S2S conversion): ``POST /conversion/xid``, Bearer,
    JSON. Optional fields that are empty are left out.
    """
    fields = {name: getattr(conversion, name) for name in _FIELDS}
    body = {name: value for name, value in fields.items() if value}
    return Request(
        "POST",
        url,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **_COMMON},
        json.dumps(body, default=dict, separators=(",", ":")).encode(),
    )


_COMMON = {"Accept": "application/json", "User-Agent": "Flask-PartnerStack"}
#: The names on the wire. The partner key is not one of them: PartnerStack knows it by the click.
_FIELDS = (
    "xid",
    "customer_key",
    "email",
    "name",
    "provider_key",
    "origin",
    "ip_address",
    "user_agent",
    "external_type",
    "sub_ids",
    "meta",
)


def read_receipt(response: Response, policy: Mapping[int, str]) -> Receipt:
    """Return the receipt in an answer to a conversion.

    Any 2xx is one, whatever its body says: production answers 200 with none.

    :param policy: ``STATUS_POLICY``.
    :raises DeliveryError: any other answer, as the kind that says how it is judged.
    """
    verdict = policy.get(response.status)
    judge = _VERDICTS[verdict] if verdict else _judge_of(response)
    if judge is None:
        return Receipt(response.status, response.text)
    raise judge(response)


_Judge = Callable[[Response], DeliveryError]


def _error(kind: type[DeliveryError], reason: str) -> _Judge:
    def judge(response: Response) -> DeliveryError:
        return kind(
            f"HTTP {response.status}: {reason}",
            status=response.status,
            answer=response.text,
            retry_after=retry_after(response),
        )

    return judge


_REFUSED = _error(Refused, "turned away for now")
_UNCLEAR = _error(Unclear, "it may have been taken")
_REJECTED = _error(Rejected, "turned away for good")
_PAIR_DENIED = _error(
    Denied, "PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY were not accepted"
)
_REDIRECTED = _error(Redirected, "a redirect, which is not followed: the token stays with its host")

_VERDICTS: Mapping[str, _Judge | None] = {
    "accept": None,
    "reject": _REJECTED,
    "retry": _REFUSED,
    "unclear": _UNCLEAR,
}

#: How one status is judged; ``None`` is accepted. Those not here are judged by their hundreds.
_BY_STATUS: Mapping[int, _Judge | None] = {
    401: _error(Denied, DENIED_HINT),
    403: _error(Denied, "forbidden: the token may not report this conversion"),
    404: _error(Rejected, "not found: an unknown click, or a wrong PARTNERSTACK_CONVERSION_URL"),
    408: _REFUSED,
    409: None,  # the customer is known there already
    425: _REFUSED,
    429: _REFUSED,
}
_BY_HUNDRED: Mapping[int, _Judge | None] = {
    1: _UNCLEAR,
    2: None,
    3: _REDIRECTED,
    4: _REJECTED,
    5: _UNCLEAR,
}


def _judge_of(response: Response) -> _Judge | None:
    if response.status == 503 and _at_the_door(response):
        return _REFUSED
    if response.status in _BY_STATUS:
        return _BY_STATUS[response.status]
    return _BY_HUNDRED.get(response.status // 100, _UNCLEAR)


def _at_the_door(response: Response) -> bool:
    return response.header("Retry-After") is not None or response.elapsed < PROMPT


# --- a look-up ----------------------------------------------------------------------------------


def lookup_request(api_url: str, public_key: str, secret_key: str, customer_key: str) -> Request:
    """Ask the REST API for a customer by the app's own key, which may hold ``/`` or ``@``.

    https://docs.partnerstack.com/reference (customers): Basic, the public key as user name.

    :raises Unclear: a key that leads elsewhere however it is quoted.
    """
    if customer_key in (".", ".."):
        raise Unclear("a customer key of dots cannot be looked up")
    return Request(
        "GET",
        f"{api_url}/api/v2/customers/{quote(customer_key, safe='')}",
        {"Authorization": f"Basic {basic(public_key, secret_key)}", **_COMMON},
    )


def pitfalls_of(customer_key: str) -> frozenset[str]:
    """Return what in a key others may take apart: each way of it is a kind of key of its own.

    Servers and proxies decode a path before they route by it, some of them twice, and tidy it up.
    Then a look-up is answered for another path, with a clean 404 for a customer who is there
    (https://www.rfc-editor.org/rfc/rfc3986#section-2.2).
    """
    return frozenset(name for name, found in _PITFALLS.items() if found.search(customer_key))


_PITFALLS: Mapping[str, re.Pattern[str]] = {
    "slash": re.compile("/"),
    "backslash": re.compile(r"\\"),
    "percent": re.compile(r"%(?![0-9A-Fa-f]{2})"),
    "escape": re.compile(r"%[0-9A-Fa-f]{2}"),
    "dots": re.compile(r"(?:^|[/\\])\.*(?:[/\\]|$)"),  # a part that is empty or of dots
}


def read_customer(response: Response, customer_key: str) -> Customer | None:
    """Return the customer that a look-up found, or ``None`` for a clean "no such customer".

    Clean is a 404 in the API's own envelope, ``{"message": …, "status": 404}``: a proxy's or a
    wrong host's 404 is none. Found is a record with a key of PartnerStack's, and with the one that
    was asked for where it names any.

    :raises DeliveryError: anything else says neither yes nor no, and is never read as missing.
    """
    content = _json_object(response)
    if response.status == 404 and content.get("status") == 404 and "message" in content:
        return None
    data = content.get("data") if response.status == 200 and _says_yes(content) else None
    if not isinstance(data, dict) or not _is_of(data, customer_key):
        raise _cannot_tell(response)
    test = data.get("test")
    return Customer(data["key"], test if isinstance(test, bool) else None)


def _says_yes(content: Mapping[str, Any]) -> bool:
    """Say whether an envelope's own status, if it has one, is a 2xx, as HTTP's is."""
    status = str(content.get("status", 200))
    # Of a service that says anything: Python reads no number of thousands of digits.
    return len(status) == 3 and status.isdecimal() and int(status) // 100 == 2


def _is_of(data: Mapping[str, Any], customer_key: str) -> bool:
    """Say whether a record is a customer's, and names no other than the one asked for."""
    key, named = data.get("key"), data.get("customer_key")
    return isinstance(key, str) and key != "" and named in (None, customer_key)


def _json_object(response: Response) -> dict[str, Any]:
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _cannot_tell(response: Response) -> DeliveryError:
    if response.status in (401, 403):
        return _PAIR_DENIED(response)
    return _error(Unclear, "the look-up says neither yes nor no")(response)
