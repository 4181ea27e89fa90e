"""A server on loopback that says byte for byte what it is told to."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Line:
    """The server's end of one connection."""

    def __init__(self, peer: Peer, sock: socket.socket) -> None:
        self.peer = peer
        self.sock = sock
        self._input = sock.makefile("rb")

    def hear(self) -> bytes:
        """Read one request, head and body; nothing when the client has gone."""
        head = b""
        while line := self._input.readline():
            head += line
            if line == b"\r\n":
                break
        request = head + self._input.read(_length(head))
        if request:
            self.peer.requests.append(request)
        return request

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Say it byte after byte, faster than any timeout between two of them."""
        for place in range(len(data)):
            self.say(data[place : place + 1])
            time.sleep(0.01)

    def wait(self) -> None:
        """Say nothing until the client goes."""
        self._input.read()

    def reset(self) -> None:
        """Hang up rudely: what was sent last may be lost."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def tear(self) -> None:
        """Reset the connection here and now, without a word that it ends."""
        self.reset()
        self._input.close()
        self.sock.close()

    def pipe_to(self, port: int) -> None:
        """Carry bytes to another server and back, until either end goes."""
        with socket.create_connection(("127.0.0.1", port)) as other:
            back = threading.Thread(target=_carry, args=(other, self.sock))
            back.start()
            _carry(self.sock, other)
            back.join()

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self._input.close()
        self.sock.close()


Talk = Callable[[Line], None]


def _length(head: bytes) -> int:
    lines = [line.lower() for line in head.split(b"\r\n")]
    return sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Peer:
    """A server that talks on each connection as it is told, and remembers what it heard."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._talk = talk
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._lines: list[Line] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        # Closing alone does not wake who waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for line in self._lines:
            line.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError):  # the client has gone, or this peer stops
            try:
                line = Line(self, self._wrapped(sock))
            except OSError:
                sock.close()
                raise
            self._lines.append(line)
            try:
                self._talk(line)
            finally:
                line.close()

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        return self._context.wrap_socket(sock, server_side=True) if self._context else sock


def answering(*answers: bytes) -> Talk:
    """Give each request its answer, the last one for ever, over connections that are kept."""
    left = list(answers)

    def talk(line: Line) -> None:
        while line.hear():
            line.say(left.pop(0) if len(left) > 1 else left[0])

    return talk
