"""A way to a server that can fall silent, as a host does that is gone but was not missed yet."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class Tunnel:
    """Carries bytes to a server on this machine and back, until it takes them and says nothing."""

    def __init__(self, port: int) -> None:
        self._leads_to = port
        self._is_silent = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._ends: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self._threads[0].start()

    def fall_silent(self) -> None:
        """From now on say nothing to anybody, and let nobody else in."""
        self._is_silent = True
        _hang_up(self._listener)

    def hang(self) -> None:
        """From now on let everybody in, and say nothing to anybody."""
        self._is_silent = True

    def close(self) -> None:
        """Hang up."""
        self.fall_silent()
        for end in self._ends:
            _hang_up(end)
        for thread in self._threads:
            thread.join()
        for end in (*self._ends, self._listener):
            end.close()

    def changed(self, data: bytes) -> bytes:
        """Return what is handed on of ``data``: all of it."""
        return data

    def _listen(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:  # it was shut
                return
            there = socket.create_connection(("127.0.0.1", self._leads_to))
            self._ends += (here, there)
            for ends in ((here, there), (there, here)):
                thread = threading.Thread(target=self._carry, args=ends, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        while data := _received(source):
            if not self._is_silent:
                _send(target, self.changed(data))
        if not self._is_silent:
            _hang_up(target)


class Cutting(Tunnel):
    """Cuts every line, once, at certain words of a client's."""

    def __init__(self, port: int) -> None:
        self._words = b""
        self._is_heard = self._is_said = False
        super().__init__(port)

    def cut_at(self, words: bytes, *, is_heard: bool) -> None:
        """Do so when these are next said.

        :param is_heard: the server does what they say, and its answer is lost.
        """
        self._is_said, self._is_heard, self._words = False, is_heard, words

    def changed(self, data: bytes) -> bytes:
        """Return what is handed on of ``data``: nothing of what is lost."""
        if self._words and self._words in data:
            self._words, self._is_said = b"", True
            if self._is_heard:
                return data
        if not self._is_said:
            return data
        self._is_said = False
        for end in tuple(self._ends):  # and none that is made meanwhile
            _hang_up(end)
        return b""


class Pooler(Tunnel):
    """Tells PostgreSQL's clients no process of the server's, as PgBouncer does."""

    def changed(self, data: bytes) -> bytes:
        """Return ``data`` with another number in the place of the process's."""
        return _KEY_DATA.sub(b"\\1\xff\xff\xff", data)


#: BackendKeyData: https://www.postgresql.org/docs/current/protocol-message-formats.html
_KEY_DATA = re.compile(rb"(K\x00\x00\x00\x0c\x00)...", re.DOTALL)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side did so first
        end.shutdown(socket.SHUT_RDWR)


def _send(target: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it was cut
        target.sendall(data)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""
