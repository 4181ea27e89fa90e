"""Compares variants of one thing: alternately, in one run, so that the machine's moods cancel out.

pyperf keeps the values, their medians and the description of the machine.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

import pyperf

Variant = Callable[[], object]


def compare(
    variants: Mapping[str, Variant], *, rounds: int, loops: int
) -> dict[str, pyperf.Benchmark]:
    """Time every variant ``loops`` times in each of ``rounds`` rounds, one after the other.

    Returns a benchmark for each, whose n-th value is from the n-th round, in seconds a call.
    """
    for variant in variants.values():
        time_each(variant, loops)
    values: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            values[name].append(time_each(variant, loops))
    return {name: benchmark(name, found) for name, found in values.items()}


@dataclass(frozen=True)
class Apart:
    """What is timed in a process of its own, because it patches or starts what others would feel.

    :param make: a function that a new process can import; it returns the variants by name.
    :param loops: how often each is called in a round.
    """

    make: Callable[[], Mapping[str, Variant]]
    loops: int


def compare_apart(entrants: Sequence[Apart], *, rounds: int) -> dict[str, pyperf.Benchmark]:
    """Time each entrant's variants in its process, and the processes one after the other.

    Returns a benchmark for each variant by its name, as :func:`compare` does. While the variants of
    one process are timed, the other processes wait.
    """
    values: dict[str, list[float]] = {}
    with contextlib.ExitStack() as processes:
        pipes = [processes.enter_context(_apart(entrant)) for entrant in entrants]
        for number in range(rounds + 1):
            for pipe in pipes:
                pipe.send(True)
                for name, seconds in pipe.recv().items():
                    if number > 0:  # the first is to warm up
                        values.setdefault(name, []).append(seconds)
    return {name: benchmark(name, found) for name, found in values.items()}


@contextlib.contextmanager
def _apart(entrant: Apart) -> Iterator[Connection]:
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_take_turns, args=(theirs, entrant), daemon=True)
    process.start()
    theirs.close()  # so that its death is seen here
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _take_turns(pipe: Connection, entrant: Apart) -> None:
    logging.disable()
    variants = entrant.make()
    first = next(iter(variants.values()))
    while pipe.recv():
        time_each(first, entrant.loops)  # the processor's caches were others' meanwhile
        pipe.send({name: time_each(variant, entrant.loops) for name, variant in variants.items()})


def rounds(wanted: int) -> int:
    """Return how many rounds to run: fewer with ``--quick``, which shows only that it works."""
    return 3 if "--quick" in sys.argv else wanted


def loops(wanted: int) -> int:
    """Return how often to act in a round: a few times with ``--quick``."""
    return min(wanted, 10) if "--quick" in sys.argv else wanted


def over(of: pyperf.Benchmark, base: pyperf.Benchmark) -> float:
    """Return the median of the differences, round by round, in microseconds."""
    pairs = zip(of.get_values(), base.get_values(), strict=True)
    return float(statistics.median(a - b for a, b in pairs)) * 1e6


def ratio(of: pyperf.Benchmark, base: pyperf.Benchmark) -> float:
    """Return the median of the ratios, round by round."""
    pairs = zip(of.get_values(), base.get_values(), strict=True)
    return float(statistics.median(a / b for a, b in pairs))


def micros(benchmark: pyperf.Benchmark) -> float:
    """Return the median, in microseconds."""
    return float(benchmark.median()) * 1e6


def spread(benchmark: pyperf.Benchmark) -> tuple[float, float]:
    """Return the 10th and the 90th percentile of the rounds, in microseconds."""
    return percentiles([value * 1e6 for value in benchmark.get_values()])


def spread_over(of: pyperf.Benchmark, base: pyperf.Benchmark) -> tuple[float, float]:
    """Return both percentiles of the differences, round by round, in microseconds."""
    pairs = zip(of.get_values(), base.get_values(), strict=True)
    return percentiles([(a - b) * 1e6 for a, b in pairs])


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the 10th and the 90th percentile; of fewer than ten values the least and the most."""
    if len(values) < 10:
        return min(values), max(values)
    tenths = statistics.quantiles(values, n=10)
    return tenths[0], tenths[-1]


def machine(*more: str) -> str:
    """Return one line about the machine and the versions that matter."""
    facts = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    names = ("flask", "werkzeug", "sqlalchemy", "requests", *more)
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{facts.get('cpu_count', '?')} x {facts.get('cpu_model_name', 'unknown CPU')}, "
        f"Python {facts.get('python_version', '?')}, {versions}"
    )


def time_each(variant: Variant, loops: int) -> float:
    """Return how many seconds a call takes, on average over ``loops`` calls."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    for _ in range(loops):
        variant()
    elapsed = time.perf_counter() - started
    gc.enable()
    return elapsed / loops


def benchmark(name: str, values: list[float]) -> pyperf.Benchmark:
    """Return what pyperf makes of some values, in seconds."""
    metadata: dict[str, Any] = {"name": name, "unit": "second"}
    return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])
