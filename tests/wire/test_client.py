"""The client: what is wanted, said and carried, to the sandbox and back."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.errors import Denied
from flask_partnerstack.errors import Redirected
from flask_partnerstack.errors import Refused
from flask_partnerstack.errors import Rejected
from flask_partnerstack.errors import Unclear
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxSettings
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import Customer
from flask_partnerstack.wire import HTTPTransport
from flask_partnerstack.wire import Receipt
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import Response
from tests.kit import ScriptedTransport

WITHIN = timedelta(seconds=20)
XID = "Kvx64pph9uhCju"
KEYS = {
    "PARTNERSTACK_TOKEN": "sandbox-token",
    "PARTNERSTACK_PUBLIC_KEY": "pk_sandbox",
    "PARTNERSTACK_SECRET_KEY": "sk_sandbox",
}


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: SandboxProcess) -> SandboxProcess:
    running.clear_faults()
    running.clear()
    return running


@pytest.fixture
def client(sandbox: SandboxProcess) -> Client:
    return client_of(sandbox)


def client_of(sandbox: SandboxProcess, **config: object) -> Client:
    urls = {
        "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
        "PARTNERSTACK_API_URL": sandbox.url,
    }
    settings = Settings.from_mapping({**KEYS, **urls, **config})
    return Client(settings, HTTPTransport((5, 5)))


def conversion(customer_key: str = "7f3e", **known: Any) -> Conversion:
    return Conversion.of(customer_key=customer_key, xid=XID, **known)


def test_delivered(client: Client, sandbox: SandboxProcess) -> None:
    """What is delivered is there, field by field."""
    meta = {"company_name": "ACME"}
    receipt = client.deliver(conversion(email="a@b.io", meta=meta), within=WITHIN)
    assert receipt.status == 200
    [customer] = sandbox.customers()
    assert (customer["customer_key"], customer["email"]) == ("7f3e", "a@b.io")


@pytest.mark.parametrize("key", ["7f3e", "alice@acme.com", "a/b", "Zoë?#&", "50%", "a b", "%2F"])
def test_looked_up(client: Client, key: str) -> None:
    """A customer is found by any key after the delivery, and cleanly not before."""
    assert client.look_up(key, within=WITHIN) is None
    client.deliver(conversion(key), within=WITHIN)
    found = client.look_up(key, within=WITHIN)
    assert isinstance(found, Customer)
    assert found.test is not None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 429, "headers": {"Retry-After": "9"}}, Refused),
        ({"status": 503}, Refused),
        ({"status": 400}, Rejected),
        ({"status": 500}, Unclear),
        ({"redirect": "https://elsewhere.example"}, Redirected),
        ({"drop": "before"}, Unclear),
        ({"drop": "after"}, Unclear),
    ],
)
def test_faults(
    client: Client,
    sandbox: SandboxProcess,
    fault: dict[str, Any],
    expected: type[DeliveryError],
) -> None:
    """What goes wrong comes back as the error that says how it is judged."""
    sandbox.fault(**fault)
    with pytest.raises(expected) as caught:
        client.deliver(conversion(), within=WITHIN)
    assert type(caught.value) is expected


def test_wrong_token(sandbox: SandboxProcess) -> None:
    """A token that is not accepted is denied, and not repeated in the error."""
    client = client_of(sandbox, PARTNERSTACK_TOKEN="an-old-token")
    with pytest.raises(Denied) as caught:
        client.deliver(conversion(), within=WITHIN)
    assert "an-old-token" not in f"{caught.value!r} {caught.value.answer}"


def test_wrong_key_pair(sandbox: SandboxProcess) -> None:
    """A key pair that is not accepted is denied."""
    with pytest.raises(Denied, match="PUBLIC_KEY"):
        client_of(sandbox, PARTNERSTACK_SECRET_KEY="sk_old").look_up("7f3e", within=WITHIN)


def test_status_policy() -> None:
    """STATUS_POLICY judges what the client receives."""
    transport = ScriptedTransport()
    transport.answers = [Response(404)]
    settings = Settings.from_mapping({**KEYS, "PARTNERSTACK_STATUS_POLICY": {404: "accept"}})
    assert Client(settings, transport).deliver(conversion(), within=WITHIN) == Receipt(404)


def test_lookup_of_what_lags(client: Client, sandbox: SandboxProcess) -> None:
    """A customer that is not visible yet is not there yet, and trouble is never read as that."""
    client.deliver(conversion(), within=WITHIN)
    sandbox.fault(on="api", lag=60)
    assert client.look_up("7f3e", within=WITHIN) is None
    sandbox.fault(on="api", status=404, body="<html>not the API</html>")
    with pytest.raises(Unclear):
        client.look_up("7f3e", within=WITHIN)


def test_lookup_that_says_no_with_a_200(client: Client, sandbox: SandboxProcess) -> None:
    """A "not found" in a 200's envelope is no find, although the customer is there."""
    client.deliver(conversion(), within=WITHIN)
    body = '{"data": {}, "message": "Customer not found", "status": 404}'
    sandbox.fault(on="api", status=200, body=body)
    with pytest.raises(Unclear):
        client.look_up("7f3e", within=WITHIN)


@pytest.mark.parametrize("key", ["a/b", "%2F"])
def test_lookup_where_keys_are_decoded_on_the_way(key: str) -> None:
    """A key with a slash is cleanly missing there, although the customer is known."""
    with SandboxProcess(SandboxSettings(decode_keys=True)) as decoding:
        client = client_of(decoding)
        client.deliver(conversion(key), within=WITHIN)
        assert client.look_up(key, within=WITHIN) is None
        assert [customer["customer_key"] for customer in decoding.customers()] == [key]


SECRETS = {
    "PARTNERSTACK_TOKEN": "tok/en+&-Zx81",
    "PARTNERSTACK_PUBLIC_KEY": "pk_Zx82",
    "PARTNERSTACK_SECRET_KEY": "sk_Zx83",
}


def echoing(prefix: bytes = b"") -> Client:
    """Return a client of a service that answers with what it was sent, in every way of writing."""

    def echo(request: Request) -> Response:
        said = request.headers["Authorization"]
        bare = said.split(" ", 1)[1]
        pair = base64.b64decode(bare).decode() if said.startswith("Basic") else bare
        ways = {quote(pair, safe=""), html.escape(pair), pair.replace("/", r"\/")}
        body = prefix + " ".join((said, pair, *ways)).encode()
        return Response(400, body=body)

    transport = ScriptedTransport()
    transport.answers = [echo]
    return Client(Settings.from_mapping(SECRETS), transport)


@pytest.mark.parametrize("prefix", [b"", b" " * 1990, b"x" * 490])
@pytest.mark.parametrize("ask", ["deliver", "look_up"])
def test_an_answer_that_echoes_the_request_gives_no_secret_away(ask: str, prefix: bytes) -> None:
    """Neither the token nor the pair goes on into the trail, also where the answer is cut."""
    wanted = conversion() if ask == "deliver" else "7f3e"
    with pytest.raises(DeliveryError) as raised:
        getattr(echoing(prefix), ask)(wanted, within=WITHIN)
    answer = raised.value.answer
    assert "r *" in answer or "c *" in answer  # Bearer ***, Basic ***
    assert not [part for part in ("Zx", "tok", "sk_", "pk_", "cGtf") if part in answer]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("before", ["", " " * 400, "x" * 495])
def test_an_answer_in_another_encoding_gives_no_secret_away(encoding: str, before: str) -> None:
    """What is left when its NULs are dropped is masked too, also where the answer is cut."""
    transport = ScriptedTransport()
    said = f"{before} no tok/en+&-Zx81, no sk_Zx83".encode(encoding)
    transport.answers = [Response(400, body=said)]
    with pytest.raises(DeliveryError) as raised:
        Client(Settings.from_mapping(SECRETS), transport).deliver(conversion(), within=WITHIN)
    assert not [part for part in ("Zx", "tok", "sk_") if part in raised.value.answer]


@pytest.mark.parametrize("break_", ["\0", "\x7f", "\r\n", "\t", "\x1f", "\u200b", "\0 \0"])
def test_an_answer_that_breaks_a_secret_gives_it_not_away(break_: str) -> None:
    """A character in the midst of it that is not shown, or shown as a space, hides no secret."""
    transport = ScriptedTransport()
    transport.answers = [Response(400, body=f"no tok/en+{break_}&-Zx81 here".encode())]
    with pytest.raises(DeliveryError) as raised:
        Client(Settings.from_mapping(SECRETS), transport).deliver(conversion(), within=WITHIN)
    assert raised.value.answer == "no *** here"


def test_a_receipt_gives_no_secret_away() -> None:
    """What was taken has an answer, too."""
    transport = ScriptedTransport()
    transport.answers = [Response(200, body=b"thanks for tok/en+&-Zx81")]
    client = Client(Settings.from_mapping(SECRETS), transport)
    assert client.deliver(conversion(), within=WITHIN) == Receipt(200, "thanks for ***")
