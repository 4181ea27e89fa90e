"""Answers from files, and servers on loopback."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_partnerstack.wire import HTTPTransport
from flask_partnerstack.wire import Response
from tests.wire.peer import OK
from tests.wire.peer import Peer
from tests.wire.peer import Talk
from tests.wire.peer import answering

SAMPLES = Path(__file__).parents[1] / "samples" / "answers"


@pytest.fixture
def listen() -> Iterator[Callable[..., Peer]]:
    """Return what starts peers: with a talk, or with the answers that they give."""
    peers: list[Peer] = []

    def start(
        *answers: bytes, talk: Talk | None = None, context: ssl.SSLContext | None = None
    ) -> Peer:
        peers.append(Peer(talk or answering(*(answers or (OK,))), context))
        return peers[-1]

    yield start
    for peer in peers:
        peer.stop()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy or CA bundle of this machine have a say."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")) or name == "NETRC":
            monkeypatch.delenv(name)


@pytest.fixture
def transport() -> HTTPTransport:
    """Patient, so that a busy machine is no trouble; tests of impatience bring their own."""
    return HTTPTransport((5, 5))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and partnerstack.invalid, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *(
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:partnerstack.invalid",
            ),
            *("-out", str(paths[0]), "-keyout", str(paths[1])),
        ],
        check=True,
        capture_output=True,
    )
    return paths


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """What a server needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def answer() -> Callable[[str], Response]:
    """Return what reads an answer from its file."""

    def read(name: str) -> Response:
        text = (SAMPLES / f"{name}.http").read_text()
        head, _, body = text.partition("\n\n")
        first, *lines = head.split("\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Response(int(first.split()[1]), headers, body.encode())

    return read
