"""The vendor on this machine, in a process of its own: it counts what arrives, and answers as told.

Any vendor's: a customer key of :func:`key_of` is found in whatever an SDK wraps around it.
"""

from __future__ import annotations

import gzip
import multiprocessing
import re
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

#: What each vendor's SDK takes for a yes.
YES = b'{"status": 1, "code": 200, "success": true}'
_KEY = re.compile(rb"cu-\d{8}")


def key_of(number: int) -> str:
    """Return a customer key that is found again on the wire, however it was wrapped."""
    return f"cu-{number:08}"


@dataclass(frozen=True)
class Mood:
    """How the vendor answers.

    :param delay: seconds before each answer.
    :param retry_after: seconds, for that header.
    :param drop: close the connection after the request was read and counted, without an answer.
    """

    status: int = 200
    delay: float = 0.0
    retry_after: int | None = None
    drop: bool = False


WELL = Mood()


class Vendor:
    """A server on loopback. A context manager; :meth:`answer` changes its mood."""

    def __init__(self, mood: Mood = WELL) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._asking = threading.Lock()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_serve, args=(theirs, mood), daemon=True)
        self._process.start()
        self.host = f"127.0.0.1:{self._pipe.recv()}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Vendor:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()

    def answer(self, mood: Mood) -> None:
        """Answer like that from now on."""
        self._ask(mood)

    def forget(self) -> None:
        """Begin to count anew."""
        self._ask("forget")

    def arrived(self) -> int:
        """Return how many different keys were accepted."""
        return int(self._ask("arrived"))

    def accepted(self) -> Counter[str]:
        """Return how often each key was accepted."""
        found: Counter[str] = self._ask("accepted")
        return found

    def await_arrivals(self, count: int, within: float) -> int:
        """Wait until so many different keys were accepted, or ``within`` seconds are over."""
        deadline = time.monotonic() + within
        while (arrived := self.arrived()) < count and time.monotonic() < deadline:
            time.sleep(0.01)  # another process's doing: there is nothing to be woken by
        return arrived

    def _ask(self, question: object) -> Any:
        with self._asking:
            self._pipe.send(question)
            return self._pipe.recv()


# --- in the vendor's process ----------------------------------------------------------------------


class _Desk:
    """What all connections share."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.accepted: Counter[str] = Counter()
        self._counting = threading.Lock()

    def count(self, body: bytes) -> None:
        keys = {key.decode() for key in _KEY.findall(body)}
        with self._counting:
            self.accepted.update(keys)

    def reply(self, question: object) -> object:
        if isinstance(question, Mood):
            self.mood = question
        elif question == "forget":
            self.accepted = Counter()
        elif question == "arrived":
            return len(self.accepted)
        elif question == "accepted":
            with self._counting:
                return Counter(self.accepted)
        return None


def _serve(pipe: Connection, mood: Mood) -> None:
    desk = _Desk(mood)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=_accept, args=(listener, desk), daemon=True).start()
    pipe.send(listener.getsockname()[1])
    while True:
        pipe.send(desk.reply(pipe.recv()))


def _accept(listener: socket.socket, desk: _Desk) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_attend, args=(connection, desk), daemon=True).start()


def _attend(connection: socket.socket, desk: _Desk) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, suppress(OSError):
        while (body := _read_request(connection)) is not None:
            mood = desk.mood
            if mood.delay:
                time.sleep(mood.delay)
            if mood.status < 300:
                desk.count(body)
            if mood.drop:
                return
            connection.sendall(_answer(mood))


def _answer(mood: Mood) -> bytes:
    again = f"Retry-After: {mood.retry_after}\r\n" if mood.retry_after is not None else ""
    head = (
        f"HTTP/1.1 {mood.status} Said\r\nContent-Type: application/json\r\n{again}"
        f"Content-Length: {len(YES)}\r\n\r\n"
    )
    return head.encode() + YES


def _read_request(connection: socket.socket) -> bytes | None:
    """Return the next request's body, unpacked; ``None`` when there is no more."""
    said = b""
    while b"\r\n\r\n" not in said:
        if not (more := connection.recv(65536)):
            return None
        said += more
    head, _, body = said.partition(b"\r\n\r\n")
    headers = _headers(head)
    missing = int(headers.get(b"content-length", 0)) - len(body)
    while missing > 0:
        if not (more := connection.recv(65536)):
            return None
        body, missing = body + more, missing - len(more)
    return _unpacked(body, headers.get(b"content-encoding"))


def _headers(head: bytes) -> Mapping[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _unpacked(body: bytes, encoding: bytes | None) -> bytes:
    if encoding == b"gzip":
        return gzip.decompress(body)
    if encoding == b"deflate":
        return zlib.decompress(body)
    return body
