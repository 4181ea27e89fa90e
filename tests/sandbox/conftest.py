"""A sandbox three ways: as an app, as a server in a thread, as a process."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxServer
from flask_partnerstack.sandbox import SandboxSettings
from flask_partnerstack.sandbox import create_app

BEARER = {"Authorization": "Bearer sandbox-token"}
BASIC = {"Authorization": "Basic " + b64encode(b"pk_sandbox:sk_sandbox").decode()}


class Visitor:
    """One sandbox app, and short words for what is asked of it."""

    def __init__(self, **settings: Any) -> None:
        self.app: Flask = create_app(SandboxSettings(**settings))
        self.client: FlaskClient = self.app.test_client()

    def send(self, customer_key: object = "42", xid: object = "Kvx6", **more: Any) -> TestResponse:
        """Post a good conversion, or one spoilt by the arguments."""
        conversion = {"xid": xid, "customer_key": customer_key, **more}
        return self.client.post("/conversion/xid", json=conversion, headers=BEARER)

    def look_up(self, customer_key: str) -> TestResponse:
        """Ask REST v2 for a customer."""
        return self.client.get(f"/api/v2/customers/{quote(customer_key, safe='')}", headers=BASIC)

    def click(self, path: str) -> str:
        """Follow a partner link; where it leads."""
        response = self.client.get(path)
        assert response.status_code == 302, response.text
        return response.headers["Location"]

    def break_(self, **faults: object) -> TestResponse:
        """Put faults, by target."""
        return self.client.put("/_sandbox/faults", json=faults)

    def show(self, name: str) -> Any:
        """Ask the control API."""
        return self.client.get(f"/_sandbox/{name}").get_json()


@pytest.fixture
def visitor() -> Visitor:
    """A sandbox app with default settings."""
    return Visitor()


@pytest.fixture
def make_visitor() -> type[Visitor]:
    """For sandbox apps with other settings."""
    return Visitor


class Line:
    """One kept connection to a server in a thread of this process."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.connection = HTTPConnection(server.host, server.port, timeout=10)

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send a request and read the answer."""
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def send(self, customer_key: str = "42") -> tuple[int, bytes]:
        """Post a good conversion."""
        body = json.dumps({"xid": "Kvx64pph9uhCju", "customer_key": customer_key})
        return self.ask("POST", "/conversion/xid", body, **BEARER)

    def break_(self, **fault: object) -> None:
        """Put one fault on conversions."""
        assert self.ask("PUT", "/_sandbox/faults", json.dumps({"conversion": fault}))[0] == 200

    def show(self, name: str) -> Any:
        """Ask the control API."""
        return json.loads(self.ask("GET", f"/_sandbox/{name}")[1])


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """A sandbox that serves from a thread."""
    server = SandboxServer(create_app())
    thread = Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def call(server: SandboxServer) -> Iterator[Callable[[], Line]]:
    """Opens connections to the server, and closes them in the end."""
    lines: list[Line] = []

    def open_line() -> Line:
        lines.append(Line(server))
        return lines[-1]

    yield open_line
    for line in lines:
        line.connection.close()


@pytest.fixture
def line(call: Callable[[], Line]) -> Line:
    """A connection to the server."""
    return call()


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[SandboxProcess]:
    """One process for all tests that do not stop it."""
    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: SandboxProcess) -> SandboxProcess:
    """A sandbox process that remembers nothing and is whole."""
    shared_sandbox.clear_faults()
    shared_sandbox.clear()
    return shared_sandbox


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something is true, 10 s at most."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait
