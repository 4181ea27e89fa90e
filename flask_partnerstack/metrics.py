"""What Prometheus asks for. Needs the extra ``prometheus``.

::

    from flask_partnerstack.metrics import register_metrics

    register_metrics(app)    # and serve prometheus_client's registry, as for your own metrics

All but the captures is read from the ledger, so that each process that shares one says the same:
ask one of them, or aggregate with ``max``. The cost of being asked is bounded: two look-ups in
indexes, and what was added to the trails since the last time.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from datetime import timedelta
from math import inf
from typing import Any
from typing import Final

from flask import Flask
from prometheus_client import REGISTRY
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric

from . import forks
from . import signals
from ._state import get_state
from .errors import Judgement
from .errors import LedgerUnavailable
from .ledger import Ledger

log: Final = logging.getLogger("flask_partnerstack")

#: Seconds from a signup to its delivery, from at once to a day.
STEPS = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0, 86400.0)
#: What is newer is left for the next time: another process may be writing a line before it.
LAG = timedelta(seconds=10)


def register_metrics(app: Flask, registry: CollectorRegistry = REGISTRY) -> PartnerStackCollector:
    """Let ``registry`` know what becomes of the app's conversions.

    :param registry: default: prometheus_client's own.
    :raises NotInitialized: the app was not given to ``init_app`` before.
    :raises ValueError: the registry has these metrics already, of another app perhaps: with the
        way out.
    """
    state = get_state(app)
    collector = PartnerStackCollector(app)
    _register(collector, registry)
    captures = CounterMetric(
        "partnerstack_captures",
        "Referrals noticed and kept, by this process since it started",
        # Multiprocess, its value lies in a file of each process, which MultiProcessCollector adds
        # up: registered beside that it would be told twice.
        registry=None if _is_multiprocess() else registry,
    )

    def count(_app: Flask, **_facts: Any) -> None:
        captures.inc()

    state.receivers.append(count)
    signals.referral_captured.connect(count, sender=app)
    return collector


def _is_multiprocess() -> bool:
    # As prometheus_client tells it, where it chooses how values are kept.
    return any(
        name in os.environ for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
    )


def _register(collector: PartnerStackCollector, registry: CollectorRegistry) -> None:
    try:
        registry.register(collector)
    except ValueError as e:
        raise ValueError(
            "This registry has the metrics of an app already, and a factory makes several apps, "
            "in tests for one. Give each a registry of its own, register_metrics(app, "
            f"registry=CollectorRegistry()), and serve that one. {e}"
        ) from e


class PartnerStackCollector:
    """Reads the ledger of one app when Prometheus asks.

    What the trails hold is added up as it comes, so that no line is read twice.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._reading = forks.LateLock()
        self._ledger: Ledger | None = None
        self._forget()

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without opening the ledger, which need not be there yet."""
        return [*_of_now(None), *self._of_attempts()]

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; of a ledger that cannot be read, only that."""
        ledger = get_state(self._app).ledger
        up = GaugeMetricFamily("partnerstack_ledger_up", "Whether the ledger can be read")
        try:
            with self._reading.here:
                self._add_up(ledger)
                found = [*_of_now(ledger), *self._of_attempts()]
        except LedgerUnavailable as e:
            log.error("No metrics but one: %s", e)
            found = []
        up.add_metric([], 1.0 if found else 0.0)
        yield from [up, *found]

    def _forget(self) -> None:
        self._upto = 0
        self._judged: Counter[Judgement] = Counter()
        self._delays: Counter[float] = Counter()
        self._delay = 0.0

    def _add_up(self, ledger: Ledger) -> None:
        if ledger is not self._ledger:
            self._ledger = ledger
            self._forget()
        stretch = ledger.stretch(self._upto, lag=LAG, steps=STEPS)
        self._upto = stretch.upto
        self._judged.update(stretch.judged)
        for step, count, seconds in stretch.delays:
            self._delays[step] += count
            self._delay += seconds

    def _of_attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "partnerstack_attempts",
            "Sends and look-ups, by how the answer was judged",
            labels=["outcome"],
        )
        for judgement in Judgement:
            attempts.add_metric([judgement.value], self._judged[judgement])
        yield attempts
        latency = HistogramMetricFamily(
            "partnerstack_delivery_latency_seconds",
            "From the signup to the moment that PartnerStack took its conversion",
        )
        latency.add_metric([], self._buckets(), self._delay)
        yield latency

    def _buckets(self) -> list[tuple[str, float]]:
        so_far, buckets = 0, []
        for step in (*STEPS, inf):
            so_far += self._delays[step]
            buckets.append(("+Inf" if step == inf else str(step), float(so_far)))
        return buckets


def _of_now(ledger: Ledger | None) -> Iterator[Metric]:
    conversions = GaugeMetricFamily(
        "partnerstack_conversions", "Conversions, by the state that they are in", labels=["status"]
    )
    oldest = GaugeMetricFamily(
        "partnerstack_oldest_undelivered_seconds",
        "Age of the oldest conversion that waits for its delivery; 0 when none does",
    )
    paused = GaugeMetricFamily(
        "partnerstack_delivery_paused", "Whether all delivery is paused, by cause", labels=["cause"]
    )
    if ledger is not None:
        for status, count in ledger.counts().items():
            conversions.add_metric([status.value], count)
        outlook, since = ledger.outlook(), ledger.oldest_pending()
        age = 0.0 if since is None else (outlook.now - since).total_seconds()
        oldest.add_metric([], max(age, 0.0))
        if outlook.pause is not None:
            paused.add_metric([outlook.pause.cause.value], 1.0)
    yield from (conversions, oldest, paused)
