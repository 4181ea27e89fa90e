"""Real databases for tests, on the servers that listen here."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

#: Environment variables that point the tests at other servers than those on this machine.
SERVERS = {
    "postgresql": ("PARTNERSTACK_TEST_POSTGRESQL", "postgresql+psycopg://root@127.0.0.1/test"),
    "mariadb": ("PARTNERSTACK_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1/test"),
}


class Servers:
    """One database of the test run's own on each server; every test finds it empty."""

    def __init__(self) -> None:
        self._admins: dict[str, Engine] = {}
        self._name = f"partnerstack_{uuid.uuid4().hex[:12]}"

    def empty(self, kind: str) -> URL:
        """Return the URL of an empty database; skip, or fail in CI, where there is no server."""
        if kind not in self._admins:
            self._admins[kind] = self._open(kind)
        admin = self._admins[kind]
        with admin.connect() as conn:
            for statement in _EMPTY[kind]:
                conn.exec_driver_sql(statement.format(name=self._name))
        return admin.url.set(database=self._name)

    def _open(self, kind: str) -> Engine:
        url = make_url(_url(kind))
        admin = create_engine(url, **_ADMIN)
        try:
            with admin.connect() as conn:
                conn.exec_driver_sql(f"CREATE DATABASE {self._name}")
        except OperationalError as e:
            absent(
                f"no {kind} at {url.render_as_string(hide_password=True)} ({SERVERS[kind][0]}): {e}"
            )
        if kind == "mariadb":
            return admin
        admin.dispose()  # of PostgreSQL's a schema is emptied from within its database
        return create_engine(
            url.set(database=self._name), isolation_level="AUTOCOMMIT", pool_pre_ping=True
        )

    def close(self) -> None:
        """Drop the databases."""
        for kind, admin in self._admins.items():
            admin.dispose()
            outside = create_engine(
                make_url(_url(kind)), isolation_level="AUTOCOMMIT", pool_pre_ping=True
            )
            with outside.connect() as conn:
                conn.exec_driver_sql(f"DROP DATABASE {self._name}{_FORCE[kind]}")
            outside.dispose()


def _url(kind: str) -> str:
    variable, default = SERVERS[kind]
    return os.environ.get(variable, default)


_ADMIN: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_pre_ping": True}
_EMPTY = {
    "postgresql": ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"),
    "mariadb": ("DROP DATABASE {name}", "CREATE DATABASE {name}"),
}
_FORCE = {"postgresql": " WITH (FORCE)", "mariadb": ""}


def absent(reason: str) -> None:
    """Skip on a laptop, fail in CI: what needs a server is never silently untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
