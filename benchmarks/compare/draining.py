"""What it takes to report 5,000 conversions that wait: conversions a second, CPU and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from flask import Flask

from benchmarks import pairs
from benchmarks.compare import handing
from benchmarks.compare import on_celery
from benchmarks.compare import queues
from benchmarks.compare.place import XID
from benchmarks.compare.queues import WORKERS
from benchmarks.compare.stage import PATIENCE
from benchmarks.compare.stage import SITE
from benchmarks.compare.stage import Stage
from benchmarks.compare.tables import OURS
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import figure
from benchmarks.compare.tables import sentence_of
from benchmarks.compare.tables import times
from benchmarks.loopback import Mood
from benchmarks.loopback import key_of
from flask_partnerstack import track_conversion

COUNT, ROUNDS = 1_000, 5
QUICK_COUNT = 50
#: Seconds that the vendor takes for each answer.
DELAYS: Final = (0.0, 0.02)
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Drained:
    """One round. ``cpu``: seconds for 1,000. ``memory``: the most it had, in MiB."""

    per_second: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Drainer:
    """What reports conversions.

    :param contender: of :mod:`benchmarks.compare.site`, for what it needs on the stage.
    :param fill: lets conversions wait on a stage.
    :param command: what is run to report so many.
    """

    contender: str
    fill: Callable[[Stage, int], object]
    command: Callable[[int], list[str]]


def _fill_ledger(stage: Stage, count: int) -> None:
    app = Flask("filling", instance_path=stage.folder)
    handing.partnerstack(app, stage.place, engine="none")
    with app.app_context():
        for number in range(count):
            track_conversion(key_of(number), xid=XID, email="jo@example.com", name="Jo")


def _fill_ours_on_celery(stage: Stage, count: int) -> None:
    _fill_ledger(stage, count)
    publish = on_celery.publisher(stage.place)
    for entry_id in range(1, count + 1):
        publish(entry_id)


def _fill_celery(stage: Stage, count: int) -> None:
    report = queues.celery_app(stage.place).tasks[queues.CELERY_TASK]
    for number in range(count):
        report.delay(key_of(number))


def _worker(concurrency: int, _count: int) -> list[str]:
    command = ["-m", "flask", "--app", f"{SITE}:create_app()", "partnerstack", "worker"]
    return [*command, "--concurrency", str(concurrency)]


def _drainer(name: str) -> Drainer:
    run = ["-m", "benchmarks.compare.drainers", name]
    return Drainer("", lambda _stage, _count: None, lambda count: [*run, str(count)])


DRAINERS: Final[dict[str, Drainer]] = {
    f"{OURS}, {WORKERS} at once": Drainer(OURS, _fill_ledger, partial(_worker, WORKERS)),
    f"{OURS}, 4 at once (default)": Drainer(OURS, _fill_ledger, partial(_worker, 4)),
    f"{OURS} on Celery, {WORKERS} threads": Drainer(
        f"{OURS} on Celery",
        _fill_ours_on_celery,
        lambda _count: ["-m", "benchmarks.compare.worker", "partnerstack"],
    ),
    "`requests.post`, one by one": _drainer("one-by-one"),
    f"thread pool of {WORKERS}, `requests.post`": _drainer("pool"),
    f"thread pool of {WORKERS}, a session each": _drainer("pool-with-sessions"),
    f"Celery task, {WORKERS} threads, a session each": Drainer(
        "Celery on Redis",
        _fill_celery,
        lambda _count: ["-m", "benchmarks.compare.worker", "celery"],
    ),
}
CONTENDERS: Final = tuple(DRAINERS)
Found = dict[tuple[str, float], list[Drained]]


def measure(*, quick: bool) -> Table:
    """Let every contender report as many, in turns."""
    count, rounds = (QUICK_COUNT, 1) if quick else (COUNT, ROUNDS)
    found: Found = {}
    for _ in range(rounds):
        for delay in DELAYS:
            for name, drainer in DRAINERS.items():
                found.setdefault((name, delay), []).append(drain(drainer, delay, count))
    return _table(found, count, rounds)


def drain(drainer: Drainer, delay: float, count: int) -> Drained:
    """Let one contender report so many, and watch it from the first arrival to the last."""
    with Stage(drainer.contender) as stage:
        stage.vendor.answer(Mood(delay=delay))
        drainer.fill(stage, count)
        process = stage.run([sys.executable, *drainer.command(count)])
        stage.vendor.await_arrivals(1, PATIENCE)
        started, used = time.perf_counter(), _cpu(process)
        before, last = stage.vendor.arrived(), used
        while stage.vendor.arrived() < count and process.poll() is None:
            last = _cpu(process)
            memory = _memory(process)
            time.sleep(0.01)  # another process's doing: there is nothing to be woken by
        took, arrived = time.perf_counter() - started, stage.vendor.arrived() - before
    return Drained(arrived / took, (last - used) * 1000 / arrived, memory)


def _cpu(process: subprocess.Popen[bytes]) -> float:
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: utime and stime
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(process: subprocess.Popen[bytes]) -> float:
    said = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in said.splitlines() if "VmHWM" in line) / 1024


def _table(found: Found, count: int, rounds: int) -> Table:
    return Table(
        name="draining",
        measured=(
            f"{count * rounds:,} conversions that wait, in {rounds} round(s) of {count:,}: how "
            "many arrive a second, from the first to the last, at a vendor that answers after 0 "
            "and after 20 ms; at 0 ms also the CPU that the reporting process used, and the most "
            "memory that it had. A ratio above 1 is faster than ours."
        ),
        columns=(
            *("reported by", "a second at 0 ms", "spread", "ratio to ours"),
            *("a second at 20 ms", "spread", "ratio to ours", "CPU s per 1,000", "MiB"),
        ),
        rows=tuple(_row(found, name) for name in DRAINERS),
    )


def _row(found: Found, name: str) -> tuple[str, ...]:
    cells = [name]
    for delay in DELAYS:
        rates = [one.per_second for one in found[name, delay]]
        ours = [one.per_second for one in found[CONTENDERS[0], delay]]
        ratio = statistics.median(a / b for a, b in zip(rates, ours, strict=True))
        spread = sentence_of(pairs.percentiles(rates))
        cells += [figure(statistics.median(rates)), spread, times(ratio)]
    at_once = found[name, DELAYS[0]]
    cpu = statistics.median(one.cpu for one in at_once)
    return (*cells, f"{cpu:.2f}", figure(max(one.memory for one in at_once)))
