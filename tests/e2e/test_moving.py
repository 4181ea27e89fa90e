"""Leaving the SQLite file for a server while signups go on, over real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.servers import Servers

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

Command = Callable[..., str]


class Traffic:
    """Somebody signs up, and then the next, wherever they are led."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.answered: list[str] = []

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        stopped = threading.Event()
        thread = threading.Thread(target=self._flow, args=(stopped,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _flow(self, stopped: threading.Event) -> None:
        while not stopped.wait(0.002):
            key = f"customer-{len(self.answered)}"
            self.visitor.sign_up(key)
            self.answered.append(key)


@pytest.fixture
def command(tmp_path: Path, sandbox: SandboxProcess) -> Command:
    """Return what runs a ``flask partnerstack`` command of the site, in a process of its own."""

    def run(*arguments: str, **environment: str) -> str:
        flask = [sys.executable, "-m", "flask", "--app", "tests.e2e.site:create_app"]
        ran = subprocess.run(
            [*flask, "partnerstack", *arguments],
            env={**os.environ, "SITE_INSTANCE": str(tmp_path / "instance"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_a_site_leaves_its_file_under_traffic(
    sandbox: SandboxProcess,
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    command: Command,
    eventually: Callable[[Callable[[], bool]], None],
    servers: Servers,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Moved, deployed, moved again, while signups go on and sends are under way: each once."""
    url = servers.empty("postgresql")
    there = {"PARTNERSTACK_LEDGER_URL": url.render_as_string(hide_password=False)}
    move = ("move", "--from", "sqlite:///partnerstack.db")
    sandbox.fault(delay=0.05)
    command("init-db", **there)
    old = open_site()
    traffic = Traffic(visit(old, LANDING))

    def more(count: int) -> None:
        wanted = len(traffic.answered) + count
        eventually(lambda: len(traffic.answered) >= wanted)

    with traffic.flowing():
        more(100)
        first = command(*move, **there)
        more(30)
        traffic.visitor = visit(open_site(**there), LANDING)
        more(30)  # the last that was led to the old one is answered by now
        old.kill()
        second = command(*move, **there)
        more(30)
    database = Database(url, embedded=False)
    ledger = Ledger(database, lease=timedelta(minutes=2))
    eventually(lambda: ledger.counts()[Status.DELIVERED] == len(traffic.answered))
    third = command(*move, **there)
    database.close()

    taken = Counter(r["body"]["customer_key"] for r in sandbox.received() if r["accepted"])
    assert taken == dict.fromkeys(traffic.answered, 1)
    assert "0 entries copied, 0 brought up to date" in third
    with capsys.disabled():
        print(f"\n{len(traffic.answered)} signups; {first} {second}")  # noqa: T201
