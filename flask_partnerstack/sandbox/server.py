"""The sandbox's web server: kept connections, one write an answer, and answers that drip."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import Any

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.serving import WSGIRequestHandler

from .answers import DRIP
from .app import LONGEST_BODY
from .app import create_app
from .faults import Strike
from .loopback import require_loopback
from .settings import SandboxSettings
from .state import get_state

Headers = list[tuple[str, str]]


class Exchange(WSGIRequestHandler):
    """The requests of one connection, which stays open between them.

    Werkzeug's own closes after each, and would make a connection test of every send.
    """

    protocol_version = "HTTP/1.1"
    # With Nagle's algorithm on, a client that delays its ACK sees every answer 40 ms late.
    disable_nagle_algorithm = True
    close_connection: bool

    def run_wsgi(self) -> None:
        """Answer one request."""
        environ: dict[str, Any] = self.make_environ()
        self.environ: dict[str, Any] = environ
        try:
            self._read_body(environ)
            self._send(self._call(environ), environ)
        except OSError:
            self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Say nothing, except what went wrong in the server itself."""
        if type == "error":
            super().log(type, message, *args)

    def _read_body(self, environ: dict[str, Any]) -> None:
        # All of it, because what stays unread would be taken for the next request.
        read = self._read_chunks if "Transfer-Encoding" in self.headers else self._read_length
        environ["wsgi.input"] = BytesIO(read(environ))

    def _read_chunks(self, environ: dict[str, Any]) -> bytes:
        body: bytes = environ["wsgi.input"].read(LONGEST_BODY + 1)
        self.close_connection |= len(body) > LONGEST_BODY
        # The app sees a body like any other, so that its bound holds.
        for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
            environ.pop(name, None)
        environ["CONTENT_LENGTH"] = str(len(body))
        return body

    def _read_length(self, environ: dict[str, Any]) -> bytes:
        wanted = self.headers.get("Content-Length", "0")
        length = int(wanted) if wanted.isdecimal() else 0
        body: bytes = environ["wsgi.input"].read(min(length, LONGEST_BODY))
        self.close_connection |= wanted != str(len(body))
        return body

    def _call(self, environ: dict[str, Any]) -> Iterator[bytes]:
        """The answer's bytes, of which the first piece is head and body together."""
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> Any:
            del exc_info
            started.append((status, headers))

        pieces = self.server.app(environ, start_response)
        try:
            rest = iter(pieces)
            first = next(rest, b"")
            self.log_request(started[0][0].split(" ", 1)[0])
            yield self._head(*started[0]) + first
            yield from rest
        finally:
            getattr(pieces, "close", lambda: None)()

    def _head(self, status: str, headers: Headers) -> bytes:
        standing = [("Server", "Sandbox"), ("Date", self.date_time_string())]
        if self.close_connection:
            standing.append(("Connection", "close"))
        lines = (f"{name}: {value}\r\n" for name, value in chain(standing, headers))
        return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode("latin-1")

    def _send(self, pieces: Iterable[bytes], environ: dict[str, Any]) -> None:
        for piece in pieces:
            # Known only now that the app has run to its first piece.
            drip = environ.get(DRIP)
            for part in _drops(piece, drip) if drip else (piece,):
                self.connection.sendall(part)


def _drops(piece: bytes, strike: Strike) -> Iterator[bytes]:
    """Byte after byte, with the fault's wait after each; the rest at once when it is over."""
    for start in range(len(piece)):
        yield piece[start : start + 1]
        if strike.wait(strike.fault.drip):
            yield piece[start + 1 :]
            return


class SpokenExchange(Exchange):
    """The same, with a line in the log for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Log as Werkzeug does."""
        WSGIRequestHandler.log(self, type, message, *args)


class SandboxServer(ThreadedWSGIServer):
    """Serves one sandbox app on loopback, from as many threads as there are connections.

    :param port: 0 picks a free one; ``url`` says which.
    :raises ValueError: when the host is not a loopback address, or somebody has the port.
    """

    daemon_threads = True

    def __init__(
        self, app: Flask, host: str = "127.0.0.1", port: int = 0, *, verbose: bool = False
    ) -> None:
        require_loopback(host)
        self._state = get_state(app)
        super().__init__(host, port, app, SpokenExchange if verbose else Exchange)

    def server_bind(self) -> None:
        """Take the port."""
        try:
            super().server_bind()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Werkzeug would end the process for it, in words that name no option.
            raise ValueError(
                f"port: {self.port} is in use by another program; name another by --port, or 0"
                " for a free one"
            ) from error

    @property
    def url(self) -> str:
        """Where the sandbox is, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serve until :meth:`stop` or Ctrl-C."""
        self.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """End :meth:`run` from another thread, within a tenth of a second."""
        self.shutdown()

    def server_close(self) -> None:
        """Let go of the port, of whoever hangs in a fault, and of the records file."""
        super().server_close()
        self._state.faults.release()
        self._state.memory.close()


def serve(
    host: str = "127.0.0.1",
    port: int = 8787,
    *,
    settings: SandboxSettings | None = None,
    verbose: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run a sandbox until Ctrl-C or SIGTERM.

    :param port: 0 picks a free one.
    :param verbose: log a line for each request.
    :param ready: called with the sandbox's URL once it listens.
    :raises ValueError: when the host is not a loopback address, or somebody has the port.
    """
    require_loopback(host)
    server = SandboxServer(create_app(settings), host, port, verbose=verbose)
    with server, _stopped_by_signals(server):
        if ready:
            ready(server.url)
        server.run()


@contextmanager
def _stopped_by_signals(server: SandboxServer) -> Iterator[None]:
    # Only the main thread may say what a signal does.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_signal: object) -> None:
        # Not a KeyboardInterrupt: one that comes in a finalizer is lost. And not from here, because
        # stopping waits for what it interrupts; a server that has not begun yet ends at once.
        threading.Thread(target=server.stop, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
