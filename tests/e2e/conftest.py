"""A sandbox and sites, each a real server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import make_url

from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxSettings

PATIENCE = 60.0  # how long to wait for what is about to happen; nothing is asserted of it


class Site:
    """One process of :mod:`tests.e2e.site`, over a ledger that outlives it."""

    def __init__(self, instance: Path, **environment: str) -> None:
        self.instance = instance
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.site"],
            env={**os.environ, "SITE_INSTANCE": str(instance), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    @property
    def resident(self) -> int:
        """The bytes of memory that its process holds just now (Linux)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it as the kernel does when memory runs out: at once, without a word."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        self._process.terminate()
        self._end()

    def _end(self) -> None:
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Visitor:
    """A browser: keeps cookies and its connection."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._session = requests.Session()
        self._session.trust_env = False

    def arrive(self, query: str) -> None:
        self._session.get(f"{self._site.url}/?{query}").raise_for_status()

    def sign_up(self, key: str) -> float:
        """Sign up; return the seconds that it took."""
        started = time.perf_counter()
        answer = self._session.post(
            f"{self._site.url}/signup", data={"key": key}, allow_redirects=False
        )
        assert answer.status_code == 302
        return time.perf_counter() - started

    def leave(self) -> None:
        self._session.close()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(SandboxSettings(records=tmp_path / "records.jsonl")) as sandbox:
        yield sandbox


@pytest.fixture
def open_site(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Callable[..., Site]]:
    """Return what opens a site against the sandbox; all of them share one instance folder."""
    with contextlib.ExitStack() as sites:

        def open_site(**environment: str) -> Site:
            config = {
                "PARTNERSTACK_TOKEN": "sandbox-token",
                "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
            }
            site = Site(tmp_path / "instance", **{**config, **environment})
            sites.callback(site.stop)
            return site

        yield open_site


@pytest.fixture
def visit() -> Iterator[Callable[[Site, str], Visitor]]:
    """Return what brings a visitor to a site by a landing URL's query."""
    with contextlib.ExitStack() as visitors:

        def visit(site: Site, query: str) -> Visitor:
            visitor = Visitor(site)
            visitors.callback(visitor.leave)
            visitor.arrive(query)
            return visitor

        yield visit


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The sites' ledger, looked at from outside."""
    path = tmp_path / "instance" / "partnerstack.db"
    database = Database(make_url(f"sqlite:///{path}"), embedded=True)
    yield Ledger(database, lease=timedelta(minutes=2))
    database.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Return what waits until something is so, and fails when it never is."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.02)  # another process's doing: there is nothing to be woken by

    return wait
