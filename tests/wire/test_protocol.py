"""What PartnerStack's API means, tried with values: no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.errors import Denied
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import Redirected
from flask_partnerstack.errors import Unclear
from flask_partnerstack.wire import Customer
from flask_partnerstack.wire import Receipt
from flask_partnerstack.wire import Response
from flask_partnerstack.wire import pitfalls_of
from flask_partnerstack.wire.protocol import PROMPT
from flask_partnerstack.wire.protocol import conversion_request
from flask_partnerstack.wire.protocol import lookup_request
from flask_partnerstack.wire.protocol import read_customer
from flask_partnerstack.wire.protocol import read_receipt

Answer = Callable[[str], Response]

URL = "https://partnerlinks.io/conversion/xid"
XID = "Kvx64pph9uhCju"
LATE = timedelta(seconds=9)


def judged(response: Response, policy: dict[int, str] | None = None) -> Judgement:
    try:
        read_receipt(response, policy or {})
    except DeliveryError as e:
        return e.judged
    return Judgement.ACCEPTED


# --- a conversion -------------------------------------------------------------------------------


def test_smallest_conversion() -> None:
    """A conversion is a POST of JSON with a Bearer token; what is not known is not in it."""
    request = conversion_request(URL, "t0ken", Conversion.of(customer_key="7f3e", xid=XID))
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers == {
        "Authorization": "Bearer t0ken",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "Flask-PartnerStack",
    }
    assert request.body == b'{"xid":"Kvx64pph9uhCju","customer_key":"7f3e"}'


def test_whole_conversion() -> None:
    """Every field has PartnerStack's name on the wire, and the partner key is not among them."""
    known: dict[str, Any] = {
        "customer_key": "7f3e",
        "xid": XID,
        "email": "zoë@acme.com",
        "name": "Zoë",
        "provider_key": "cus_1",
        "origin": "acme.com",
        "ip_address": "2001:db8::1",
        "user_agent": "Mozilla/5.0",
        "external_type": "trial",
        "sub_ids": ["a", "b"],
        "meta": {"company_name": "ACME", "plan": {"seats": [1, 2]}},
    }
    conversion = Conversion.of(partner_key="546ab5cc34f8", **known)
    body = conversion_request(URL, "t0ken", conversion).body
    assert json.loads(body) == known
    assert body.isascii()
    assert b"546ab5cc34f8" not in body


def test_request_hides_its_secret() -> None:
    """The token and what is said of a customer stay out of a request's repr."""
    conversion = Conversion.of(customer_key="7f3e", xid=XID, email="alice@acme.com")
    request = conversion_request(URL, "t0ken", conversion)
    lookup = lookup_request("https://api.example", "pk_public", "sk_s3cret", "7f3e")
    told = f"{request} {request!r} {lookup} {lookup!r}"
    assert not any(secret in told for secret in ("t0ken", "alice", "Basic", "Bearer", "s3cret"))


# --- how answers to it are judged ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accepted", Judgement.ACCEPTED),
        ("accepted_with_json", Judgement.ACCEPTED),
        ("known_already", Judgement.ACCEPTED),
        ("denied", Judgement.DENIED),
        ("throttled", Judgement.REFUSED),
        ("maintenance", Judgement.REFUSED),
        ("broken", Judgement.UNCLEAR),
        ("bad_gateway", Judgement.UNCLEAR),
        ("moved", Judgement.REFUSED),
        ("rejected", Judgement.REJECTED),
        ("no_such_page", Judgement.REJECTED),
    ],
)
def test_samples(answer: Answer, name: str, expected: Judgement) -> None:
    """Each answer of the manual is judged by the table."""
    assert judged(answer(name)) is expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((200, 201, 202, 204, 299, 409), Judgement.ACCEPTED),
        ((401, 403), Judgement.DENIED),
        ((408, 425, 429), Judgement.REFUSED),
        ((301, 302, 303, 304, 307, 308), Judgement.REFUSED),
        ((400, 402, 404, 405, 410, 413, 418, 422, 451, 499), Judgement.REJECTED),
        ((500, 501, 502, 503, 504, 520, 599), Judgement.UNCLEAR),
        ((101, 103, 600, 999), Judgement.UNCLEAR),
    ],
)
def test_statuses(statuses: tuple[int, ...], expected: Judgement) -> None:
    """Every status is judged by the table, however late and whatever its body."""
    for status in statuses:
        for body in (b"", b"{}", b"\xff\xfe", b"<html>"):
            assert judged(Response(status, {}, body, LATE)) is expected, status


def test_unavailable_at_the_door() -> None:
    """A 503 at once, or one that says when to come back, is a refusal; a late one is unclear."""
    moment = timedelta(milliseconds=1)
    assert judged(Response(503, elapsed=PROMPT - moment)) is Judgement.REFUSED
    assert judged(Response(503, elapsed=PROMPT)) is Judgement.UNCLEAR
    assert judged(Response(503, {"RETRY-AFTER": "x"}, elapsed=LATE)) is Judgement.REFUSED
    assert judged(Response(500, {"Retry-After": "1"}, elapsed=moment)) is Judgement.UNCLEAR


def test_redirect_is_its_own_error() -> None:
    """A redirect is refused as something that a person should see to."""
    with pytest.raises(Redirected, match="not followed"):
        read_receipt(Response(302, {"Location": "https://elsewhere.example"}), {})


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("accept", Judgement.ACCEPTED),
        ("reject", Judgement.REJECTED),
        ("retry", Judgement.REFUSED),
        ("unclear", Judgement.UNCLEAR),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 401, 404, 409, 429, 500, 503])
def test_status_policy(status: int, verdict: str, expected: Judgement) -> None:
    """STATUS_POLICY overrides any judgement, and that of no other status."""
    assert judged(Response(status), {status: verdict}) is expected
    assert judged(Response(400), {status: verdict}) is Judgement.REJECTED


def test_receipt_keeps_the_answer(answer: Answer) -> None:
    """A receipt says what was answered, an empty body being no trouble."""
    assert read_receipt(answer("accepted"), {}) == Receipt(200, "")
    said = '{"message": "Conversion tracked", "status": 200}'
    assert read_receipt(answer("accepted_with_json"), {}) == Receipt(200, said)


def test_error_keeps_the_answer(answer: Answer) -> None:
    """An error carries the status, the answer and the wait that it asks for."""
    with pytest.raises(DeliveryError) as caught:
        read_receipt(answer("throttled"), {})
    error = caught.value
    assert error.reason == str(error) == "HTTP 429: turned away for now"
    assert (error.status, error.retry_after) == (429, timedelta(seconds=30))
    assert error.answer == '{"message": "Rate limit exceeded", "status": 429}'


def test_denied_names_the_mix_up(answer: Answer) -> None:
    """A 401 tells of the two credentials that are easily mixed up."""
    with pytest.raises(Denied, match="not the pk_/sk_ pair"):
        read_receipt(answer("denied"), {})


# --- a look-up ----------------------------------------------------------------------------------


def test_lookup() -> None:
    """A look-up is a GET with the key pair as Basic credentials."""
    request = lookup_request("https://api.partnerstack.com", "pk_a", "sk_b", "7f3e")
    assert request.method == "GET"
    assert request.url == "https://api.partnerstack.com/api/v2/customers/7f3e"
    assert request.headers["Authorization"] == "Basic cGtfYTpza19i"
    assert request.body == b""


@pytest.mark.parametrize(
    ("customer_key", "path"),
    [
        ("alice@acme.com", "alice%40acme.com"),
        ("a/b", "a%2Fb"),
        ("../x?y#z&1", "..%2Fx%3Fy%23z%261"),
        ("50% off +1", "50%25%20off%20%2B1"),
        ("Zoë", "Zo%C3%AB"),
        ("%2F", "%252F"),
    ],
)
def test_customer_key_in_a_path(customer_key: str, path: str) -> None:
    """A customer key is one part of the path, whatever characters it has."""
    assert lookup_request("https://api", "p", "s", customer_key).url.endswith(f"customers/{path}")


@pytest.mark.parametrize(
    ("customer_key", "pitfalls"),
    [
        ("7f3e", set()),
        ("alice.b@acme.com", set()),
        ("Zoë ?#&+", set()),
        ("a/b", {"slash"}),
        ("a\\b", {"backslash"}),
        ("50%", {"percent"}),
        ("%2F", {"escape"}),
        ("5%/a%41", {"percent", "slash", "escape"}),
        ("...", {"dots"}),
        ("/a", {"slash", "dots"}),
        ("a/", {"slash", "dots"}),
        ("a//b", {"slash", "dots"}),
        ("a/../b", {"slash", "dots"}),
    ],
)
def test_pitfalls(customer_key: str, pitfalls: set[str]) -> None:
    """Keys are told apart by what servers on the way may take apart in them."""
    assert pitfalls_of(customer_key) == pitfalls


@pytest.mark.parametrize("customer_key", [".", ".."])
def test_key_of_dots(customer_key: str) -> None:
    """A key that would lead up the path, however it is quoted, cannot be looked up."""
    with pytest.raises(Unclear, match="dots"):
        lookup_request("https://api", "p", "s", customer_key)


def test_customer_is_found(answer: Answer) -> None:
    """Found is a customer in the API's envelope, and whether it is a test."""
    assert read_customer(answer("customer"), "7f3e") == Customer("cus_1a2b3c", test=False)
    assert read_customer(answer("test_customer"), "7f3e") == Customer("cus_4d5e6f", test=True)
    odd = Response(200, body=b'{"data": {"key": "cus_1", "customer_key": null, "test": "no"}}')
    assert read_customer(odd, "7f3e") == Customer("cus_1", test=None)


def test_no_such_customer(answer: Answer) -> None:
    """A clean "no such customer" is a 404 in the API's own words."""
    assert read_customer(answer("no_such_customer"), "7f3e") is None


@pytest.mark.parametrize(
    "name",
    ["no_such_page", "no_such_route", "accepted", "throttled", "bad_gateway"],
)
def test_cannot_tell(answer: Answer, name: str) -> None:
    """Anything else says neither yes nor no, a proxy's 404 and an empty 200 among them."""
    with pytest.raises(Unclear, match="neither yes nor no"):
        read_customer(answer(name), "7f3e")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (404, b"[]"),
        (404, b'"Not Found"'),
        (404, b"{}"),
        (404, b'{"status": 404}'),
        (404, b'{"message": "Not Found", "status": 401}'),
        (404, b"\xff\xfe\x00"),
        (404, b"[" * 50_000),
        (200, b'{"data": null}'),
        (200, b'{"data": []}'),
        (200, b'{"data": {"key'),
        (202, b'{"data": {"key": "a"}}'),
        (302, b""),
    ],
)
def test_half_an_answer(status: int, body: bytes) -> None:
    """No half of an answer is read as missing or found."""
    with pytest.raises(Unclear):
        read_customer(Response(status, {}, body), "7f3e")


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {}, "message": "Customer not found", "status": 404}',
        b'{"data": {"key": "cus_1", "customer_key": "7f3e"}, "status": 404}',
        b'{"data": {"key": "cus_1"}, "status": "error"}',
        b'{"data": {"items": [], "has_more": false}, "status": 200}',
        b'{"data": {"test": false}}',
        b'{"data": {"key": ""}}',
        b'{"data": {"key": null}}',
        b'{"data": {"key": "cus_2", "customer_key": "somebody else"}}',
        b'{"data": {"key": "cus_2", "customer_key": "7F3E"}}',
    ],
)
def test_a_200_without_the_customer_finds_nobody(body: bytes) -> None:
    """A refusal, a list or another's record under a 200 says neither yes nor no."""
    with pytest.raises(Unclear, match="neither yes nor no"):
        read_customer(Response(200, {}, body), "7f3e")


@pytest.mark.parametrize("status", [b"9" * 5000, b'"%s"' % (b"2" * 5000), b'"2"', b'"2000"'])
def test_an_envelope_whose_status_is_none(status: bytes) -> None:
    """A number that is no status of HTTP's says neither yes nor no, however long it is."""
    body = b'{"data": {"key": "cus_1", "customer_key": "7f3e"}, "status": %s}' % status
    with pytest.raises(Unclear, match="neither yes nor no"):
        read_customer(Response(200, {}, body), "7f3e")


@pytest.mark.parametrize("status", [b"200", b'"200"', b"201"])
def test_an_envelope_that_says_yes(status: bytes) -> None:
    """The envelope's own status agrees that the customer was found, as a number or a text."""
    body = b'{"data": {"key": "cus_1", "customer_key": "7f3e"}, "status": %s}' % status
    assert read_customer(Response(200, {}, body), "7f3e") == Customer("cus_1")


@pytest.mark.parametrize("status", [401, 403])
def test_lookup_is_denied(status: int) -> None:
    """A key pair that is not accepted is named."""
    with pytest.raises(Denied, match="PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY"):
        read_customer(Response(status), "7f3e")


def test_lookup_keeps_the_wish(answer: Answer) -> None:
    """A look-up that is turned away keeps the wait that it was asked for."""
    with pytest.raises(Unclear) as caught:
        read_customer(answer("throttled"), "7f3e")
    assert caught.value.retry_after == timedelta(seconds=30)
