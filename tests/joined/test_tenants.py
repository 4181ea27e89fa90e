"""Apps with many tenants, each in a schema of its own: the ledger is one for all of them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection
from sqlalchemy import MetaData
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import inspect
from sqlalchemy import text
from sqlalchemy.orm import Session

from flask_partnerstack import Status
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.ledger import add_tables
from tests.kit import XID
from tests.servers import Servers

from .conftest import House
from .conftest import sqlite_url

Turn = Callable[[Connection], object]


def by_map(conn: Connection) -> None:
    conn.execution_options(schema_translate_map={None: "tenant"})


def by_path(conn: Connection) -> None:
    conn.execute(text("SET LOCAL search_path TO tenant"))


def by_use(conn: Connection) -> None:
    conn.execute(text("USE tenant_of_partnerstack"))


TURNS = {
    "sqlite, map": by_map,
    "postgresql, map": by_map,
    "postgresql, search_path": by_path,
    "mariadb, USE": by_use,
}


@pytest.fixture(params=TURNS)
def turn(request: pytest.FixtureRequest) -> Turn:
    """What has a connection look at the tenant, as apps do."""
    return TURNS[request.param]


@pytest.fixture
def house(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Servers, db: Any, build: Any
) -> Iterator[House]:
    """A house whose tenant has every table as well, the ledger's among them."""
    kind = request.node.callspec.params["turn"].partition(",")[0]
    url = sqlite_url(tmp_path) if kind == "sqlite" else servers.empty(kind)
    house: House = build(url, db, pool_reset_on_return="rollback")
    if kind == "sqlite":
        attach(db.engine, tmp_path)
    name = "tenant_of_partnerstack" if kind == "mariadb" else "tenant"
    with db.engine.begin() as conn:
        if kind != "sqlite":
            conn.execute(text(f"DROP SCHEMA IF EXISTS {name}{CASCADE[kind]}"))
            conn.execute(text(f"CREATE SCHEMA {name}"))
        db.metadata.create_all(conn.execution_options(schema_translate_map={None: name}))
    yield house
    db.session.remove()
    with db.engine.begin() as conn:
        if kind != "sqlite":
            conn.execute(text(f"DROP SCHEMA {name}{CASCADE[kind]}"))


CASCADE = {"postgresql": " CASCADE", "mariadb": ""}


def attach(engine: Any, folder: Path) -> None:
    engine.dispose()

    @event.listens_for(engine, "connect")
    def and_the_tenant(driver: Any, _record: object) -> None:
        driver.execute("ATTACH ? AS tenant", (f"{folder}/tenant.db",))


def test_a_tenants_signup_is_recorded_where_it_is_delivered_from(house: House, turn: Turn) -> None:
    """Whatever schema the connection looks at, the conversion is in the ledger, and is sent."""
    turn(house.db.session.connection())
    track_conversion("acme", xid=XID, session=house.db.session)
    house.db.session.commit()
    house.db.session.remove()
    house.db.engine.dispose()
    assert get_state(house.app).dispatcher.run_pass() == 1
    assert house.ledger.get("acme").status is Status.DELIVERED


def test_a_tenants_customer_who_has_an_entry_is_found(house: House, turn: Turn) -> None:
    """The key is looked for where the ledger is, also when it was skipped and is revived."""
    known = house.ledger.record(Conversion.of(customer_key="known", xid=XID)).entry
    house.ledger.record(Conversion.of(customer_key="skipped", xid=XID), skipped=True)
    turn(house.db.session.connection())
    assert track_conversion("known", xid=XID, session=house.db.session) == known
    track_conversion("skipped", xid=XID, session=house.db.session)
    house.db.session.commit()
    house.db.session.remove()
    house.db.engine.dispose()
    assert house.ledger.get("skipped").status is Status.PENDING


def test_the_app_goes_on_with_its_tenant(house: House, turn: Turn) -> None:
    """What the app writes after us is the tenant's, as it was before us."""
    conn = house.db.session.connection()
    turn(conn)
    track_conversion("acme", xid=XID, session=house.db.session)
    track_conversion("acme", xid=XID, session=house.db.session)
    house.add_user("the tenant's")
    house.db.session.commit()
    house.db.session.remove()
    house.db.engine.dispose()
    assert house.users() == []


def test_a_full_pool_is_not_waited_for(servers: Servers, db: Any, build: Any) -> None:
    """The first signup of a process holds the one connection that the app allows itself."""
    house = build(servers.empty("postgresql"), db, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with Session(db.engine) as session:
        session.execute(text("SET LOCAL search_path TO pg_catalog"))
        track_conversion("acme", xid=XID, session=session)
        session.commit()
    assert house.entry("acme") is not None


def test_tables_that_are_not_committed_yet_are_those_of_the_connection(
    servers: Servers, db: Any, build: Any
) -> None:
    """A test suite may make its tables in the transaction that it rolls back at its end."""
    house = build(servers.empty("postgresql"), db)
    db.drop_all()
    with db.engine.connect() as conn, conn.begin() as around:
        db.metadata.create_all(conn)
        track_conversion("acme", xid=XID, session=conn)
        around.rollback()
    assert house.recorded == []


@pytest.mark.parametrize("moved", [{}, {"app": "moved"}])
def test_metadata_with_a_schema_of_its_own(
    servers: Servers, build: Any, moved: dict[str, str]
) -> None:
    """The ledger's tables are in there like all others, found, and nothing is left to migrate."""
    url = servers.empty("postgresql")
    where = moved.get("app", "app")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"DROP SCHEMA IF EXISTS {where} CASCADE"))
        conn.execute(text(f"CREATE SCHEMA {where}"))
    engine.dispose()
    db: Any = SQLAlchemy(metadata=MetaData(schema="app"))
    add_tables(db.metadata)
    options = {"schema_translate_map": moved} if moved else {}
    house = build(url, db, execution_options=options)
    track_conversion("joined", xid=XID, session=db.session)
    db.session.commit()
    track_conversion("alone", xid=XID)
    assert {entry.customer_key for entry in house.ledger.entries()} == {"joined", "alone"}
    assert set(inspect(db.engine).get_table_names(where)) == set(TABLES)
    if not moved:
        with db.engine.connect() as conn:
            context = MigrationContext.configure(conn, opts={"include_schemas": True})
            assert compare_metadata(context, db.metadata) == []


TABLES = ("partnerstack_attempt", "partnerstack_entry", "partnerstack_fact")


def test_a_map_for_other_tables_does_not_matter(servers: Servers, db: Any, build: Any) -> None:
    """What SQLAlchemy compiled for the app's map it does not compile anew for one of ours."""
    options = {"schema_translate_map": {"per_tenant": "tenant"}}
    house = build(servers.empty("postgresql"), db, execution_options=options)
    for _ in range(2):
        track_conversion("acme", xid=XID, session=db.session)
    db.session.commit()
    assert house.entry("acme") is not None


def test_an_engine_that_looks_elsewhere_is_followed(servers: Servers, db: Any, build: Any) -> None:
    """Where all that the app does is moved to another schema, its ledger is there as well."""
    url = servers.empty("postgresql")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text("DROP SCHEMA IF EXISTS moved CASCADE"))
        conn.execute(text("CREATE SCHEMA moved"))
    house = build(url, db, execution_options={"schema_translate_map": {None: "moved"}})
    track_conversion("acme", xid=XID, session=db.session)
    db.session.commit()
    with engine.connect() as conn:
        assert conn.scalar(text("SELECT customer_key FROM moved.partnerstack_entry")) == "acme"
    assert house.entry("acme") is not None
    engine.dispose()
