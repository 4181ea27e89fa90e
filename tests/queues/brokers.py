"""Brokers of the tests' own, because these are stopped and emptied."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.kit import free_port

PATIENCE = 300.0  # a RabbitMQ on a busy machine takes a minute to start

#: The commands that start them, and the environment variables that name others.
REDIS = ("PARTNERSTACK_TEST_REDIS", "redis-server")
# Debian's command on the PATH changes the user; the one behind it does not.
RABBITMQ = ("PARTNERSTACK_TEST_RABBITMQ", "/usr/lib/rabbitmq/bin/rabbitmq-server")


class Absent(Exception):
    """The command that starts a broker is not there."""


class Broker:
    """A server in a process group of its own, on a port that it keeps."""

    scheme: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        """Start it, with nothing in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await(self._process)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            said = (self.folder / "log").read_text(errors="replace")
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)  # another process's doing: there is nothing to be woken by

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class RedisBroker(Broker):
    scheme = "redis://"

    def command(self) -> Sequence[str]:
        # Nothing is written to disk, so that a restart empties it.
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [found(*REDIS), *where, "--save", "", "--appendonly", "no"]


class RabbitBroker(Broker):
    scheme = "amqp://guest:guest@"

    def command(self) -> Sequence[str]:
        return [found(*RABBITMQ)]

    def environment(self) -> dict[str, str]:
        config = self.folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_NODENAME": f"partnerstack{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


class SilentBroker:
    """Accepts connections, and never says a word."""

    def __init__(self, scheme: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"{scheme}127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()


def found(variable: str, default: str) -> str:
    command = shutil.which(os.environ.get(variable, default))
    if command is None:
        raise Absent(f"no command {os.environ.get(variable, default)} ({variable})")
    return command
