"""Bytes out, bytes in: what the transport does over real sockets, and what it tells of trouble."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from flask_partnerstack.errors import NotSent
from flask_partnerstack.errors import Unclear
from flask_partnerstack.wire import HTTPTransport
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import exchange
from flask_partnerstack.wire import transport as transport_module
from flask_partnerstack.wire.transport import LARGEST_BODY
from tests.wire.peer import OK
from tests.wire.peer import Line
from tests.wire.peer import Peer

Listen = Callable[..., Peer]

WITHIN = timedelta(seconds=20)
SOON = timedelta(seconds=0.3)
EMAIL = "alice@acme.com"


def post(url: str, **headers: str) -> Request:
    headers = {"Authorization": "Bearer t0ken", **headers}
    return Request("POST", f"{url}/conversion/xid", headers, b'{"xid":"Kvx64pph9uhCju"}')


def get(url: str) -> Request:
    return Request("GET", f"{url}/api/v2/customers/alice%40acme.com", {"Authorization": "Basic x"})


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# --- what leaves, what comes back ---------------------------------------------------------------


def test_request_on_the_wire(listen: Listen, transport: HTTPTransport) -> None:
    """What leaves is what the request says, its length and the host; nothing of the library's."""
    peer = listen()
    transport.send(post(peer.url), within=WITHIN)
    head, _, body = peer.requests[0].decode().partition("\r\n\r\n")
    assert head.split("\r\n")[0] == "POST /conversion/xid HTTP/1.1"
    assert sorted(head.split("\r\n")[1:]) == [
        "Accept-Encoding: identity",
        "Authorization: Bearer t0ken",
        "Content-Length: 24",
        f"Host: 127.0.0.1:{peer.port}",
        f"User-Agent: python-urllib3/{sys.modules['urllib3'].__version__}",
    ]
    assert body == '{"xid":"Kvx64pph9uhCju"}'


def test_path_leaves_as_it_is_written(listen: Listen, transport: HTTPTransport) -> None:
    """What is percent-encoded in a URL stays so, a slash above all."""
    peer = listen()
    transport.send(Request("GET", f"{peer.url}/c/a%2Fb%40c%20%C3%A9%25", {}), within=WITHIN)
    assert peer.requests[0].startswith(b"GET /c/a%2Fb%40c%20%C3%A9%25 HTTP/1.1\r\n")


def test_answer_is_brought_back(listen: Listen, transport: HTTPTransport) -> None:
    """Status, headers and body of the answer come back, and how long it took."""
    peer = listen(answer(b"later", "429 Too Many Requests", "Retry-After: 5"))
    response = transport.send(post(peer.url), within=WITHIN)
    assert (response.status, response.body) == (429, b"later")
    assert response.headers == {"Content-Length": "5", "Retry-After": "5"}
    assert timedelta(0) < response.elapsed < WITHIN


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body(listen: Listen, transport: HTTPTransport, status: str) -> None:
    """An answer that has no body by its nature is whole, and the connection goes on."""
    peer = listen(f"HTTP/1.1 {status}\r\nServer: x\r\n\r\n".encode())
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).body == b""
    assert peer.connections == 1


def test_interim_answers_are_not_the_answer(listen: Listen, transport: HTTPTransport) -> None:
    """The answer is what follows 100, 102 and 103, and no later request is given it instead."""
    interim = b"".join(
        b"HTTP/1.1 %d Wait\r\nLink: x\r\n\r\n" % status for status in (100, 102, 103)
    )
    peer = listen(interim + answer(b"first"), interim + answer(b"second"))
    bodies = [transport.send(post(peer.url), within=WITHIN).body for _ in range(2)]
    assert bodies == [b"first", b"second"]
    assert peer.connections == 1


def test_chunked_answer(listen: Listen, transport: HTTPTransport) -> None:
    """An answer in chunks is put together, and the connection goes on."""
    peer = listen(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).body == b"abcde"
    assert peer.connections == 1


def test_answer_that_ends_with_its_connection(listen: Listen, transport: HTTPTransport) -> None:
    """An old server that closes to say that it is done is understood."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.0 200 OK\r\n\r\nabc")

    peer = listen(talk=talk)
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).body == b"abc"
    assert peer.connections == 2


# --- trouble ------------------------------------------------------------------------------------


def test_nobody_listens(listen: Listen, transport: HTTPTransport) -> None:
    """A refused connection is not sent."""
    peer = listen()
    peer.stop()
    with pytest.raises(NotSent, match="could not connect: ConnectionRefusedError"):
        transport.send(post(peer.url), within=WITHIN)


def test_host_that_does_not_answer(transport: HTTPTransport) -> None:
    """A host that leaves us waiting for a connection is given up in time, both attempts in all."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # nobody accepts, so that there is no room for ours
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(NotSent, match="the exchange took too long in all"):
            transport.send(post(f"http://127.0.0.1:{full.getsockname()[1]}"), within=SOON)


def test_host_that_does_not_exist(transport: HTTPTransport) -> None:
    """A name that nobody knows is not sent."""
    with pytest.raises(NotSent, match="could not connect: gaierror"):
        transport.send(post("http://nowhere.invalid"), within=WITHIN)


def test_accepted_and_dropped(listen: Listen, transport: HTTPTransport) -> None:
    """A connection that ends after the request, with no answer, is unclear, and not tried again."""
    peer = listen(talk=lambda line: line.hear() and None)
    with pytest.raises(Unclear, match="no answer came: RemoteDisconnected"):
        transport.send(post(peer.url), within=WITHIN)
    assert len(peer.requests) == 1


def test_reset(listen: Listen, transport: HTTPTransport) -> None:
    """So is one that is torn down."""

    def talk(line: Line) -> None:
        line.hear()
        line.reset()

    peer = listen(talk=talk)
    with pytest.raises(Unclear, match="no answer came"):
        transport.send(post(peer.url), within=WITHIN)
    assert len(peer.requests) == 1


def test_kept_connection_that_is_dropped(listen: Listen, transport: HTTPTransport) -> None:
    """The second request on a kept connection is unclear too when no answer comes."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(OK)
        line.hear()

    peer = listen(talk=talk)
    transport.send(post(peer.url), within=WITHIN)
    with pytest.raises(Unclear):
        transport.send(post(peer.url), within=WITHIN)
    assert (peer.connections, len(peer.requests)) == (1, 2)


def test_kept_connections_that_disappoint(listen: Listen, transport: HTTPTransport) -> None:
    """One lost answer on a kept connection is enough: for a while each request has its own."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(OK)
        line.hear()

    peer = listen(talk=talk)
    transport.send(post(peer.url), within=WITHIN)
    with pytest.raises(Unclear):
        transport.send(post(peer.url), within=WITHIN)
    for _ in range(5):
        assert transport.send(post(peer.url), within=WITHIN).status == 200
    assert (peer.connections, len(peer.requests)) == (6, 7)


def test_kept_connections_are_trusted_again(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that disappointed once is no reason for new ones for ever, nor elsewhere."""
    monkeypatch.setattr(transport_module, "DISTRUST", 0.0)
    peer = listen(OK, b"garbage\r\n", OK)
    transport.send(post(peer.url), within=WITHIN)
    with pytest.raises(Unclear):
        transport.send(post(peer.url), within=WITHIN)
    for _ in range(3):
        transport.send(post(peer.url), within=WITHIN)
    assert peer.connections == 2


def test_new_connection_that_disappoints(listen: Listen, transport: HTTPTransport) -> None:
    """No answer on a new connection says nothing of those that are kept."""
    peer = listen(b"garbage\r\n", OK)
    with pytest.raises(Unclear):
        transport.send(post(peer.url), within=WITHIN)
    for _ in range(3):
        transport.send(post(peer.url), within=WITHIN)
    assert peer.connections == 2


def test_hang(listen: Listen) -> None:
    """No answer within the read timeout is unclear."""

    def talk(line: Line) -> None:
        line.hear()
        line.wait()

    peer = listen(talk=talk)
    with pytest.raises(Unclear, match=r"TimeoutError$"):
        HTTPTransport((5, 0.1)).send(post(peer.url), within=WITHIN)


def test_garbage(listen: Listen, transport: HTTPTransport) -> None:
    """An answer that is no HTTP is unclear."""
    peer = listen(b"220 mail.example ESMTP\r\n")
    with pytest.raises(Unclear, match="BadStatusLine"):
        transport.send(post(peer.url), within=WITHIN)


@pytest.mark.parametrize(
    "headers",
    [
        b"X: y\r\n" * 1000,
        b"X: y\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
        b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 0, 5\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=["endless", "many", "long", "two lengths in one", "two lengths"],
)
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
def test_headers_that_make_no_sense(
    listen: Listen, transport: HTTPTransport, interim: bytes, headers: bytes
) -> None:
    """They are not read to the end; the status has said it, and the connection is not kept."""
    peer = listen(interim + b"HTTP/1.1 200 OK\r\n" + headers)
    for _ in range(2):
        response = transport.send(post(peer.url), within=WITHIN)
        assert (response.status, response.headers, response.body) == (200, {}, b"")
        assert timedelta(0) < response.elapsed < WITHIN
    assert (peer.connections, len(peer.requests)) == (2, 2)


@pytest.mark.parametrize("status", [b"200 OK", b"429 Too Many Requests"])
def test_headers_that_break_off(listen: Listen, transport: HTTPTransport, status: bytes) -> None:
    """A connection that is torn down within the headers had said by then what was judged."""

    def talk(line: Line) -> None:
        line.hear()
        line.drip(b"HTTP/1.1 %s\r\nServer: x\r\n" % status)
        line.tear()

    peer = listen(talk=talk)
    assert transport.send(post(peer.url), within=WITHIN).status == int(status[:3])
    assert len(peer.requests) == 1


def test_headers_that_drip(listen: Listen, transport: HTTPTransport) -> None:
    """Headers that take longer than the whole exchange may are ended with it."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\n")
        line.drip(b"X: " + b"y" * 1000)

    assert transport.send(post(listen(talk=talk).url), within=SOON).status == 200


@pytest.mark.parametrize("start", [b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 100 ", b"HTTP/2.0 200"])
def test_what_is_no_answer_yet(listen: Listen, transport: HTTPTransport, start: bytes) -> None:
    """An interim answer, or one in another version, says nothing when the rest is missing."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(start + b"\r\n\r\n")

    with pytest.raises(Unclear):
        transport.send(post(listen(talk=talk).url), within=WITHIN)


def test_bad_header_of_ours(listen: Listen, transport: HTTPTransport) -> None:
    """A header that could smuggle in another never leaves."""
    peer = listen()
    with pytest.raises(NotSent, match="ValueError"):
        transport.send(post(peer.url, Accept="a\r\nX: b"), within=WITHIN)
    assert peer.connections == 0


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 103 Early Hints\r\n"], ids=["status line", "interim headers"]
)
def test_dripping_head_ends(listen: Listen, transport: HTTPTransport, begun: bytes) -> None:
    """An answer that drips, each byte well in time, ends when the whole exchange must."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(begun)
        line.drip(b"HTTP/1.1 200 " + b"x" * 1000 + b"\r\n\r\n")

    peer = listen(talk=talk)
    with pytest.raises(Unclear, match="the exchange took too long in all"):
        transport.send(post(peer.url), within=SOON)


def test_dripping_body_ends(listen: Listen, transport: HTTPTransport) -> None:
    """A body that drips ends then too; the status was said, and stands."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        line.drip(b"x" * 1000)

    peer = listen(talk=talk)
    response = transport.send(post(peer.url), within=SOON)
    assert (response.status, response.body) == (200, b"")
    assert response.elapsed < timedelta(seconds=9)


@pytest.mark.parametrize(
    "broken",
    [
        b"Content-Length: 10\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
    ],
)
def test_broken_body(listen: Listen, transport: HTTPTransport, broken: bytes) -> None:
    """A body that breaks off leaves the status standing: taken is taken."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\n" + broken)

    peer = listen(talk=talk)
    for _ in range(2):
        response = transport.send(post(peer.url), within=WITHIN)
        assert response.status == 200
        assert b"abc".startswith(response.body)
    assert peer.connections == 2


def test_no_time_at_all(listen: Listen, transport: HTTPTransport) -> None:
    """With no time left nothing is even begun."""
    peer = listen()
    with pytest.raises(NotSent, match="the exchange took too long in all"):
        transport.send(post(peer.url), within=timedelta(0))
    assert peer.connections == 0


def test_refusal_that_asks_for_patience(listen: Listen, transport: HTTPTransport) -> None:
    """A look-up that is told to come back later comes back with that, and does not wait for it."""
    peer = listen(answer(b"", "503 Service Unavailable", "Retry-After: 60"))
    assert transport.send(get(peer.url), within=WITHIN).status == 503
    assert len(peer.requests) == 1


# --- bounds -------------------------------------------------------------------------------------


def test_huge_body(listen: Listen, transport: HTTPTransport) -> None:
    """Of a huge body no more than the bound is waited for, and its connection is not used again."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(answer(b"x" * 10_000_000)[: LARGEST_BODY + 100])
        line.wait()

    peer = listen(talk=talk)
    for _ in range(2):
        assert len(transport.send(post(peer.url), within=WITHIN).body) == LARGEST_BODY
    assert peer.connections == 2


@pytest.mark.parametrize("size", [b"-1", b"-ffff", b"ffffffff"])
def test_chunk_of_a_size_that_lies(listen: Listen, transport: HTTPTransport, size: bytes) -> None:
    """A chunk of less than nothing, or without end, is not read for as long as it goes on."""
    said: list[bytes] = []

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n" % size)
        for _ in range(1000):
            line.say(b"x" * LARGEST_BODY)
            said.append(size)

    response = transport.send(post(listen(talk=talk).url), within=WITHIN)
    assert (response.status, len(response.body) <= LARGEST_BODY) == (200, True)
    assert len(said) < 1000


def test_largest_body(listen: Listen, transport: HTTPTransport) -> None:
    """A body of just the bound is whole, and its connection goes on."""
    peer = listen(answer(b"x" * LARGEST_BODY))
    for _ in range(2):
        assert len(transport.send(post(peer.url), within=WITHIN).body) == LARGEST_BODY
    assert peer.connections == 1


def test_gzip_bomb(listen: Listen, transport: HTTPTransport) -> None:
    """A compressed body is not unpacked."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    peer = listen(answer(bomb, "200 OK", "Content-Encoding: gzip"))
    assert transport.send(post(peer.url), within=WITHIN).body == bomb


def test_redirect(listen: Listen, transport: HTTPTransport) -> None:
    """A redirect is brought back as it is: not followed, its huge body not read to the end."""
    elsewhere = listen()
    moved = answer(b"x" * 10_000_000, "307 Temporary Redirect", f"Location: {elsewhere.url}/")
    peer = listen(moved)
    response = transport.send(post(peer.url), within=WITHIN)
    assert (response.status, len(response.body)) == (307, LARGEST_BODY)
    assert elsewhere.connections == 0


# --- connections --------------------------------------------------------------------------------


def test_connection_is_kept(listen: Listen, transport: HTTPTransport) -> None:
    """One thread's requests to one host go over one connection."""
    peer = listen()
    for _ in range(3):
        transport.send(post(peer.url), within=WITHIN)
    assert (peer.connections, len(peer.requests)) == (1, 3)


def test_connection_that_rested(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that rested too long is not trusted: a gateway may have forgotten it."""
    monkeypatch.setattr(exchange, "LONGEST_REST", 0.0)
    peer = listen()
    for _ in range(2):
        transport.send(post(peer.url), within=WITHIN)
    assert peer.connections == 2


def test_connection_that_was_closed_meanwhile(listen: Listen, transport: HTTPTransport) -> None:
    """A kept connection that the other side closed is replaced before anything is sent."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(answer(b"", "200 OK", "Connection: close"))

    peer = listen(talk=talk)
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).status == 200
    assert peer.connections == 2


@pytest.mark.parametrize(
    "first",
    [
        answer(b"ok") + OK,
        b"HTTP/1.1 204 No Content\r\n\r\n" + OK,
        OK + OK,
        OK + b'{"ok": true}',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
    ],
    ids=["length", "204", "empty", "late body", "chunks"],
)
def test_surplus_answer_is_nobody_elses(
    listen: Listen, transport: HTTPTransport, first: bytes
) -> None:
    """What follows an answer ends its connection: the next request is answered on another."""
    peer = listen(first, answer(b"", "429 Too Many Requests"))
    statuses = [transport.send(post(peer.url), within=WITHIN).status for _ in range(2)]
    assert (statuses[1], peer.connections) == (429, 2)


def test_body_that_may_come_yet(listen: Listen, transport: HTTPTransport) -> None:
    """A 204 that announces a body is whole, and nobody waits on its connection for what follows."""
    peer = listen(b"HTTP/1.1 204 No Content\r\nContent-Length: 11\r\n\r\n")
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).status == 204
    assert peer.connections == 2


def filled(size: int) -> bytes:
    """Return an answer of just so many bytes."""
    spare = size - len(answer(b"x" * 1000))
    return answer(b"x" * (1000 + spare))


@pytest.mark.parametrize(
    "first",
    [filled(8192) + OK, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"x" * 12_000],
    ids=["another answer", "a length too short"],
)
def test_surplus_that_tls_has_unpacked(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    first: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left of a TLS record, which no socket shows, is no answer to the next request."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    peer = listen(first, answer(b"", "429 Too Many Requests"), context=tls)
    statuses = [transport.send(post(peer.url), within=WITHIN).status for _ in range(2)]
    assert (statuses, peer.connections) == ([200, 429], 2)


def test_each_thread_has_its_own(listen: Listen, transport: HTTPTransport) -> None:
    """Two threads never share a connection, whose answers could be mixed."""
    peer = listen()

    def send_two() -> None:
        for _ in range(2):
            transport.send(post(peer.url), within=WITHIN)

    threads = [threading.Thread(target=send_two) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (peer.connections, len(peer.requests)) == (2, 4)


FORKING = """
import os, sys
from datetime import timedelta
from flask_partnerstack.wire import HTTPTransport, Request

transport = HTTPTransport((5, 5))
def send(name):
    request = Request("GET", sys.argv[1] + "/" + name, {})
    assert transport.send(request, within=timedelta(seconds=10)).status == 200
send("before")
child = os.fork()
send("child" if child == 0 else "parent")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_child_opens_its_own(listen: Listen) -> None:
    """After a fork the parent keeps its connection and the child opens another."""
    peer = listen()
    subprocess.run([sys.executable, "-c", FORKING, peer.url], check=True)
    paths = sorted(request.split()[1] for request in peer.requests)
    assert paths == [b"/before", b"/child", b"/parent"]
    assert peer.connections == 2


def test_fork_forgets(listen: Listen, transport: HTTPTransport) -> None:
    """What a child is told after the fork is enough for a connection of its own."""
    peer = listen()
    transport.send(post(peer.url), within=WITHIN)
    transport.before_fork()
    transport.after_fork_in_child()
    transport.send(post(peer.url), within=WITHIN)
    assert peer.connections == 2


def test_no_cookies(listen: Listen, transport: HTTPTransport) -> None:
    """Cookies that an answer sets are not sent back."""
    peer = listen(answer(b"", "200 OK", "Set-Cookie: a=b; Path=/"))
    for _ in range(2):
        transport.send(post(peer.url), within=WITHIN)
    assert b"cookie" not in b"".join(peer.requests).lower()


# --- the environment ----------------------------------------------------------------------------


def test_netrc(
    listen: Listen, transport: HTTPTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials in a .netrc never take the place of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    peer = listen()
    transport.send(post(peer.url), within=WITHIN)
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in peer.requests[0]


def test_proxy(listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used."""
    proxy, url = listen(answer(b"proxied")), "http://partnerstack.invalid"
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert transport.send(post(url), within=WITHIN).body == b"proxied"
    assert proxy.requests[0].startswith(f"POST {url}/conversion/xid HTTP/1.1".encode())


@pytest.mark.parametrize("proxy", ["http://me:s3kr1t@[::1", "gopher://me:s3kr1t@127.0.0.1:1"])
def test_proxy_that_cannot_be_used(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """It is said which setting is wrong and what is right, and not what it was."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(NotSent, match=r"\(HTTPS_PROXY, ALL_PROXY\).*PySocks") as refused:
        transport.send(post("http://partnerstack.invalid"), within=WITHIN)
    assert "s3kr1t" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_to_this_machine(
    listen: Listen,
    transport: HTTPTransport,
    name: str,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What may be in the clear because it stays here is given to no proxy, which is elsewhere."""
    peer, proxy = listen(), listen()
    monkeypatch.setenv(name, proxy.url)
    transport.send(post(f"http://{host}:{peer.port}"), within=WITHIN)
    assert (len(peer.requests), proxy.connections) == (1, 0)


def test_no_proxy_to_this_machine_over_tls(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server here with a certificate is not asked for by way of elsewhere either."""
    peer, proxy = listen(context=tls), listen()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    transport.send(post(peer.url), within=WITHIN)
    assert (len(peer.requests), proxy.connections) == (1, 0)


def test_no_proxy(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is not used for a host that NO_PROXY names."""
    peer, proxy = listen(), listen()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport.send(post(peer.url), within=WITHIN)
    assert (peer.connections, proxy.connections) == (1, 0)
    monkeypatch.setenv("NO_PROXY", "partnerstack.invalid")
    with pytest.raises(NotSent, match="gaierror"):
        transport.send(post("http://partnerstack.invalid"), within=WITHIN)
    assert proxy.connections == 0


def test_environment_is_asked_once(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says of a host is asked once; another host is another question."""
    proxy = listen()
    for address in ("", proxy.url):
        monkeypatch.setenv("HTTP_PROXY", address)
        with pytest.raises(NotSent, match="gaierror"):
            transport.send(post("http://one.invalid"), within=WITHIN)
    assert proxy.connections == 0
    transport.send(post("http://other.invalid"), within=WITHIN)
    assert proxy.connections == 1


def test_proxy_that_nobody_serves(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that is down means not sent, and its password is not told."""
    proxy = listen()
    proxy.stop()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:passw0rd@127.0.0.1:{proxy.port}")
    with pytest.raises(NotSent) as caught:
        transport.send(post("https://partnerstack.invalid"), within=WITHIN)
    assert "passw0rd" not in "".join(traceback.format_exception(caught.value))


def test_proxy_that_refuses(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that will not open a tunnel has seen nothing of ours: not sent, and it says why."""
    proxy = listen(answer(b"", "403 Forbidden"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(NotSent, match="Tunnel connection failed: 403 Forbidden"):
        transport.send(post("https://partnerstack.invalid"), within=WITHIN)
    assert proxy.requests[0].startswith(b"CONNECT partnerstack.invalid:443 ")
    assert b"t0ken" not in proxy.requests[0]
    assert proxy.connections == 1


def test_proxy_that_drips(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that takes its time over the tunnel ends with the exchange, and nothing is sent."""

    def talk(line: Line) -> None:
        line.hear()
        line.drip(b"HTTP/1.1 200 " + b"x" * 1000 + b"\r\n\r\n")

    monkeypatch.setenv("HTTPS_PROXY", listen(talk=talk).url)
    with pytest.raises(NotSent, match="the exchange took too long in all"):
        transport.send(post("https://partnerstack.invalid"), within=SOON)


def test_nothing_leaves_after_the_deadline(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When connecting alone took all the time there was, nothing is sent any more."""

    def tunnel(line: Line) -> None:
        line.hear()
        time.sleep(0.2)
        line.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        time.sleep(0.2)
        line.pipe_to(peer.port)

    peer = listen(context=tls)
    monkeypatch.setenv("HTTPS_PROXY", listen(talk=tunnel).url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with pytest.raises(NotSent, match="the exchange took too long in all"):
        transport.send(post(f"https://partnerstack.invalid:{peer.port}"), within=SOON)
    assert peer.requests == []


def test_tls_through_a_tunnel_that_lies(
    listen: Listen, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel to somebody who speaks no TLS is not sent: our own bytes never left."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\n\r\n")

    monkeypatch.setenv("HTTPS_PROXY", listen(talk=talk).url)
    with pytest.raises(NotSent):
        transport.send(post("https://partnerstack.invalid"), within=WITHIN)


def test_tunnel(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through a tunnel the token is seen by the host only, and the tunnel is kept."""

    def tunnel(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        line.pipe_to(peer.port)

    peer, proxy = listen(context=tls), listen(talk=tunnel)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    url = f"https://partnerstack.invalid:{peer.port}"
    for _ in range(2):
        assert transport.send(post(url), within=WITHIN).status == 200
    assert (len(peer.requests), proxy.connections) == (2, 1)
    assert b"t0ken" not in proxy.requests[0]


def test_unknown_certificate(listen: Listen, transport: HTTPTransport, tls: ssl.SSLContext) -> None:
    """A certificate that nobody vouches for is refused, before anything is sent."""
    peer = listen(context=tls)
    with pytest.raises(NotSent, match=r"SSLCertVerificationError: .*self.signed certificate"):
        transport.send(post(peer.url), within=WITHIN)
    assert peer.requests == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ca_bundle(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment's CA bundle vouches for it, and TLS connections are kept too."""
    monkeypatch.setenv(name, str(certificate[0]))
    peer = listen(context=tls)
    for _ in range(2):
        assert transport.send(post(peer.url), within=WITHIN).status == 200
    assert (peer.connections, len(peer.requests)) == (1, 2)


def test_certificate_for_another_host(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A good certificate for another name is refused."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    peer = listen(context=tls)
    with pytest.raises(NotSent, match="certificate"):
        transport.send(post(f"https://localhost:{peer.port}"), within=WITHIN)
    assert peer.requests == []


def test_missing_ca_bundle(
    listen: Listen,
    transport: HTTPTransport,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CA bundle that is not there is not sent, and named: TLS is never left unverified."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(NotSent, match=r"gone\.pem"):
        transport.send(post(listen(context=tls).url), within=WITHIN)


# --- what is told -------------------------------------------------------------------------------


@pytest.mark.parametrize("reachable", [True, False])
def test_trouble_names_no_customer(
    listen: Listen, transport: HTTPTransport, reachable: bool
) -> None:
    """Neither the reason nor a traceback of it holds the URL, which names a customer."""
    peer = listen(b"garbage\r\n")
    if not reachable:
        peer.stop()
    with pytest.raises((NotSent, Unclear)) as caught:
        transport.send(get(peer.url), within=WITHIN)
    told = "".join(traceback.format_exception(caught.value)) + caught.value.reason
    assert "alice" not in told
    assert str(peer.port) not in told


def test_reason_is_of_this_trouble(listen: Listen, transport: HTTPTransport) -> None:
    """The reason names this trouble, not what its caller was dealing with."""
    peer = listen()
    peer.stop()
    try:
        raise KeyError(EMAIL)
    except KeyError:
        with pytest.raises(NotSent, match="ConnectionRefusedError"):
            transport.send(get(peer.url), within=WITHIN)


def test_urllib3_logs_no_path_of_ours(
    listen: Listen, transport: HTTPTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """urllib3 logs paths; ours, which name customers, are left out, and other people's are not."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")

    well, odd, gone = listen(), listen(talk=talk), listen()
    gone.stop()
    with caplog.at_level(logging.DEBUG):
        transport.send(get(well.url), within=WITHIN)
        transport.send(get(odd.url), within=WITHIN)
        with pytest.raises(NotSent):
            transport.send(get(gone.url), within=WITHIN)
        assert caplog.records == []
        requests.get(f"{well.url}/somebody-else", timeout=5)
    assert "/somebody-else" in caplog.text


def test_http_client_prints_no_token(
    listen: Listen,
    transport: HTTPTransport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever makes http.client print what it sends does not see the token."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    transport.send(post(listen().url), within=WITHIN)
    assert capsys.readouterr().out == ""
