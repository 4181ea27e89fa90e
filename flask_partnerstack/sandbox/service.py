"""The service itself: ``POST /conversion/xid`` and the look-up of customers."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from dataclasses import replace
from typing import Final
from typing import NamedTuple
from urllib.parse import unquote

from flask import Blueprint
from flask import Response
from flask import request

from .answers import Answer
from .answers import answered_status
from .answers import spoil
from .conversion import ConversionError
from .conversion import parse_conversion
from .conversion import read_object
from .fault import Fault
from .memory import Lookup
from .memory import Received
from .state import get_state

blueprint: Final = Blueprint("service", __name__)

#: What is remembered of a request's headers. The credential is not.
HEADERS_OF_INTEREST = ("Content-Type", "User-Agent", "Accept", "Idempotency-Key", "Host")


class Judged(NamedTuple):
    """A conversion, weighed: the answer that it earned and what became of it."""

    answer: Answer
    accepted: bool = False
    duplicate: bool = False


@blueprint.post("/conversion/xid")
def take_conversion() -> Response:
    """Take a conversion, or refuse it; an accepted one is answered with 200 and nothing else."""
    raw = request.get_data().decode("utf-8", "replace")
    strike = get_state().faults.take("conversion", str(read_object(raw).get("customer_key", "")))
    strike.wait(strike.fault.delay)

    at = time.time()  # one for both, because the records keep one
    judged = _judge(raw, strike.fault, at)
    _remember(raw, strike.fault, judged, at)
    return spoil(judged.answer, strike)


def _judge(raw: str, fault: Fault, at: float) -> Judged:
    refusal = _refusal(raw)
    if refusal:
        return Judged(refusal)
    return _accept(raw, at) if fault.accepts else Judged(Answer(200))


def _refusal(raw: str) -> Answer | None:
    if not _may_convert():
        return Answer.refusal(401, "Unauthorized: a Bearer token is expected here")
    try:
        conversion = parse_conversion(raw)
    except ConversionError as error:
        return Answer.refusal(400, str(error))
    if get_state().settings.strict_clicks and not get_state().memory.knows_click(conversion["xid"]):
        return Answer.refusal(404, f"'xid': no click of this sandbox is called {conversion['xid']}")
    return None


def _accept(raw: str, at: float) -> Judged:
    duplicate = not get_state().memory.add_customer(raw, at)
    if duplicate and get_state().settings.conflict_on_repeat:
        return Judged(Answer.refusal(409, "'customer_key': a customer with this key exists"))
    return Judged(Answer(200), accepted=True, duplicate=duplicate)


def _remember(raw: str, fault: Fault, judged: Judged, at: float) -> None:
    names = (name for name in HEADERS_OF_INTEREST if name in request.headers)
    received = Received(
        at=at,
        raw=raw,
        headers=tuple((name, request.headers[name]) for name in names),
        status=answered_status(fault, judged.answer.status),
        accepted=judged.accepted,
        duplicate=judged.duplicate,
        note=str(replace(fault, times=None)) or judged.answer.message,
    )
    get_state().memory.add_received(received)


@blueprint.get("/api/v2/customers/<key:customer_key>")
def show_customer(customer_key: str) -> Response:
    """Show one customer, once the read-back lag is over."""
    strike = get_state().faults.take("api", customer_key)
    strike.wait(strike.fault.delay)

    answer = _find(customer_key, strike.fault)
    status = answered_status(strike.fault, answer.status)
    get_state().memory.add_lookup(Lookup(time.time(), customer_key, status))
    return spoil(answer, strike)


def _find(customer_key: str, fault: Fault) -> Answer:
    if not _may_look_up():
        return Answer.refusal(401, "Unauthorized: Basic authentication is expected here")
    settings = get_state().settings
    routed = _taken_apart(customer_key) if settings.decode_keys else customer_key
    customer = get_state().memory.customer(routed) if routed else None
    lag = max(settings.lag, fault.lag or 0)
    if customer is None or time.time() < customer.at + lag:
        return Answer.refusal(404, "Customer not found")
    data = customer.as_json(test=settings.test)
    return Answer(200, {"data": data, "message": "Customer found", "status": 200})


def _taken_apart(customer_key: str) -> str:
    """The key that a server looks for which decodes a path once more; empty when it leads away."""
    key = unquote(customer_key).replace("\\", "/")
    return "" if "/" in key else key


def _may_convert() -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.casefold() == "bearer" and _same(token.strip(), get_state().settings.token)


def _may_look_up() -> bool:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    settings = get_state().settings
    expected = f"{settings.public_key}:{settings.secret_key}"
    return scheme.casefold() == "basic" and _same(_unpack(credential.strip()), expected)


def _unpack(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
