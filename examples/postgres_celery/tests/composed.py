"""``compose.yaml`` as processes of this machine: there is no Docker where tests run."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "examples/postgres_celery/compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE: str = COMPOSE["x-app"]["build"]["dockerfile_inline"]

#: What is a container's own, and on this machine everybody's.
TMP = "/tmp/"  # noqa: S108 - nothing is written there

PATIENCE = 60.0


def instructions(name: str) -> list[list[str]]:
    """Return the arguments of each ``FROM``, ``COPY`` or ``RUN`` of the image."""
    lines = (shlex.split(line) for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    return [arguments for first, *arguments in lines if first == name]


def build(folder: Path) -> None:
    """Copy what the image copies; of a folder Docker takes what is in it."""
    context = FILE.parent / COMPOSE["x-app"]["build"]["context"]
    for *sources, target in instructions("COPY"):
        for source in sources:
            _copy(context / source, folder / target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def published(service: str) -> tuple[str, int]:
    """Return where a service is reached from outside, and its own port."""
    address, _, inside = SERVICES[service]["ports"][0].rpartition(":")
    return address, int(inside)


class Composed:
    """The services of the file that are ours, each in a process.

    :param folder: what is in the image.
    :param servers: by name, the ports of those that are not ours. They run already.
    :param environment: said beside what the file says.
    """

    def __init__(
        self, folder: Path, servers: Mapping[str, int], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._servers = servers
        self._environment = environment
        self._tmp = folder / "tmp"
        self._tmp.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start all, each after what it depends on."""
        for name in SERVICES:
            self._start(name)

    def _start(self, name: str) -> None:
        if name in self._processes or name in self._servers:
            return
        for other, wish in SERVICES[name].get("depends_on", {}).items():
            self._start(other)
            if wish["condition"] == "service_completed_successfully":
                assert self._processes[other].wait(PATIENCE) == 0, other
        self._processes[name] = subprocess.Popen(
            shlex.split(SERVICES[name]["command"].replace(TMP, f"{self._tmp}/")),
            cwd=self._folder,
            env=self._environment_of(name),
            # The sandbox says what it accepts; no test is to see a token in what is written.
            stdout=subprocess.DEVNULL if name == "sandbox" else None,
            start_new_session=True,
        )

    def _environment_of(self, name: str) -> dict[str, str]:
        """Return the file's own, with the addresses of this test's servers, and no developer's."""
        said: dict[str, str] = SERVICES[name]["environment"]
        ours = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        ours |= {"HOME": str(self._tmp), "PYTHONPATH": str(self._folder), **self._environment}
        return ours | {key: self._from_here(value) for key, value in said.items()}

    def _from_here(self, value: str) -> str:
        for server, port in self._servers.items():
            value = value.replace(published(server)[0], f"127.0.0.1:{port}")
        return value

    def stop(self) -> dict[str, int]:
        """Ask all to end, as ``docker compose stop`` does; return how each ended."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        return {name: process.wait(PATIENCE) for name, process in self._processes.items()}

    def kill(self) -> None:
        """End what is left, with all that it has started."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
