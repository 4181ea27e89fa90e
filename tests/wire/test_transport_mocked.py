"""What the transport makes of an answer, with requests-mock in the network's place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
import requests_mock

from flask_partnerstack.errors import NotSent
from flask_partnerstack.wire import HTTPTransport
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import transport

URL = "https://partnerlinks.io/conversion/xid"
WITHIN = timedelta(seconds=30)


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> requests_mock.Adapter:
    """The adapter that answers; mounted where the transport mounts its own."""
    adapter = requests_mock.Adapter()
    monkeypatch.setattr(transport, "_Adapter", lambda **_options: adapter)
    return adapter


@pytest.fixture
def carrier() -> HTTPTransport:
    return HTTPTransport((3.05, 10.0))


def test_status_headers_and_body_come_back(
    adapter: requests_mock.Adapter, carrier: HTTPTransport
) -> None:
    """The response has what the server said, the headers under any case of their names."""
    adapter.register_uri(
        "POST", URL, status_code=429, headers={"retry-after": "7"}, content=b"slow down"
    )
    response = carrier.send(Request("POST", URL, {}, b"{}"), within=WITHIN)
    assert (response.status, response.body) == (429, b"slow down")
    assert {name.lower(): value for name, value in response.headers.items()} == {"retry-after": "7"}


def test_the_request_goes_out_as_it_was_made(
    adapter: requests_mock.Adapter, carrier: HTTPTransport
) -> None:
    """Method, headers and body unchanged, and nothing of the environment added to them."""
    adapter.register_uri("POST", URL, content=b"")
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    carrier.send(Request("POST", URL, headers, b'{"xid":"x"}'), within=WITHIN)
    sent = adapter.request_history[-1]
    assert (sent.method, sent.url, sent.body) == ("POST", URL, b'{"xid":"x"}')
    assert sent.headers.items() >= headers.items()
    assert "Cookie" not in sent.headers


def test_both_timeouts_are_given(adapter: requests_mock.Adapter, carrier: HTTPTransport) -> None:
    """To connect and to read, each never longer than what is left of the whole."""
    adapter.register_uri("GET", URL, content=b"")
    carrier.send(Request("GET", URL, {}), within=WITHIN)
    whole: Any = adapter.request_history[-1].timeout
    assert whole == (3.05, 10.0)
    carrier.send(Request("GET", URL, {}), within=timedelta(seconds=1))
    left: Any = adapter.request_history[-1].timeout
    connect, read = left
    assert 0 < connect <= 1.0
    assert 0 < read <= 1.0


def test_tls_is_verified_and_redirects_are_answers(
    adapter: requests_mock.Adapter, carrier: HTTPTransport
) -> None:
    """A 302 comes back as it is, after one request over verified TLS."""
    adapter.register_uri("POST", URL, status_code=302, headers={"Location": "https://evil.test/"})
    assert carrier.send(Request("POST", URL, {}), within=WITHIN).status == 302
    assert adapter.call_count == 1
    assert adapter.request_history[-1].verify


def test_what_never_left_was_not_sent(
    adapter: requests_mock.Adapter, carrier: HTTPTransport
) -> None:
    """A failure before the first byte is one that can be tried again."""
    adapter.register_uri("POST", URL, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(NotSent):
        carrier.send(Request("POST", URL, {}), within=WITHIN)
