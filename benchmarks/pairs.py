"""Compares variants of one thing: alternately, in one run, so that the machine's moods cancel out.

pyperf keeps the values, their medians and the description of the machine.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from importlib.metadata import version
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


def rounds(wanted: int) -> int:
    """Return how many rounds to run: fewer with ``--quick``, which shows only that it works."""
    return 3 if "--quick" in sys.argv else wanted


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


def machine() -> str:
    """Return one line about the machine and the versions that matter."""
    facts = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    names = ("flask", "werkzeug", "sqlalchemy", "requests")
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
