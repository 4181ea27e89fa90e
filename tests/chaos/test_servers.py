"""Every WSGI server, however it forks, threads and ends: nothing lost, nothing twice."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.servers import Servers

if TYPE_CHECKING:
    from tests.chaos.conftest import Server
    from tests.e2e.conftest import Visitor

Eventually = Callable[[Callable[[], bool]], None]
Serve = Callable[..., "Server"]

APP = "tests.e2e.site:create_app"
GUNICORN = [sys.executable, "-m", "gunicorn", "--workers=2", "--bind=127.0.0.1:{port}"]
UWSGI = [
    str(Path(sys.executable).with_name("uwsgi")),
    *("--master", "--die-on-term", "--processes=2", "--http-socket=127.0.0.1:{port}"),
    "--add-header=Connection: close",  # it closes, and does not say so by itself
    f"--module={APP}()",
]
WAITRESS = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:{port}", "--call", APP]

LONE = "uWSGI without threads"
#: By their names: what must be installed, and the command.
SERVERS = {
    **{
        f"gunicorn {kind}{preload}": (
            needed,
            [*GUNICORN, f"-k{kind}", *preload.split(), f"{APP}()"],
        )
        for kind, needed in (("sync", "gunicorn"), ("gthread", "gunicorn"), ("gevent", "gevent"))
        for preload in ("", " --preload")
    },
    LONE: ("pyuwsgi", UWSGI),
    "uWSGI --enable-threads": ("pyuwsgi", [*UWSGI, "--enable-threads"]),
    "waitress": ("waitress", WAITRESS),
}

#: Small: each server ends once, by turns in one way and in the other. Full: each in both ways.
FULL = os.environ.get("PARTNERSTACK_TEST_SIZE") == "full"
ENDINGS = ("stop", "kill")
CELLS = [
    (name, ending)
    for number, name in enumerate(SERVERS)
    for ending in (ENDINGS if FULL else (ENDINGS[(number + number // 2) % 2],))
]


def command_of(name: str) -> list[str]:
    """Return a server's command; skip on a laptop without it, and fail in CI."""
    needed, command = SERVERS[name]
    if find_spec(needed) is None:
        reason = f"{needed} is not installed; it is in the test extra"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return command


@pytest.mark.parametrize(("name", "ending"), CELLS)
def test_fifty_signups_survive_the_end_of_any_server(
    name: str,
    ending: str,
    serve: Serve,
    sandbox: SandboxProcess,
    visit: Callable[[Server, str], Visitor],
    ledger: Ledger,
    eventually: Eventually,
    at_rest: Callable[[float], bool],
    taken: Callable[[], Counter[str]],
    say: Callable[[str], None],
) -> None:
    """Half are delivered as they come; half fall into an outage, and are after a restart.

    A kill may cut an attempt off, which without keys is sent again after half an hour only: the
    second restart is for that one. One page view sets the rest going, but for uWSGI without
    threads, where each page view does half a second's worth.
    """
    command = command_of(name)
    server = serve(command)
    visitor = visit(server, LANDING)
    for number in range(25):
        visitor.sign_up(f"customer-{number}")
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 25)
    sandbox.fault(status=503)
    for number in range(25, 50):
        visitor.sign_up(f"customer-{number}")
    getattr(server, ending)()
    sandbox.clear_faults()

    restarts = 0

    def settled() -> bool:
        if name == LONE:
            newcomer.arrive("")
        return at_rest(2 * restarts - 1)

    while restarts == 0 or ledger.counts()[Status.DELIVERED] < 50:
        restarts += 1
        assert restarts <= {"stop": 1, "kill": 2}[ending]
        server = serve(command, SITE_HOURS_AHEAD=str(2 * restarts - 1))
        newcomer = visit(server, "")
        eventually(settled)
        server.stop()
    once = taken()
    say(f"{name}, {ending}: 50 answered, {len(once)} delivered, {once.total() - len(once)} twice")
    assert once == {f"customer-{number}": 1 for number in range(50)}
    assert ("--enable-threads" in server.log.read_text()) == (name == LONE)


@pytest.fixture(params=["file", "postgresql", "mariadb"])
def home(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Servers
) -> Iterator[tuple[Ledger, dict[str, str]]]:
    """The sites' ledger, looked at from outside, and what tells a site where it lies."""
    if request.param == "file":
        url, environment = make_url(f"sqlite:///{tmp_path}/instance/partnerstack.db"), {}
    else:
        url = servers.empty(request.param)
        environment = {"SITE_DB": url.render_as_string(hide_password=False)}
    database = Database(url, embedded=not environment)
    if environment:
        database.migrate()
    yield Ledger(database, lease=timedelta(minutes=2)), environment
    database.close()


def test_greenlets_that_come_at_once_do_not_stop_each_other(
    home: tuple[Ledger, dict[str, str]],
    serve: Serve,
    visit: Callable[[Server, str], Visitor],
    eventually: Eventually,
    taken: Callable[[], Counter[str]],
    say: Callable[[str], None],
) -> None:
    """Loaded before gevent replaced the locks, the first requests all together: none waits long."""
    ledger, environment = home
    server = serve(command_of("gunicorn gevent --preload"), **environment)
    together = threading.Barrier(24)

    def sign_up(visitor_number: int) -> float:
        together.wait()
        visitor = visit(server, LANDING)
        return max(visitor.sign_up(f"customer-{visitor_number}-{n}") for n in range(10))

    with ThreadPoolExecutor(24) as pool:
        slowest = max(pool.map(sign_up, range(24)))
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 240)
    once = taken()
    say(
        f"24 greenlets at once: 240 answered (slowest {slowest:.2f} s), {len(once)} delivered, once"
    )
    assert once.total() == len(once) == 240
    assert slowest < 5.0
