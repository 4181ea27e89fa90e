"""A sandbox in a process of its own, for a test-suite to start, ask, break and stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from http.client import HTTPConnection
from http.client import HTTPResponse
from pathlib import Path
from queue import Empty
from queue import SimpleQueue
from threading import Thread
from typing import IO
from typing import Any
from urllib.parse import urlsplit

from .asked import AskedSandbox
from .loopback import require_loopback
from .settings import SandboxSettings

#: The folder that holds the package, so that the process finds the same code as we did.
_IMPORT_ROOT = Path(__file__).resolve().parents[2]


class SandboxError(RuntimeError):
    """When the sandbox's process did not start, or is not running."""


class SandboxProcess(AskedSandbox):
    """A running sandbox; as a context manager it is stopped, whatever happens.

    ::

        with SandboxProcess() as sandbox:
            app = create_app({"PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url})
            sandbox.fault(status=503, times=2)

    It ends with the process that started it, even one that is killed. What it remembers dies
    with it, unless the settings name a ``records`` file.

    :param port: 0 picks a free one at the first start and stays with it.
    :param timeout: seconds that starting, stopping and each question may take.
    :raises SandboxError: when it does not start.
    """

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        verbose: bool = False,
        timeout: float = 20.0,
    ) -> None:
        require_loopback(host)
        self.settings: SandboxSettings = settings or SandboxSettings()
        self._host = host
        self._port = port
        self._verbose = verbose
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self.start()

    def __enter__(self) -> SandboxProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return self._url

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def follow(self, link: str) -> str:
        """Make the click of a partner link; return the landing URL that it leads to.

        :raises ValueError: it is none, in the sandbox's words.
        :raises SandboxError: the sandbox does not answer.
        """
        parts = urlsplit(link)
        response, answer = self._exchange("GET", f"{parts.path}?{parts.query}")
        if response.status != 302:
            raise ValueError(json.loads(answer)["message"])
        return response.headers["Location"]

    def start(self) -> None:
        """Start it; one that runs stays as it is."""
        if self.running:
            return
        process = self._spawn()
        self._process = process
        self._url = self._await_url(process)
        self._port = urlsplit(self._url).port or 0

    def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._bury(self._process)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._bury(self._process)

    def restart(self) -> None:
        """Stop it, if it runs, and start it again on the same port.

        With a ``records`` file in the settings it knows what it knew; without, nothing.
        """
        self.stop()
        self.start()

    def _spawn(self) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (str(_IMPORT_ROOT), os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(  # noqa: S603 - our own module, with options that we wrote
            [sys.executable, "-m", "flask_partnerstack.sandbox", *self._options()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"},
        )

    def _options(self) -> list[str]:
        options = [f"--host={self._host}", f"--port={self._port}", "--until-eof"]
        if self._verbose:
            options.append("--verbose")
        for field in fields(self.settings):
            options += _option(field.name, getattr(self.settings, field.name))
        return options

    def _await_url(self, process: subprocess.Popen[str]) -> str:
        line = _first_line(_opened(process.stdout), self._timeout)
        if not line:
            self.kill()
            raise SandboxError(
                f"The sandbox did not start within {self._timeout} s"
                f" (exit code {process.returncode}); what it said is on standard error."
            )
        return line.split()[-1]

    def _bury(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        for stream in (process.stdin, process.stdout):
            _opened(stream).close()
        self._process = None

    def _ask(self, method: str, path: str, document: object = None) -> Any:
        body = None if document is None else json.dumps(document)
        response, answer = self._exchange(method, path, body)
        content = json.loads(answer)
        if response.status != 200:
            raise ValueError(content["message"])
        return content

    def _exchange(
        self, method: str, path: str, body: str | None = None
    ) -> tuple[HTTPResponse, bytes]:
        # http.client, because it has never heard of the environment's proxies.
        connection = HTTPConnection(self._host.strip("[]"), self._port, timeout=self._timeout)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response, response.read()
        except OSError as error:
            raise SandboxError(f"The sandbox at {self.url} does not answer.") from error
        finally:
            connection.close()


def _option(name: str, value: object) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    return [] if value is None else [f"{option}={value}"]


def _opened(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise AssertionError("the process was started without a pipe")
    return stream


def _first_line(stream: IO[str], timeout: float) -> str:
    """The next line of a pipe; empty when it ended, or when none came within the seconds."""
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    with suppress(Empty):
        return lines.get(timeout=timeout)
    return ""
