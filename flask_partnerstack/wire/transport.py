"""``Transport``: one request out, one response in."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from typing import Protocol
from urllib.parse import SplitResult
from urllib.parse import urlsplit

import requests
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout
from urllib3.util.retry import Retry

from .. import forks
from ..errors import DeliveryError
from ..errors import NotSent
from ..errors import Unclear
from ..settings import is_loopback
from .exchange import Adapter
from .exchange import Exchange
from .exchange import current
from .messages import Request
from .messages import Response

#: Bytes of an answer that are read; the rest is left on the line.
LARGEST_BODY = 64 * 1024
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
        exchange = Exchange(deadline, self._read_timeout)
        token = current.set(exchange)
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
            current.reset(token)
        return Response(response.status, dict(response.headers), body, exchange.elapsed())

    def _learn(self, exchange: Exchange) -> None:
        """Trust no kept connection to a host for a while, if there was no answer on one."""
        if exchange.sent_at is not None and not exchange.is_new:
            self._distrusted_until[exchange.host] = time.monotonic() + DISTRUST

    def before_fork(self) -> None:
        """Nothing to let go: a socket that nobody reads in the child does no harm."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's connections; two processes on one would mix their answers."""
        self._routes = threading.local()

    def _carry(self, request: Request, exchange: Exchange) -> BaseHTTPResponse:
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
            try:
                mine[host] = _find_route(host)
            except (requests.RequestException, HTTPError, ValueError) as e:
                # Without its text, in which a proxy's password may be.
                raise OSError(_NO_PROXY.format(type(e).__name__)) from None
        route: _Route = mine[host]
        return route


def _target(parts: SplitResult) -> str:
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


_NO_PROXY = (
    "the environment's proxy (HTTPS_PROXY, ALL_PROXY) cannot be used, {}. Expected "
    "http://host:port, or socks5h://host:port with: pip install PySocks"
)


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
    adapter: Any = Adapter()  # whose types are not all published
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


def _translated(error: Exception, exchange: Exchange) -> DeliveryError:
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
