"""``Transport``: one request out, one response in. The only file that touches the network."""

from __future__ import annotations

import errno
import http.client
import io
import logging
import socket
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from typing import Protocol
from urllib.parse import SplitResult
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import PoolManager
from urllib3.poolmanager import ProxyManager
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout
from urllib3.util.retry import Retry

from .. import forks
from ..errors import DeliveryError
from ..errors import NotSent
from ..errors import Unclear
from ..settings import is_loopback
from .protocol import Request
from .protocol import Response

#: Bytes of an answer that are read; the rest is left on the line.
LARGEST_BODY = 64 * 1024
#: Bytes of an answer that are read in all, headers and the marks between chunks among them; one
#: that goes on is broken off. No library's own bound is relied on: http.client takes a chunk of -1
#: bytes for all that comes.
LARGEST_ANSWER = 16 * LARGEST_BODY
#: Seconds after which a kept connection is not used again. A NAT gateway on the way forgets a
#: silent one within minutes, and what is sent into the void is unclear.
LONGEST_REST = 30.0
#: Seconds for which no connection to a host is used twice, once a request on a kept one got no
#: answer: there are servers that close it unannounced, while the request is on its way.
DISTRUST = 600.0
#: A failed connection is tried again at once, so often; nothing was sent by then.
_CONNECT_ONLY = Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0)


class Transport(Protocol):
    """Carries one request and brings back its response."""

    def send(self, request: Request, *, within: timedelta) -> Response:
        """Exchange ``request`` for its response.

        Headers or a body that break off, make no sense or take too long are as good as none: the
        status has said it by then, and a conversion that was taken must not be taken for unclear.

        :param within: the time for the whole exchange, whatever drips.
        :raises NotSent: nothing of it left this machine.
        :raises Unclear: it was sent, and no answer came.
        """


class HTTPTransport:
    """Carries requests over kept connections, of each sending thread its own.

    TLS is always verified, redirects are not followed, cookies are not kept, and ``.netrc`` is
    never read: it would put Basic credentials in the place of our Bearer token.

    :param timeout: seconds to connect, and to wait for each piece of an answer.
    """

    def __init__(self, timeout: tuple[float, float]) -> None:
        self._connect_timeout, self._read_timeout = timeout
        self._routes = threading.local()
        self._distrusted_until: dict[str, float] = {}
        forks.watch(self)

    def send(self, request: Request, *, within: timedelta) -> Response:
        """See :meth:`Transport.send`."""
        deadline = time.monotonic() + within.total_seconds()
        exchange = _Exchange(deadline, self._read_timeout)
        token = _current.set(exchange)
        try:
            response = self._carry(request, exchange)
            body = _read(response)
        except _TROUBLE as e:
            exchange.hang_up()
            if exchange.status is None:
                self._learn(exchange)
                # Without its cause, whose text holds the URL and so, in a look-up, a customer key.
                raise _translated(e, exchange) from None
            return Response(exchange.status, elapsed=exchange.elapsed())
        finally:
            _current.reset(token)
        return Response(response.status, dict(response.headers), body, exchange.elapsed())

    def _learn(self, exchange: _Exchange) -> None:
        """Trust no kept connection to a host for a while, if there was no answer on one."""
        if exchange.sent_at is not None and not exchange.is_new:
            self._distrusted_until[exchange.host] = time.monotonic() + DISTRUST

    def before_fork(self) -> None:
        """Nothing to let go: a socket that nobody reads in the child does no harm."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's connections; two processes on one would mix their answers."""
        self._routes = threading.local()

    def _carry(self, request: Request, exchange: _Exchange) -> BaseHTTPResponse:
        parts = urlsplit(request.url)
        exchange.host = host = f"{parts.scheme}://{parts.netloc}"
        exchange.wants_new = time.monotonic() < self._distrusted_until.get(host, 0.0)
        route = self._route_to(host)
        left = exchange.left()
        # Past requests, whose preparations cost more than the exchange, and which would read a
        # redirect's body without a bound.
        return route.pool.urlopen(
            request.method,
            request.url if route.wants_whole_url else _target(parts),
            body=request.body or None,
            headers=request.headers,
            retries=_CONNECT_ONLY,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(min(self._connect_timeout, left), min(self._read_timeout, left)),
            preload_content=False,
            decode_content=False,
        )

    def _route_to(self, host: str) -> _Route:
        mine = self._routes.__dict__
        if host not in mine:
            mine[host] = _find_route(host)
        route: _Route = mine[host]
        return route


def _target(parts: SplitResult) -> str:
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


@dataclass(frozen=True)
class _Route:
    """The way to a host: a thread's own kept connections to it, or to a proxy.

    :param wants_whole_url: a proxy without a tunnel is asked for more than the path.
    """

    pool: HTTPConnectionPool
    wants_whole_url: bool


def _find_route(host: str) -> _Route:
    """Ask the environment for proxies and CA bundle, the way requests does, once for each host.

    But for no proxy to this machine: it would carry elsewhere what may be in the clear because it
    stays here.
    """
    with requests.Session() as session:
        found = session.merge_environment_settings(host, {}, None, None, None)
        request = requests.Request("GET", host).prepare()
    proxies = {} if is_loopback(host) else found["proxies"]
    adapter: Any = _Adapter()  # whose types are not all published
    pool = adapter.get_connection_with_tls_context(
        request, found["verify"], proxies=proxies, cert=found["cert"]
    )
    adapter.cert_verify(pool, host, found["verify"], found["cert"])
    target = adapter.request_url(request, proxies)
    return _Route(pool, wants_whole_url="://" in target)


#: What requests, urllib3, http.client and the socket below them raise; a ``ValueError`` is said of
#: a header or a URL that cannot be written.
_TROUBLE = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError)


def _read(raw: BaseHTTPResponse) -> bytes:
    """Return the body up to the bound, and never unpacked: a gzip bomb stays small."""
    try:
        body = raw.read(LARGEST_BODY + 1, decode_content=False)
    except _TROUBLE:
        raw.close()
        return b""
    if len(body) > LARGEST_BODY:
        raw.close()
    raw.release_conn()
    return body[:LARGEST_BODY]


def _translated(error: Exception, exchange: _Exchange) -> DeliveryError:
    if exchange.sent_at is not None:
        return Unclear(f"sent, but no answer came: {_innermost(error)}")
    return NotSent(f"could not connect: {_innermost(error)}")


def _innermost(error: BaseException) -> str:
    """Name what went wrong at the bottom, without the URL, which may hold a customer key."""
    while below := _below(error):
        error = below
    detail = getattr(error, "strerror", None)
    if type(error) is OSError:  # no subclass: "Tunnel connection failed: 403", a missing CA bundle
        detail = detail or str(error)
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__


def _below(error: BaseException) -> BaseException | None:
    # Not by __context__, which leads on into whatever the caller was dealing with.
    places = (getattr(error, "reason", None), error.__cause__, *error.args)
    return next((place for place in places if isinstance(place, BaseException)), None)


# --- a deadline for the whole exchange ----------------------------------------------------------
# requests and urllib3 know a timeout for each read only: an answer that drips a byte a second
# never ends. So the socket's timeout is shortened before each read to what is left.


@dataclass
class _Exchange:
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


_current: ContextVar[_Exchange] = ContextVar("flask_partnerstack_exchange")


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._exchange = _current.get()
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
            _current.get().status = status
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        # http.client knows of interim answers only "100 Continue", and would take "103 Early
        # Hints" for the answer (https://www.rfc-editor.org/rfc/rfc9110#section-15.2).
        while self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first
            super().begin()
        if self.length == 0 and self.headers.get("content-length", "0") != "0":
            _current.get().has_surplus = True  # a 204 that announces a body, which may come yet


class _Connection(HTTPConnection):
    """A connection that notices when the first byte of a request leaves, and that tires.

    What came beyond its last answer would be taken for the next one's: then it is done with.
    """

    response_class = _BoundedResponse
    debuglevel = 0  # whoever raises http.client's own would see the token printed
    _used_at = 0.0
    _last: _Exchange | None = None

    @property
    def is_connected(self) -> bool:
        is_rested = time.monotonic() - self._used_at >= LONGEST_REST
        if is_rested or _current.get().wants_new or self._holds_more():
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
        exchange = _current.get()
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
        exchange = _current.get()
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


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _bind(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _bind(manager)
        return manager


def _is_not_ours(_record: logging.LogRecord) -> bool:
    return _current.get(None) is None


# urllib3 logs paths, and a look-up's path holds a customer key.
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_is_not_ours)
