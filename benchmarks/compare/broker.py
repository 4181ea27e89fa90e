"""A Redis of the benchmark's own, which keeps nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import suppress

PATIENCE = 30.0


class Absent(Exception):
    """There is no ``redis-server`` on the PATH."""


class Redis:
    """A server on a port that it keeps. A context manager; killed, it forgets all."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, with nothing in it.

        :raises Absent: there is none, or it does not start.
        """
        command = shutil.which("redis-server")
        if command is None:
            raise Absent("no redis-server on the PATH: apt-get install redis-server")
        where = ["--bind", "127.0.0.1", "--port", str(self._port), "--dir", self._folder]
        self._process = subprocess.Popen(
            [command, *where, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Absent(f"redis-server does not listen on port {self._port}")
            time.sleep(0.02)  # another process's doing: there is nothing to be woken by

    def kill(self) -> None:
        """End it at once: all that it holds is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False
