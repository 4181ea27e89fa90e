"""``compose.yaml``, as far as it can be run without Docker."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from click import Command
from flask.cli import run_command
from sqlalchemy import create_engine
from sqlalchemy import make_url

from examples.postgres_celery import create_app
from flask_partnerstack.cli import partnerstack
from tests.kit import free_port
from tests.ledger.restarted import RestartedPostgreSQL
from tests.queues.brokers import RedisBroker

from .composed import COMPOSE
from .composed import PATIENCE
from .composed import SERVICES
from .composed import Composed
from .composed import build
from .composed import instructions
from .composed import published

JO = {"name": "Jo", "email": "jo@example.com"}


@pytest.fixture
def database() -> Iterator[RestartedPostgreSQL]:
    """A server that is not started yet."""
    server = RestartedPostgreSQL()
    yield server
    server.stop()


def is_healthy(database: RestartedPostgreSQL) -> bool:
    """Ask as the file asks, in the place where the server is."""
    kind, *command = SERVICES["database"]["healthcheck"]["test"]
    assert kind == "CMD"
    here = {"PGHOST": str(database.folder), "PGPORT": str(database.port)}
    return subprocess.run(command, env={**os.environ, **here}, check=False).returncode == 0


def make_database(server: RestartedPostgreSQL) -> None:
    """Make what the image makes of its environment."""
    said = SERVICES["database"]["environment"]
    user = said["POSTGRES_USER"]
    engine = create_engine(server.new_database(said.get("POSTGRES_DB", user)))
    with engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE ROLE {user} SUPERUSER LOGIN")
    engine.dispose()


@pytest.fixture
def ports() -> dict[str, int]:
    return {"web": free_port(), "sandbox": free_port()}


@pytest.fixture
def composed(
    tmp_path: Path, database: RestartedPostgreSQL, broker: RedisBroker, ports: dict[str, int]
) -> Iterator[Composed]:
    """All of it, on ports that are free here."""
    database.start()
    make_database(database)
    assert is_healthy(database)
    sandbox = f"http://127.0.0.1:{ports['sandbox']}"
    environment = {
        "NO_PROXY": "127.0.0.1",
        "FLASK_RUN_PORT": str(ports["web"]),
        "FLASK_PARTNERSTACK_SANDBOX_PORT": str(ports["sandbox"]),
        "FLASK_PARTNERSTACK_SANDBOX_LANDING": f"http://127.0.0.1:{ports['web']}/",
        "PARTNERSTACK_CONVERSION_URL": f"{sandbox}/conversion/xid",
    }
    image = tmp_path / "image"
    build(image)
    composed = Composed(image, {"database": database.port, "broker": broker.port}, environment)
    yield composed
    composed.kill()


def page(visitor: requests.Session, url: str) -> str:
    """Open a page, as soon as somebody listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return visitor.get(url, timeout=PATIENCE).text
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # another process's doing: there is nothing to be woken by


def test_a_partners_customer_is_credited(composed: Composed, ports: dict[str, int]) -> None:
    """From the link on the sandbox's page to a conversion there, by all that the file starts."""
    sandbox, shop = (f"http://127.0.0.1:{ports[name]}" for name in ("sandbox", "web"))
    composed.up()
    with requests.Session() as visitor:
        visitor.trust_env = False
        page(visitor, shop)
        (link, *_) = re.findall(r'href="(/l/[^"]+)"', page(visitor, sandbox))
        assert "friend of" in visitor.get(sandbox + link, timeout=PATIENCE).text
        assert "Welcome" in visitor.post(f"{shop}/signup", data=JO, timeout=PATIENCE).text
        deadline = time.monotonic() + PATIENCE
        while JO["email"] not in page(visitor, sandbox):
            assert time.monotonic() < deadline
            time.sleep(0.05)  # another process's doing: there is nothing to be woken by
    assert composed.stop()["worker"] == 0


def test_the_database_is_healthy_only_once_it_is_made(database: RestartedPostgreSQL) -> None:
    """While the image makes it, a server without TCP runs, and the migration would not reach it."""
    database.addresses = ""
    database.start()
    assert not is_healthy(database)
    database.addresses = "127.0.0.1"
    database.restart(gently=True)
    assert is_healthy(database)


def test_the_image_is_of_a_python_that_is_supported() -> None:
    """It is among those that the package names."""
    ((image,),) = instructions("FROM")
    version = image.removeprefix("python:").removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in metadata("Flask-PartnerStack").get_all(
        "Classifier", []
    )


def test_the_image_takes_nothing_that_is_a_developers_own() -> None:
    """Each thing is named: neither the whole folder, with .git and .venv, nor a ledger in it."""
    sources = {source for *sources, _ in instructions("COPY") for source in sources}
    assert not sources & {".", "./", "*", "examples", "examples/"}


def test_what_is_installed_is_in_the_image(tmp_path: Path) -> None:
    """The file of requirements, and the project beside it."""
    build(tmp_path)
    ((*_, editable, _, requirements),) = instructions("RUN")
    assert (tmp_path / editable / "pyproject.toml").exists()
    assert (tmp_path / requirements).exists()


def test_servers_are_published_by_the_ports_of_their_images() -> None:
    """A server listens where its image lets it."""
    assert (published("database")[1], published("broker")[1]) == (5432, 6379)


def test_the_shop_knows_the_password_of_its_database() -> None:
    """And the user, and the database of that name."""
    url = make_url(COMPOSE["x-app"]["environment"]["DATABASE_URL"])
    said = SERVICES["database"]["environment"]
    assert (url.username, url.password) == (said["POSTGRES_USER"], said["POSTGRES_PASSWORD"])
    assert url.database == said.get("POSTGRES_DB", said["POSTGRES_USER"])


def default_of(command: Command, option: str) -> Any:
    """Return what an option of a command is where it is not given."""
    (parameter,) = (p for p in command.params if p.name == option)
    return parameter.default


def test_shop_and_sandbox_look_for_each_other_where_they_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By their defaults, as the file gives neither of them an address."""
    monkeypatch.delenv("PARTNERSTACK_CONVERSION_URL", raising=False)
    sandbox = partnerstack.commands["sandbox"]
    shop_asks = urlsplit(create_app().config["PARTNERSTACK_CONVERSION_URL"])
    assert shop_asks.port == default_of(sandbox, "port")
    assert urlsplit(default_of(sandbox, "landing")).port == default_of(run_command, "port")
    assert not any("--port" in service.get("command", "") for service in SERVICES.values())


def test_volumes_are_named() -> None:
    """What the database writes outlives its container, in a volume that the file has."""
    (volume,) = SERVICES["database"]["volumes"]
    assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_signals_reach_what_runs() -> None:
    """A process with the number 1 heeds no SIGTERM by itself, so each of ours has an init."""
    assert all(s["init"] for s in SERVICES.values() if "command" in s)
