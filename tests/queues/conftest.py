"""A site that publishes, brokers and workers of the tests' own, and the ledger on PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy import text

from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.chaos.conftest import keys as keys
from tests.chaos.conftest import plain_environment as plain_environment
from tests.chaos.conftest import sends as sends
from tests.e2e.conftest import eventually as eventually
from tests.e2e.conftest import open_site as open_site
from tests.e2e.conftest import sandbox as sandbox
from tests.e2e.conftest import visit as visit
from tests.logwatch import LogWatch
from tests.queues.brokers import Absent
from tests.queues.brokers import Broker
from tests.servers import Servers
from tests.servers import absent

Eventually = Callable[[Callable[[], bool]], None]
Start = Callable[[type[Broker]], Broker]

#: More than a day: the third cut-off entry in a row that nobody finds waits for one.
MOST_HOURS = 32
#: Every moment that the ledger keeps.
MOMENTS = {
    "partnerstack_entry": (
        *("recorded_at", "first_attempt_at", "attempted_at", "sending_at"),
        *("due_at", "scheduled_at", "settled_at"),
    ),
    "partnerstack_attempt": ("at",),
}


@pytest.fixture
def postgresql(servers: Servers) -> URL:
    """A database of the test's own, furnished."""
    url = servers.empty("postgresql")
    database = Database(url, embedded=False)
    database.migrate()
    database.close()
    return url


@pytest.fixture
def ledger(postgresql: URL) -> Iterator[Ledger]:
    """The sites' ledger, looked at from outside."""
    database = Database(postgresql, embedded=False)
    yield Ledger(database, lease=timedelta(minutes=2))
    database.close()


@pytest.fixture
def count_entries(postgresql: URL) -> Iterator[Callable[[str], int]]:
    """Return what counts rows of the sites' ledger, as SQL says, past all code of ours."""
    engine = create_engine(postgresql)

    def count_entries(wanted: str) -> int:
        with engine.connect() as conn:
            question = text(f"SELECT COUNT(*) FROM partnerstack_entry WHERE {wanted}")
            count: int = conn.execute(question).scalar_one()
        return count

    yield count_entries
    engine.dispose()


@pytest.fixture
def in_hands(count_entries: Callable[[str], int]) -> Callable[[], int]:
    """Return what counts the entries under a lease."""
    return partial(count_entries, "lease IS NOT NULL")


@pytest.fixture
def unsettled(count_entries: Callable[[str], int]) -> Callable[[], int]:
    """Return what counts the entries that are under a lease, or due within half a minute.

    One question for both, because an entry may go from due to leased between two.
    """
    soon = "due_at < (EXTRACT(EPOCH FROM clock_timestamp()) + 30) * 1000000"
    return partial(count_entries, f"lease IS NOT NULL OR {soon}")


@pytest.fixture
def pass_an_hour(postgresql: URL) -> Iterator[Callable[[], None]]:
    """Return what moves the ledger's past an hour back, as if that had passed meanwhile.

    A server's ledger goes by the server's own clock, and that cannot be set.
    """
    engine = create_engine(postgresql)

    def pass_an_hour() -> None:
        with engine.begin() as conn:
            for table, columns in MOMENTS.items():
                earlier = ", ".join(f"{column} = {column} - 3600000000" for column in columns)
                conn.execute(text(f"UPDATE {table} SET {earlier}"))

    yield pass_an_hour
    engine.dispose()


@pytest.fixture
def settle_all(
    ledger: Ledger,
    eventually: Eventually,
    pass_an_hour: Callable[[], None],
    unsettled: Callable[[], int],
) -> Callable[[], Counter[Status]]:
    """Return what lets the hours pass until every entry is settled and looked up.

    Called when nothing is in anybody's hands but those of the dead.
    """

    def settle_all() -> Counter[Status]:
        for _ in range(MOST_HOURS):
            pass_an_hour()
            while left := unsettled():
                eventually(partial(_is_less, unsettled, left))
            if ledger.outlook().due_in is None:
                break
        return Counter({status: n for status, n in ledger.counts().items() if n})

    return settle_all


def _is_less(count: Callable[[], int], than: int) -> bool:
    return count() < than


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a broker."""
    with contextlib.ExitStack() as brokers:

        def start(kind: type[Broker]) -> Broker:
            broker = kind(tmp_path / kind.__name__)
            brokers.callback(broker.kill)
            try:
                broker.start()
            except Absent as e:
                absent(str(e))
            return broker

        yield start


class Worker:
    """A queue's worker: a process, and all those that it makes."""

    def __init__(self, module: str, *arguments: str, log: Path, **environment: str) -> None:
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End all of them at once, without a word."""
        # RQ's work horses lead groups of their own.
        for pid in [*_children(self._process.pid), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(os.getpgid(pid), signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self.kill()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@pytest.fixture
def config(
    postgresql: URL, sandbox: SandboxProcess, keys: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """The environment of a site and its workers, but for the queue."""
    return {
        "SITE_INSTANCE": str(tmp_path / "instance"),
        "PARTNERSTACK_TOKEN": "sandbox-token",
        "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
        "PARTNERSTACK_LEDGER_URL": postgresql.render_as_string(hide_password=False),
        **keys,
    }


@pytest.fixture
def hire(tmp_path: Path, log_watch: LogWatch) -> Iterator[Callable[..., Worker]]:
    """Return what starts a worker by its module and arguments; what they log is read at the end."""
    with contextlib.ExitStack() as workers:
        workers.callback(log_watch.look_into, tmp_path / "worker.log")

        def hire(module: str, *arguments: str, **environment: str) -> Worker:
            worker = Worker(module, *arguments, log=tmp_path / "worker.log", **environment)
            workers.callback(worker.kill)
            return worker

        yield hire
