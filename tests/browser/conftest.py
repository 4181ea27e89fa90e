"""A browser, a sandbox, sites that it visits, and a shared cache before them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import NoReturn

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler
from werkzeug.serving import make_server

from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state
from flask_partnerstack.sandbox import SandboxServer
from flask_partnerstack.sandbox import create_app as create_sandbox
from flask_partnerstack.sandbox.state import get_state as get_sandbox_state
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor
from tests.kit import Clock
from tests.kit import TravellingPartnerStack
from tests.kit import free_port

#: How long a server may take to listen, in seconds; nothing is asserted of it.
PATIENCE = 60.0

#: A process for each site costs more than our pages do; cookies are the same without. A page that
#: a test hands in has no address, and may else load nothing from this machine.
FEATURES_OFF = (
    "IsolateOrigins",
    "site-per-process",
    "LocalNetworkAccessChecks",
    "BlockInsecurePrivateNetworkRequests",
)
ARGUMENTS = [
    "--no-proxy-server",
    "--disable-dev-shm-usage",
    "--disable-site-isolation-trials",
    f"--disable-features={','.join(FEATURES_OFF)}",
]

MakeSite = Callable[..., "Site"]


def missing(reason: str) -> NoReturn:
    """Skip on a laptop, fail in CI: what needs a program is never silently untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """One browser for all tests here; it ends with them, and Playwright's event loop, too."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("Playwright is not installed: pip install playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        missing("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=ARGUMENTS,
            chromium_sandbox=os.geteuid() != 0,
        )
        yield browser
        browser.close()


@pytest.fixture
def make_visitor(chromium: Any) -> Iterator[Callable[..., Visitor]]:
    """Return what brings visitors, each with a browser profile of their own."""
    with ExitStack() as leaving:

        def make(**options: Any) -> Visitor:
            context = chromium.new_context(**options)
            leaving.callback(context.close)
            context.set_default_timeout(PATIENCE * 1000)
            return Visitor(context)

        yield make


@pytest.fixture
def visitor(make_visitor: Callable[..., Visitor]) -> Visitor:
    """Somebody who has never been here."""
    return make_visitor()


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    """Serve ``app`` from threads of this process; the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]  # a mix-in's
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture(scope="package")
def sandbox_app() -> Flask:
    return create_sandbox()


@pytest.fixture(scope="package")
def sandbox_server(sandbox_app: Flask) -> Iterator[SandboxServer]:
    """One sandbox for all tests here."""
    server = SandboxServer(sandbox_app)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def sandbox(sandbox_server: SandboxServer, sandbox_app: Flask) -> Sandbox:
    """The sandbox, which remembers nothing."""
    state = get_sandbox_state(sandbox_app)
    state.memory.clear()
    return Sandbox(sandbox_server.port, state.memory)


class Site:
    """An app that is served, with its extension."""

    def __init__(self, app: Flask, partnerstack: PartnerStack, port: int) -> None:
        self.app = app
        self.partnerstack = partnerstack
        self.port = port

    def url(self, path: str = "/", host: str = "www.shop.localhost") -> str:
        """Return the address of a page. Browsers know each name under localhost as this machine."""
        return f"http://{host}:{self.port}{path}"

    @property
    def entries(self) -> list[Any]:
        """What its ledger holds, oldest first."""
        return list(reversed(get_state(self.app).ledger.entries()))


@pytest.fixture
def make_site(tmp_path: Path, clock: Clock, sandbox: Sandbox) -> Iterator[MakeSite]:
    """Return what builds a site by a function and serves it."""
    with ExitStack() as closing:

        def make(
            build: Callable[[Flask, PartnerStack], object],
            hook: Callable[[PartnerStack], object] = lambda _: None,
            **config: object,
        ) -> Site:
            name = f"site{len(list(tmp_path.iterdir()))}"
            app = Flask("tests.browser.site", instance_path=str(tmp_path / name))
            app.config.update(
                SECRET_KEY="secret",
                PARTNERSTACK_TOKEN="sandbox-token",
                PARTNERSTACK_PUBLIC_KEY="pk_sandbox",
                # Who signs up is delivered when the page is answered: nothing to wait for.
                PARTNERSTACK_ENGINE="inline",
                PARTNERSTACK_CONVERSION_URL=f"{sandbox.root}/conversion/xid",
                PARTNERSTACK_SCRIPT_URL=f"{sandbox.links}/pr/js",
            )
            app.config.update({f"PARTNERSTACK_{key}": value for key, value in config.items()})
            partnerstack = TravellingPartnerStack(clock)
            hook(partnerstack)
            partnerstack.init_app(app)
            build(app, partnerstack)
            closing.callback(get_state(app).ledger.close)
            return Site(app, partnerstack, closing.enter_context(serving(app)))

        yield make


# --- a shared cache -----------------------------------------------------------------------------

#: A cache that takes visitors of one page for alike, whatever follows its path, as caches before
#: marketing pages are told to; all other rules are nginx's own.
NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $http_host;
            proxy_cache pages;
            proxy_cache_key $host$uri;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"""


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[Callable[[Site], Site]]:
    """Return what puts nginx's ``proxy_cache`` before a site."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        missing("nginx is not installed: apt-get install nginx-light")
    with ExitStack() as ending:

        def cache(site: Site) -> Site:
            folder = tmp_path / "nginx"
            folder.mkdir()
            port = free_port()
            # Its workers would else be somebody who may not enter our folder.
            user = "user root;" if os.geteuid() == 0 else ""
            text = NGINX.format(user=user, folder=folder, port=port, behind=site.port)
            (folder / "nginx.conf").write_text(text)
            command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
            process = subprocess.Popen([*command, "-e", str(folder / "error.log")])
            ending.callback(process.wait, PATIENCE)
            ending.callback(process.terminate)
            await_port(port, process)
            return Site(site.app, site.partnerstack, port)

        yield cache


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, "nginx ended by itself"
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.01)  # another process's doing: there is nothing to be woken by
        else:
            return
