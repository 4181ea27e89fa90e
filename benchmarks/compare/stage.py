"""What one trial plays on: a vendor, a broker, a site and a worker, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO
from typing import Any

import requests

from benchmarks.compare.broker import Redis
from benchmarks.compare.place import XID
from benchmarks.compare.place import Place
from benchmarks.compare.site import CONTENDER
from benchmarks.compare.site import Signed
from benchmarks.loopback import Vendor

#: Those who need Redis and a worker, by the worker's name.
QUEUES = {
    "Flask-PartnerStack on Celery": "partnerstack",
    "Huey on Redis": "huey",
    "Celery on Redis": "celery",
    "RQ on Redis": "rq",
}
PATIENCE = 60.0
SITE = "benchmarks.compare.site"


class Stage:
    """A context manager; what was started ends with it, by its process id."""

    def __init__(self, contender: str) -> None:
        self.contender = contender
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        self.folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.vendor = self._stack.enter_context(Vendor())
        self.redis: Redis | None = None
        if self.contender in QUEUES:
            self.redis = self._stack.enter_context(Redis(self.folder))
        url = self.redis.url if self.redis else ""
        self.place = Place(self.vendor.url, self.folder, url)
        self.environment = {
            **os.environ,
            **self.place.environment(),
            CONTENDER: self.contender,
            "PYTHONPATH": str(Path.cwd()),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, exception, traceback)

    def script(self) -> Script:
        """Start the site as a script."""
        command = [sys.executable, "-m", SITE]
        pipe = subprocess.PIPE
        return Script(self._start(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL))

    def work(self) -> None:
        """Start the contender's worker, if it has one."""
        if self.contender in QUEUES:
            worker = QUEUES[self.contender]
            self.run([sys.executable, "-m", "benchmarks.compare.worker", worker])

    def run(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start something else."""
        return self._start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kept(self) -> int:
        """Return how many wait in the ledger, where the contender has one."""
        if not Path(self.folder, "partnerstack.db").exists():
            return 0
        command = [sys.executable, "-m", "flask", "--app", f"{SITE}:create_app()"]
        asked = [*command, "partnerstack", "status", "--json"]
        said = subprocess.run(asked, env=self.environment, capture_output=True, check=False)
        return int(json.loads(said.stdout)["conversions"]["pending"])

    def gunicorn(self, *options: str) -> Server:
        """Start the site on gunicorn, and wait until it answers."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *options]
        process = self.run([*command, f"{SITE}:create_app()"])
        return Server(process, f"http://127.0.0.1:{port}")

    def _start(self, command: list[str], **pipes: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self.environment, **pipes)
        self._stack.callback(end, process)
        return process


class Script:
    """The site as a script, which does what it is told."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._answer()

    def sign(self, first: int, count: int) -> Signed:
        """Let so many sign up."""
        return Signed(**self._order(f"sign {first} {count}"))

    def visit(self) -> None:
        """Ask for a page."""
        self._order("visit")

    def exit(self, within: float) -> float | None:
        """Let it end as any program does. Return how many seconds it took; ``None``: longer."""
        started = time.monotonic()
        self._stdin.close()
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            end(self.process)
            return None
        return time.monotonic() - started

    def kill(self) -> None:
        """Let it end at once, without a word."""
        self.process.kill()
        self.process.wait()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def _order(self, line: str) -> dict[str, Any]:
        self._stdin.write(line.encode() + b"\n")
        self._stdin.flush()
        answer: dict[str, Any] = self._answer()
        return answer

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


class Server:
    """The site on gunicorn."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process, self._url = process, url
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert process.poll() is None, "gunicorn did not start"
            assert time.monotonic() < deadline, "gunicorn does not answer"
            time.sleep(0.05)  # another process's doing: there is nothing to be woken by

    def sign(self, first: int, count: int) -> None:
        """Let so many sign up who came by a partner's link."""
        with requests.Session() as session:
            session.trust_env = False
            for number in range(first, first + count):
                session.post(f"{self._url}/signup/{number}?ps_xid={XID}", timeout=PATIENCE)

    def stop(self) -> None:
        """Send SIGTERM to the master, and wait."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self._url, timeout=PATIENCE).ok
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours and those that it started: SIGTERM, and two seconds later SIGKILL."""
    children = list(_children(process.pid))
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 9)


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _children(int(child))
