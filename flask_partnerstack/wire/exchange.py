"""``Exchange``: one request and its answer over a socket, bounded in time and in size.

requests and urllib3 know a timeout for each read only: an answer that drips a byte a second never
ends. So the socket's timeout is shortened before each read to what is left.
"""

from __future__ import annotations

import errno
import http.client
import io
import logging
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from typing import Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.poolmanager import PoolManager
from urllib3.poolmanager import ProxyManager

#: Bytes of an answer that are read in all, headers and the marks between chunks among them; one
#: that goes on is broken off. No library's own bound is relied on: http.client takes a chunk of -1
#: bytes for all that comes.
LARGEST_ANSWER = 1024 * 1024
#: Seconds after which a kept connection is not used again. A NAT gateway on the way forgets a
#: silent one within minutes, and what is sent into the void is unclear.
LONGEST_REST = 30.0


@dataclass
class Exchange:
    """One exchange under way.

    :param deadline: when it must be over.
    :param patience: the seconds that each piece of the answer may take.
    :param host: with whom, by scheme and port.
    :param sent_at: when its first byte left.
    :param reader: what its answer is read from.
    :param status: what the answer said, as soon as its first line was read.
    :param has_surplus: whether more came than the answer.
    :param wants_new: whether its connection has to be one that was not used before.
    :param is_new: whether it was.
    """

    deadline: float
    patience: float
    host: str = ""
    sent_at: float | None = None
    reader: io.RawIOBase | None = None
    status: int | None = None
    has_surplus: bool = False
    wants_new: bool = False
    is_new: bool = False

    def left(self) -> float:
        """Return the seconds that are left.

        :raises TimeoutError: none are.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the exchange took too long in all")
        return left

    def elapsed(self) -> timedelta:
        """Return how long it is since its first byte left."""
        now = time.monotonic()
        return timedelta(seconds=now - (self.sent_at or now))

    def hang_up(self) -> None:
        """Let go of the socket; Python 3.10 holds on to it when a tunnel fails."""
        if self.reader is not None:
            self.reader.close()


#: The exchange that this thread is about.
current: Final[ContextVar[Exchange]] = ContextVar("flask_partnerstack_exchange")


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._exchange = current.get()
        self._exchange.reader = self
        self._is_over = False
        self._left = LARGEST_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._is_over:
            return None
        try:
            self._sock.settimeout(min(self._exchange.left(), self._exchange.patience))
            count: int | None = self._raw.readinto(buffer)
            self._count(count or 0)
        except OSError:
            self._exchange.left()  # says so when the whole took too long, not this piece of it
            raise
        return count

    def _count(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, "the answer does not end")

    def end(self) -> None:
        """Read no more, so that what is read already can be looked at without waiting."""
        self._is_over = True

    def note_surplus(self) -> None:
        """Remember that more was read than the answer."""
        self._exchange.has_surplus = True

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffer(io.BufferedReader):
    """Notices, when an answer was read to its end, that there is more."""

    raw: _BoundedReader

    def flush(self) -> None:
        # Since Python 3.13 http.client flushes an answer that is dropped, also a closed one.
        if not self.closed:
            super().flush()

    def close(self) -> None:
        if not self.closed:
            self.raw.end()
            if self.peek(1):
                self.raw.note_surplus()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = _Buffer(_BoundedReader(sock, self.fp.detach()))

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # not public
        # A later version would be none that is understood, and an interim answer is none.
        if version.startswith("HTTP/1.") and status >= 200:
            current.get().status = status
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        # http.client knows of interim answers only "100 Continue", and would take "103 Early
        # Hints" for the answer (https://www.rfc-editor.org/rfc/rfc9110#section-15.2).
        while self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first
            super().begin()
        if self.length == 0 and self.headers.get("content-length", "0") != "0":
            current.get().has_surplus = True  # a 204 that announces a body, which may come yet


class _Connection(HTTPConnection):
    """A connection that notices when the first byte of a request leaves, and that tires.

    What came beyond its last answer would be taken for the next one's: then it is done with.
    """

    response_class = _BoundedResponse
    debuglevel = 0  # whoever raises http.client's own would see the token printed
    _used_at = 0.0
    _last: Exchange | None = None

    @property
    def is_connected(self) -> bool:
        is_rested = time.monotonic() - self._used_at >= LONGEST_REST
        if is_rested or current.get().wants_new or self._holds_more():
            return False
        return super().is_connected

    def _holds_more(self) -> bool:
        """Say whether there is more than the last answer, read by us or unpacked by OpenSSL.

        The socket below, which urllib3 looks at, knows of neither.
        """
        pending = getattr(self.sock, "pending", None)  # of TLS
        is_surplus = self._last is not None and self._last.has_surplus
        return is_surplus or (pending is not None and pending() > 0)

    def connect(self) -> None:
        exchange = current.get()
        exchange.is_new = True
        self.timeout = min(self.timeout or exchange.patience, exchange.left())
        try:
            super().connect()
        finally:
            # Asking a proxy for a tunnel sends nothing of ours, and is not what it answers.
            exchange.sent_at = exchange.status = None

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current.get()
        exchange.left()  # nothing leaves after the deadline
        self._used_at = time.monotonic()
        exchange.sent_at = exchange.sent_at or self._used_at
        self._last = exchange
        super().send(data)


@cache
def _bounded(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """Return the same kind of pool, of plain, TLS or SOCKS connections, of our connections."""
    theirs: type[Any] = pool.ConnectionCls
    if issubclass(theirs, _Connection):
        return pool
    ours = type(theirs.__name__, (_Connection, theirs), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": ours})


def _bind(manager: PoolManager) -> None:
    kinds = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {name: _bounded(kind) for name, kind in kinds.items()}


class Adapter(HTTPAdapter):
    """What requests makes connections by: of our kind, whatever leads there."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make what keeps connections to hosts."""
        super().init_poolmanager(*args, **kwargs)
        _bind(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """Make what keeps connections to a proxy."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _bind(manager)
        return manager


def _is_not_ours(_record: logging.LogRecord) -> bool:
    return current.get(None) is None


# urllib3 logs paths, and a look-up's path holds a customer key.
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_is_not_ours)
