"""Statements that SQLite's driver is given as they are do what SQLAlchemy would do with them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy import bindparam
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.ledger import utcnow
from flask_partnerstack.ledger.inserting import insert
from flask_partnerstack.ledger.making import make_tables
from flask_partnerstack.ledger.prepared import Prepared
from flask_partnerstack.ledger.recording import new_row
from flask_partnerstack.ledger.tables import entries
from flask_partnerstack.ledger.tables import facts

ANYTHING = select(entries).order_by(entries.c.id)
WRITTEN = facts.insert().inline().values(name=bindparam("of"), value=bindparam("what"))
TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)


@pytest.fixture
def conn(database: Database, ledger: Ledger) -> Iterator[Connection]:
    ledger.init()
    with database.write() as conn:
        yield conn


@pytest.fixture
def two_schemas(tmp_path: Path) -> Iterator[Connection]:
    """A connection that puts ``other`` in the place of no schema, with a ledger in both."""
    engine = create_engine(f"sqlite:///{tmp_path}/main.db")

    @event.listens_for(engine, "connect")
    def attach(driver: object, _record: object) -> None:
        driver.execute("ATTACH ? AS other", (f"{tmp_path}/other.db",))  # type: ignore[attr-defined]

    moved = engine.execution_options(schema_translate_map={None: "other"})
    for one in (engine, moved):
        with one.begin() as conn:
            make_tables(conn)
    with moved.connect() as conn:
        yield conn
    engine.dispose()


def test_rows_are_what_sqlalchemy_makes_of_them(
    ledger: Ledger, database: Database, conversion: Callable[..., Conversion]
) -> None:
    """Moments, truths and what is empty, each as its column's type says."""
    for _ in range(2):
        ledger.record(conversion())
    (claim,) = ledger.claim(1)
    ledger.settle(claim, Status.DELIVERED, TAKEN, look_up_in=timedelta(hours=1), test=True)
    with database.read() as conn:
        theirs = [row._asdict() for row in conn.execute(ANYTHING)]
        ours = [row._asdict() for row in Prepared(ANYTHING).run(conn, {})]
    assert [row["test"] for row in ours] == [True, None]
    assert ours == theirs


def test_what_is_refused_is_sqlalchemys_error_and_tells_no_value(conn: Connection) -> None:
    """Whoever knows SQLAlchemy's errors knows these; a value may be somebody's address."""
    Prepared(WRITTEN).run(conn, {"of": "jo@example.com", "what": ""})
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed") as refused:
        Prepared(WRITTEN).run(conn, {"of": "jo@example.com", "what": ""})
    assert "jo@" not in str(refused.value)


def test_what_is_written_is_committed_with_the_transaction(tmp_path: Path) -> None:
    """SQLAlchemy begins one with the first statement, and so do we."""
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as conn:
        make_tables(conn)
    with engine.connect() as conn:
        Prepared(WRITTEN).run(conn, {"of": "kept", "what": ""})
        conn.commit()
        Prepared(WRITTEN).run(conn, {"of": "dropped", "what": ""})
        conn.rollback()
        assert conn.scalars(select(facts.c.name)).all() == ["kept"]
    engine.dispose()


def test_a_schema_in_the_place_of_none_is_written_to(two_schemas: Connection) -> None:
    """The driver knows nothing of SQLAlchemy's map: it would find the first table of that name."""
    conn = two_schemas
    Prepared(WRITTEN).run(conn, {"of": "kept", "what": ""})
    insert(conn, new_row(Conversion.of(customer_key="acme", xid="h8pb9E7TZK6YMO"), utcnow(), None))
    assert (rows_in(conn, "main"), rows_in(conn, "other")) == ([0, 0], [1, 1])


def rows_in(conn: Connection, schema: str) -> list[int]:
    """Return how many rows a schema's tables have, asked by their whole names."""
    counts = [f"SELECT count(*) FROM {schema}.{table.name}" for table in (entries, facts)]
    return [conn.exec_driver_sql(count).scalar_one() for count in counts]
