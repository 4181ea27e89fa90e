"""What a signup pays to hand a conversion over."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from typing import Final

import pyperf
from flask import Flask
from sqlalchemy import Column
from sqlalchemy import Engine
from sqlalchemy import Integer
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Table as DatabaseTable
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import pairs
from benchmarks.compare import handing
from benchmarks.compare.broker import Redis
from benchmarks.compare.place import AGENT
from benchmarks.compare.place import PERSON
from benchmarks.compare.place import XID
from benchmarks.compare.place import Place
from benchmarks.compare.tables import OURS
from benchmarks.compare.tables import SPREAD
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import figure
from benchmarks.compare.tables import sentence_of
from benchmarks.compare.tables import times
from benchmarks.loopback import Mood
from benchmarks.loopback import Vendor
from benchmarks.loopback import key_of
from flask_partnerstack import track_conversion

ROUNDS, QUICK_ROUNDS = 41, 3
COOKIE = f"partnerstack_referral=v=1&x={XID}&t={int(time.time())}&k=keeganleary8672"

JOINED, ALONE, BARE_INSERT = f"{OURS}, `session=`", "the signup alone", "bare Core insert"


@dataclass(frozen=True)
class Way:
    """One way to hand a conversion over.

    :param survives: what a conversion survives from the moment that the call returns.
    :param delay: of the vendor's answers, in seconds.
    :param loops: calls in a round: fewer of those that take long.
    """

    hand: handing.Handing
    survives: str
    delay: float = 0.0
    loops: int = 50


def bare_insert(app: Flask, place: Place) -> handing.HandOver:
    """Return a Core insert of a copy of a row of ours: WAL, FULL, a kept connection."""
    handing.partnerstack(app, place, engine="none")
    with app.app_context():
        track_conversion("template", xid=XID, user_agent=AGENT, origin="localhost", **_person())
    engine = create_engine(f"sqlite:///{place.folder}/partnerstack.db")
    event.listen(engine, "connect", _set_pragmas)
    table = DatabaseTable("partnerstack_entry", MetaData(), autoload_with=engine)
    with engine.connect() as conn:
        row = dict(conn.execute(select(table)).mappings().one())
    del row["id"]
    return partial(_insert_copy, engine, table, row)


def _insert_copy(engine: Engine, table: DatabaseTable, row: dict[str, Any], key: str) -> None:
    digest = hashlib.sha256(key.encode()).hexdigest()
    with engine.begin() as conn:
        conn.execute(insert(table), {**row, "customer_key": key, "customer_digest": digest})


def _person() -> dict[str, Any]:
    return dict(PERSON)


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


#: Ours, then in memory, on Redis, and in the signup itself.
WAYS: Final[dict[str, Way]] = {
    OURS: Way(partial(handing.partnerstack, engine="none"), "power loss"),
    f"{OURS}, delivering meanwhile": Way(handing.partnerstack, "power loss"),
    BARE_INSERT: Way(bare_insert, "power loss"),
    "PostHog `capture`": Way(handing.posthog, "nothing"),
    "Segment `track`": Way(handing.segment, "nothing"),
    "Sentry `capture_message`": Way(handing.sentry, "nothing"),
    "Huey on Redis": Way(handing.huey, "the app's crash"),
    "Celery on Redis": Way(handing.celery, "the app's crash"),
    "RQ on Redis": Way(handing.rq, "the app's crash"),
    "`requests.post`, API at 0 ms": Way(handing.inline, "all: delivered", loops=20),
    "`requests.post`, API at 20 ms": Way(handing.inline, "all: delivered", 0.02, 3),
    "`requests.post`, API at 100 ms": Way(handing.inline, "all: delivered", 0.1, 1),
}
CONTENDERS: Final = (OURS, JOINED, *[name for name in WAYS if name != OURS])


def handing_over(name: str, place: Place) -> Mapping[str, pairs.Variant]:
    """Return what hands over one conversion more, in the request of a referred visitor."""
    app = _referred(place, lambda app: WAYS[name].hand(app, place))
    keys = map(key_of, itertools.count())
    return {name: lambda: app(next(keys))}


def _referred(place: Place, set_up: Callable[[Flask], handing.HandOver]) -> handing.HandOver:
    app = Flask("compare", instance_path=place.folder)
    hand_over = set_up(app)
    headers = {"Cookie": COOKIE, "User-Agent": AGENT}
    app.test_request_context("/signup", method="POST", headers=headers).push()
    app.preprocess_request()
    return hand_over


# --- with session= --------------------------------------------------------------------------------

_users = DatabaseTable(
    "user",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("public_id", String(36), unique=True, nullable=False),
    Column("email", String(254), nullable=False),
    Column("name", String(64), nullable=False),
)


def joining(place: Place) -> Mapping[str, pairs.Variant]:
    """Return a signup's transaction, alone and with a conversion in it."""
    _referred(place, partial(handing.partnerstack, place=place, engine="none"))
    track_conversion("template", **_person())  # makes the ledger
    engine = create_engine(f"sqlite:///{place.folder}/partnerstack.db")
    event.listen(engine, "connect", _set_pragmas)
    _users.create(engine)
    keys = map(key_of, itertools.count())

    def also(key: str, session: Session) -> None:
        track_conversion(key, session=session, **_person())

    return {
        ALONE: partial(_sign_up, engine, keys, lambda _key, _session: None),
        JOINED: partial(_sign_up, engine, keys, also),
    }


def _sign_up(engine: Engine, keys: Iterator[str], also: Callable[[str, Session], None]) -> None:
    key = next(keys)
    with Session(engine) as session:
        session.execute(insert(_users), {"public_id": key, **PERSON})
        also(key, session)
        session.commit()


# --- the table ------------------------------------------------------------------------------------


def measure(*, quick: bool) -> Table:
    """Time every way, each in its own process."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        redis = stack.enter_context(Redis(folder)).url
        delays = {way.delay for way in WAYS.values()}
        vendors = {delay: stack.enter_context(Vendor(Mood(delay=delay))).url for delay in delays}
        places = [
            Place(vendors[way.delay], str(Path(folder, str(number))), redis)
            for number, way in enumerate(WAYS.values())
        ]
        entrants = [
            pairs.Apart(partial(handing_over, name, place), way.loops)
            for (name, way), place in zip(WAYS.items(), places, strict=True)
        ]
        joined = Place(vendors[0.0], str(Path(folder, "joined")))
        entrants.append(pairs.Apart(partial(joining, joined), loops=50))
        for place in (*places, joined):
            Path(place.folder).mkdir()
        found = pairs.compare_apart(entrants, rounds=QUICK_ROUNDS if quick else ROUNDS)
    return _table(found)


def _table(found: Mapping[str, pyperf.Benchmark]) -> Table:
    capture = pairs.micros(found["PostHog `capture`"])
    return Table(
        name="signup",
        measured=(
            "Microseconds that a call takes which hands one conversion over, with email, name, "
            "address and agent; a value is the mean of a round's calls. With `session=` it is what "
            "a signup's transaction takes more than without the conversion."
        ),
        columns=("way", "median", SPREAD, "ratio to ours", "what it survives at once"),
        rows=tuple(_row(found, name) for name in CONTENDERS),
        notes=(
            (
                "The signup alone, one insert and a commit, takes "
                f"{figure(pairs.micros(found[ALONE]))} µs. Ours is "
                f"{times(pairs.ratio(found[OURS], found[BARE_INSERT]))} times the bare insert of "
                "the same row into a table with the same indexes; with `session=` it is "
                f"{_than(pairs.over(found[JOINED], found[ALONE]) - capture)} than PostHog's "
                "`capture`."
            ),
        ),
    )


def _than(difference: float) -> str:
    return f"{figure(abs(difference))} µs {'dearer' if difference > 0 else 'cheaper'}"


def _row(found: Mapping[str, pyperf.Benchmark], name: str) -> tuple[str, ...]:
    if name == JOINED:
        median = pairs.over(found[name], found[ALONE])
        spread = pairs.spread_over(found[name], found[ALONE])
    else:
        median, spread = pairs.micros(found[name]), pairs.spread(found[name])
    survives = "power loss" if name == JOINED else WAYS[name].survives
    ratio = times(median / pairs.micros(found[OURS]))
    return name, figure(median), sentence_of(spread), ratio, survives
