"""What delivering costs: the worker's engine against a server that takes 100 ms for each answer.

``python -m benchmarks.drain [URL]`` prints, by concurrency, conversions a second and CPU
milliseconds for each, beside a bare ``requests.Session.post``. ``URL`` is the ledger's, in a
database that may be written to; without one it is a SQLite file. Each entry is claimed, counted,
sent, judged and settled by itself.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import requests
from sqlalchemy import URL
from sqlalchemy import make_url

from benchmarks import pairs
from benchmarks.loopback import Mood
from benchmarks.loopback import Vendor
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.dispatcher import Outcome
from flask_partnerstack.engines import ThreadEngine
from flask_partnerstack.ledger import Database
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Client
from flask_partnerstack.wire import HTTPTransport

LATENCY = 0.1
CONCURRENCIES = (1, 4, 16, 64)
SECONDS = 4.0  # of draining, for each figure
ROUNDS = 3
XID = "h8pb9E7TZK6YMO"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

Measured = tuple[float, float]
"""Conversions a second, and CPU milliseconds for each."""


# --- the variants --------------------------------------------------------------------------------


def measured(count: int, run: Callable[[], object]) -> Measured:
    started, used = time.perf_counter(), time.process_time()
    run()
    took, cpu = time.perf_counter() - started, time.process_time() - used
    return count / took, 1000 * cpu / count


def conversions(count: int) -> list[Conversion]:
    origin = time.monotonic_ns()
    return [
        Conversion.of(
            customer_key=f"01890a5d-{origin}-{number}",
            xid=XID,
            email=f"jo{number}@example.com",
            name="Jo Doe",
            ip_address="198.51.100.42",
            user_agent=AGENT,
            origin="acme.com",
        )
        for number in range(count)
    ]


def bare(url: str, concurrency: int, count: int) -> Measured:
    """Post with one ``requests.Session`` for each thread, and keep no record of it."""
    bodies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for conversion in conversions(count):
        bodies.put(json.dumps({"customer_key": conversion.customer_key, "xid": XID}))
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}

    def post() -> None:
        with requests.Session() as session:
            while (body := bodies.get()) is not None:
                session.post(url, data=body, headers=headers, timeout=10).raise_for_status()

    threads = [threading.Thread(target=post) for _ in range(concurrency)]

    def run() -> None:
        for thread in threads:
            bodies.put(None)
            thread.start()
        for thread in threads:
            thread.join()

    return measured(count, run)


def ours(url: str, concurrency: int, count: int, database: Database) -> Measured:
    """Drain a ledger as ``flask partnerstack worker`` does."""
    settings = Settings.from_mapping(
        {"PARTNERSTACK_TOKEN": "token", "PARTNERSTACK_CONVERSION_URL": url}
    )
    ledger = Ledger(database, lease=timedelta(minutes=2))
    for conversion in conversions(count):
        ledger.record(conversion)
    left, done = [count], threading.Event()
    lock = threading.Lock()

    def count_down(_outcome: Outcome) -> None:
        with lock:
            left[0] -= 1
            if left[0] == 0:
                done.set()

    client = Client(settings, HTTPTransport(settings.timeout))
    dispatcher = Dispatcher(settings, ledger, client, on_outcome=count_down)
    engine = ThreadEngine(dispatcher, concurrency=concurrency, poll=1.0)

    def run() -> None:
        engine.nudge()
        done.wait()

    found = measured(count, run)
    engine.stop()
    return found


# --- the table -----------------------------------------------------------------------------------


def database_of(url: URL | None) -> Database:
    if url is None:
        url = make_url(f"sqlite:///{tempfile.mkdtemp()}/partnerstack.db")
    database = Database(url, embedded=False)
    database.migrate()
    return database


def best(found: list[Measured]) -> Measured:
    """Return the round with the least CPU: what other processes took away only adds to it."""
    return min(found, key=lambda one: one[1])


def main() -> None:
    logging.disable()
    quick = "--quick" in sys.argv
    urls = [make_url(argument) for argument in sys.argv[1:] if "://" in argument]
    database = database_of(urls[0] if urls else None)
    vendor = Vendor(Mood(delay=LATENCY))
    url = f"{vendor.url}/conversion/xid"
    print(f"{pairs.machine()}, ledger on {database.url.get_backend_name()}")
    print(f"{'at once':>7} {'bare/s':>8} {'ours/s':>8} {'bare ms':>8} {'ours ms':>8} {'ratio':>6}")
    for concurrency in CONCURRENCIES[:: 3 if quick else 1]:
        count = int(concurrency * (0.5 if quick else SECONDS) / LATENCY)
        rounds = range(pairs.rounds(ROUNDS) if not quick else 1)
        pair = [
            (bare(url, concurrency, count), ours(url, concurrency, count, database)) for _ in rounds
        ]
        theirs, mine = best([one for one, _ in pair]), best([one for _, one in pair])
        print(
            f"{concurrency:7} {theirs[0]:8.0f} {mine[0]:8.0f} {theirs[1]:8.2f} {mine[1]:8.2f} "
            f"{mine[1] / theirs[1]:6.2f}"
        )
    database.close()
    vendor.close()


if __name__ == "__main__":
    main()
