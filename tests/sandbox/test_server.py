from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import RemoteDisconnected
from pathlib import Path
from threading import Thread

import pytest
import requests

from flask_partnerstack.sandbox import SandboxServer
from flask_partnerstack.sandbox import SandboxSettings
from flask_partnerstack.sandbox import create_app
from flask_partnerstack.sandbox import serve

from .conftest import BEARER
from .conftest import Line

Wait = Callable[[Callable[[], object]], None]


def speak(server: SandboxServer, text: str, *, more: str = "") -> bytes:
    """Send bytes as they are, and return what comes back until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        answer = b""
        with suppress(OSError):  # it may close on what it read so far
            connection.sendall((text + more).encode())
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_connection_is_kept(line: Line) -> None:
    """Many requests travel on one connection, whatever they are answered."""
    line.send()
    kept = line.connection.sock
    line.ask("GET", "/nothing")
    line.ask("HEAD", "/")
    line.ask("POST", "/conversion/xid", "unread by the app")
    line.send()

    assert line.connection.sock is kept
    assert len(line.show("received")) == 3


def test_kept_connection_is_not_slowed(line: Line) -> None:
    """An answer does not wait for a delayed ACK, which would cost 40 ms each time."""
    line.send()
    started = time.monotonic()
    for _ in range(50):
        line.send()

    assert time.monotonic() - started < 50 * 0.04


def test_chunked_body(line: Line) -> None:
    """A body without a length is read to its end, and the connection kept."""
    body = json.dumps({"xid": "abcd", "customer_key": "42"}).encode()
    line.connection.request("POST", "/conversion/xid", iter([body]), BEARER, encode_chunked=True)

    assert line.connection.getresponse().read() == b""
    assert line.send()[0] == 200


@pytest.mark.parametrize("length", ["x", "5", str(2**21)])
def test_lying_length_closes(server: SandboxServer, length: str) -> None:
    """A Content-Length that is nonsense, too long or far too long ends the connection."""
    head = f"POST /conversion/xid HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    answer = speak(server, head, more="{}")

    assert b"Connection: close\r\n" in answer
    assert answer.startswith(b"HTTP/1.1 4")


def test_endless_chunks_close(server: SandboxServer) -> None:
    """A chunked body beyond the bound is refused with 413 and the connection closed."""
    head = "POST /conversion/xid HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = 2**20 + 1
    answer = speak(server, head, more=f"{size:x}\r\n{'0' * size}\r\n0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_broken_chunks_close(server: SandboxServer) -> None:
    """A chunk that is none ends the connection without an answer."""
    head = "POST /conversion/xid HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert speak(server, head, more="zz\r\n") == b""


def test_old_protocol(server: SandboxServer) -> None:
    """An HTTP/1.0 client is answered and let go."""
    answer = speak(server, "GET /_sandbox/clicks HTTP/1.0\r\nHost: localhost\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n[]\n")


def test_client_that_leaves(server: SandboxServer, line: Line) -> None:
    """A client that hangs up in the middle of an answer disturbs nobody."""
    line.break_(huge=50_000_000, times=1)
    with socket.create_connection((server.host, server.port)) as leaving:
        leaving.sendall(b"POST /conversion/xid HTTP/1.1\r\nHost: localhost\r\n\r\n")
        leaving.recv(1)

    assert line.send()[0] == 200


def test_drop_before(line: Line) -> None:
    """The connection is closed without an answer, and nothing was accepted."""
    line.break_(drop="before", times=1)
    with pytest.raises(RemoteDisconnected):
        line.send()

    (received,) = line.show("received")
    assert (received["status"], received["accepted"]) == (None, False)
    assert line.show("customers") == []


def test_drop_after(line: Line) -> None:
    """The connection is closed without an answer, and the conversion was accepted."""
    line.break_(drop="after", times=1)
    with pytest.raises(RemoteDisconnected):
        line.send()

    (received,) = line.show("received")
    assert (received["status"], received["accepted"]) == (None, True)
    assert line.send()[0] == 200


def test_hang_for_a_while(line: Line) -> None:
    """A bounded hang ends with the connection, not with an answer."""
    line.break_(hang=0.01, times=1)
    with pytest.raises(RemoteDisconnected):
        line.send()


def test_hang_until_cleared(call: Callable[[], Line], eventually: Wait) -> None:
    """Whoever hangs is let go, without an answer, when the faults are cleared."""
    hanging, line = call(), call()
    line.break_(hang=True)
    ended: list[type[BaseException]] = []

    def wait() -> None:
        with pytest.raises(RemoteDisconnected) as caught:
            hanging.send()
        ended.append(caught.type)

    thread = Thread(target=wait)
    thread.start()
    eventually(lambda: line.show("received"))
    assert not ended
    line.ask("DELETE", "/_sandbox/faults")
    thread.join()
    assert ended


def test_delay_comes_before_processing(call: Callable[[], Line], eventually: Wait) -> None:
    """A delayed request is not accepted yet; once the delay ends it is, and answered."""
    delayed, line = call(), call()
    line.break_(delay=3600, times=1)
    answers: list[tuple[int, bytes]] = []
    thread = Thread(target=lambda: answers.append(delayed.send()))
    thread.start()
    eventually(lambda: not line.show("faults")["conversion"])
    assert line.show("received") == []

    line.ask("DELETE", "/_sandbox/faults")
    thread.join()
    assert answers == [(200, b"")]
    assert line.show("received")[0]["accepted"] is True


def test_drip(server: SandboxServer, line: Line) -> None:
    """The whole answer, status line first, comes byte by byte; clearing ends that."""
    line.break_(drip=3600, status=500, body="late")
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b"POST /conversion/xid HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536) == b"H"
        line.ask("DELETE", "/_sandbox/faults")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))

    assert rest.startswith(b"TTP/1.1 500 ")
    assert rest.endswith(b"\r\n\r\nlate")


def test_drip_to_the_end(line: Line) -> None:
    """A drip that is fast enough arrives as any answer does."""
    line.break_(drip=0.00001, huge=10)

    assert line.send() == (200, b"0" * 10)


def test_stop_while_hanging(
    call: Callable[[], Line], server: SandboxServer, eventually: Wait
) -> None:
    """Stopping does not wait for anybody who hangs, and lets them go."""
    hanging, line = call(), call()
    line.break_(hang=True)
    hanging.connection.request("POST", "/conversion/xid")
    eventually(lambda: line.show("received"))
    started = time.monotonic()
    server.stop()

    with pytest.raises(RemoteDisconnected):
        hanging.connection.getresponse()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "acme.test", ""])
def test_only_loopback_is_served(host: str) -> None:
    """A host that other machines could reach is refused before anything is opened."""
    with pytest.raises(ValueError, match=r"^host: expected a loopback address"):
        serve(host)
    with pytest.raises(ValueError, match=r"^host: expected a loopback address"):
        SandboxServer(create_app(), host)


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("localhost", "localhost")])
def test_url_of_other_loopbacks(host: str, shown: str) -> None:
    """The URL is written as a client needs it, with IPv6 in brackets."""
    try:
        server = SandboxServer(create_app(), host)
    except SystemExit:  # pragma: no cover
        pytest.skip("no IPv6 here")
    with server:
        assert server.url == f"http://{shown}:{server.port}"


def test_sigterm_ends_serving(tmp_path: Path) -> None:
    """SIGTERM ends serve() cleanly, and then means again what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        Thread(target=terminate).start()

    def terminate() -> None:
        assert requests.get(urls[0], timeout=10).ok
        os.kill(os.getpid(), signal.SIGTERM)

    serve(port=0, settings=SandboxSettings(records=tmp_path / "records"), ready=ready)
    assert urls[0].startswith("http://127.0.0.1:")
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_before_it_is_ready() -> None:
    """Ctrl-C ends serve() at any moment without a traceback, and without being lost."""

    def ready(url: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    serve(port=0, ready=ready)
    assert signal.getsignal(signal.SIGINT) is before


def test_serve_in_a_thread() -> None:
    """Outside of the main thread, which owns the signals, serve() works all the same."""
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        sys.exit()

    def run() -> None:
        with pytest.raises(SystemExit):
            serve(port=0, ready=ready)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert urls


def test_quiet_unless_verbose(caplog: pytest.LogCaptureFixture, line: Line) -> None:
    """A request leaves no line by default, and one with verbose."""
    line.send()
    assert not caplog.records

    server = SandboxServer(create_app(), verbose=True)
    thread = Thread(target=server.run)
    thread.start()
    talking = Line(server)
    talking.send()
    talking.connection.close()
    server.stop()
    thread.join()
    assert '"POST /conversion/xid HTTP/1.1" 200' in caplog.text


def test_nonsense_is_logged(caplog: pytest.LogCaptureFixture, server: SandboxServer) -> None:
    """What is no HTTP at all is answered with 400 and leaves a line."""
    assert b"400" in speak(server, "hello\r\n\r\n")
    assert "Bad request syntax" in caplog.text
