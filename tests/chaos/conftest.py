"""Faults of every kind, over real processes and sockets. Small by default.

``PARTNERSTACK_TEST_SIZE=full`` gives each row the size that ``docs/guarantees`` prints.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import suppress
from datetime import datetime
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from sqlalchemy import make_url

from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import HTTPTransport
from tests.e2e.conftest import Site
from tests.e2e.conftest import Visitor
from tests.e2e.conftest import eventually as eventually
from tests.e2e.conftest import ledger as ledger
from tests.e2e.conftest import open_site as open_site
from tests.e2e.conftest import sandbox as sandbox
from tests.e2e.conftest import visit as visit
from tests.kit import LANDING
from tests.kit import free_port
from tests.logwatch import LogWatch
from tests.wire.conftest import plain_environment as plain_environment

T = TypeVar("T")
Eventually = Callable[[Callable[[], bool]], None]
OpenSite = Callable[..., Site]
Visit = Callable[[Site, str], Visitor]


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    """A folder on the disk, which is what fails in some of these tests."""
    return tmp_path


@pytest.fixture
def keys(sandbox: SandboxProcess) -> dict[str, str]:
    """The configuration that switches look-ups on."""
    return {
        "PARTNERSTACK_PUBLIC_KEY": "pk_sandbox",
        "PARTNERSTACK_SECRET_KEY": "sk_sandbox",
        "PARTNERSTACK_API_URL": sandbox.api_url,
    }


@pytest.fixture
def sign_up_many(visit: Visit) -> Callable[[Site, int], float]:
    """Return what signs so many customers up at a site; it gives the slowest signup's seconds."""

    def sign_up_many(site: Site, count: int) -> float:
        visitor = visit(site, LANDING)
        return max(visitor.sign_up(f"customer-{number}") for number in range(count))

    return sign_up_many


@pytest.fixture
def sends(sandbox: SandboxProcess) -> Callable[[], Counter[str]]:
    """Return what counts, by customer key, the conversions that came over the wire."""

    def sends() -> Counter[str]:
        return Counter(received["body"]["customer_key"] for received in sandbox.received())

    return sends


@pytest.fixture
def taken(sandbox: SandboxProcess) -> Callable[[], Counter[str]]:
    """Return what counts, by customer key, the conversions that the sandbox accepted."""

    def taken() -> Counter[str]:
        received = (one for one in sandbox.received() if one["accepted"])
        return Counter(one["body"]["customer_key"] for one in received)

    return taken


@pytest.fixture
def count_entries(tmp_path: Path) -> Callable[..., int]:
    """Return what counts rows of the sites' ledger, as SQL says, past all code of ours."""
    path = tmp_path / "instance" / "partnerstack.db"

    def count_entries(wanted: str, *values: object) -> int:
        question = f"SELECT COUNT(*) FROM partnerstack_entry WHERE {wanted}"
        with closing(sqlite3.connect(path)) as conn:
            return int(conn.execute(question, values).fetchone()[0])

    return count_entries


@pytest.fixture
def in_work(count_entries: Callable[..., int]) -> Callable[[], int]:
    """Return what counts the entries that are in a process's hands."""
    return partial(count_entries, "lease IS NOT NULL")


@pytest.fixture
def at_rest(count_entries: Callable[..., int]) -> Callable[[float], bool]:
    """Return what says whether, so many hours from now, nothing is due and nothing in work.

    One question for both, because an entry may go from due to in work between two.
    """

    def at_rest(hours: float) -> bool:
        now = (time.time() + 3600 * hours) * 1_000_000
        return count_entries("lease IS NOT NULL OR due_at <= ?", now) == 0

    return at_rest


@pytest.fixture
def is_idle(
    tmp_path: Path, at_rest: Callable[[float], bool], in_work: Callable[[], int]
) -> Callable[[float], bool]:
    """Return what says whether a site is at rest, or all that is due waits for a pause's end."""
    path = tmp_path / "instance" / "partnerstack.db"

    def is_idle(hours: float) -> bool:
        with closing(sqlite3.connect(path)) as conn:  # a ledger would mend the other clock's pause
            paused = conn.execute("SELECT COUNT(*) FROM partnerstack_fact WHERE name = 'pause'")
            return at_rest(hours) or (in_work() == 0 and paused.fetchone()[0] == 1)

    return is_idle


@pytest.fixture
def restart_at(
    open_site: OpenSite, visit: Visit, eventually: Eventually, at_rest: Callable[[float], bool]
) -> Callable[..., None]:
    """Return what restarts the site with its clock ahead: one page view, and all that follows."""

    def restart_at(hours: float, **environment: str) -> None:
        site = open_site(SITE_HOURS_AHEAD=str(hours), **environment)
        visit(site, "")
        eventually(partial(at_rest, hours))
        site.stop()

    return restart_at


@pytest.fixture
def known_pair(
    open_site: OpenSite,
    visit: Visit,
    eventually: Eventually,
    at_rest: Callable[[float], bool],
    restart_at: Callable[..., None],
    keys: dict[str, str],
) -> None:
    """A key pair that has found a customer: the first signup was delivered, and looked up."""
    site = open_site(**keys)
    visit(site, LANDING).sign_up("the-first")
    eventually(partial(at_rest, 0))
    site.stop()
    restart_at(1, **keys)


@pytest.fixture
def deliver_at(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Callable[..., int]]:
    """Return what runs a pass in this process, over the sites' ledger, some hours from now."""
    path = tmp_path / "instance" / "partnerstack.db"
    database = Database(make_url(f"sqlite:///{path}"), embedded=True)

    def deliver_at(hours: float, **config: str) -> int:
        settings = Settings.from_mapping(
            {
                "PARTNERSTACK_TOKEN": "sandbox-token",
                "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
                **config,
            }
        )

        def clock() -> datetime:
            return utcnow() + timedelta(hours=hours)

        client = Client(settings, HTTPTransport(settings.timeout))
        return Dispatcher(
            settings, Ledger(database, lease=settings.lease, clock=clock), client
        ).run_pass()

    yield deliver_at
    database.close()


@pytest.fixture
def crowd(visit: Visit) -> Callable[[Site, str, int], Callable[[], list[str]]]:
    """Return what lets visitors sign up at a site, at once and without end, until it is gone.

    It gives what waits for the end and returns the customer keys of the signups answered.
    """

    def crowd(site: Site, name: str, heads: int) -> Callable[[], list[str]]:
        answered: list[str] = []

        def sign_up_until_gone(number: int) -> None:
            with suppress(requests.RequestException):
                visitor = visit(site, LANDING)
                for count in range(1_000_000):
                    key = f"{name}-{number}-{count}"
                    visitor.sign_up(key)
                    answered.append(key)

        threads = [
            threading.Thread(target=sign_up_until_gone, args=(number,)) for number in range(heads)
        ]
        for thread in threads:
            thread.start()

        def wait() -> list[str]:
            for thread in threads:
                thread.join()
            return answered

        return wait

    return crowd


class Server(Site):
    """A WSGI server with the site in it, and all the processes that it makes."""

    def __init__(self, command: list[str], instance: Path, **environment: str) -> None:
        self.instance = instance
        self.log = instance.parent / "server.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [part.format(port=port) for part in command],
                env={**os.environ, "SITE_INSTANCE": str(instance), **environment},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._await(port)

    def kill(self) -> None:
        """End all of its processes as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait until it did."""
        self._process.terminate()
        self._process.wait()
        self.kill()

    def _await(self, port: int) -> None:
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.02)  # another process's doing: there is nothing to be woken by


@pytest.fixture
def serve(
    tmp_path: Path, sandbox: SandboxProcess, log_watch: LogWatch
) -> Iterator[Callable[..., Server]]:
    """Return what starts a WSGI server by its command; all of them share one instance folder.

    What they log is read at the end.
    """
    config = {
        "PARTNERSTACK_TOKEN": "sandbox-token",
        "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
    }
    with contextlib.ExitStack() as servers:
        servers.callback(log_watch.look_into, tmp_path / "server.log")

        def serve(command: list[str], **environment: str) -> Server:
            server = Server(command, tmp_path / "instance", **{**config, **environment})
            servers.callback(server.stop)
            return server

        yield serve


@pytest.fixture
def employ(
    tmp_path: Path, sandbox: SandboxProcess
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return what starts a ``flask partnerstack worker`` for the sites' ledger."""
    command = [sys.executable, "-m", "flask", "--app=tests.e2e.site:create_app"]
    config = {
        "SITE_INSTANCE": str(tmp_path / "instance"),
        "PARTNERSTACK_TOKEN": "sandbox-token",
        "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
    }
    with contextlib.ExitStack() as workers:

        def employ(**environment: str) -> subprocess.Popen[bytes]:
            worker = subprocess.Popen(
                [*command, "partnerstack", "worker"],
                env={**os.environ, **config, **environment},
                stdout=subprocess.DEVNULL,
            )
            workers.callback(_dismiss, worker)
            return worker

        yield employ


def _dismiss(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGCONT)
    worker.terminate()
    worker.wait()
