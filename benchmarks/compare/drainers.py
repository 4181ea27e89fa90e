"""What reports conversions that wait: ``python -m benchmarks.compare.drainers NAME COUNT``.

Each is a process that is watched from outside. Ours is ``flask partnerstack worker`` itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import requests

from benchmarks.compare.place import FACTS
from benchmarks.compare.place import Place
from benchmarks.compare.queues import WORKERS
from benchmarks.compare.queues import report
from benchmarks.loopback import key_of


def post(vendor: str, key: str) -> None:
    """Post one conversion over a connection of its own."""
    json, headers = {"customer_key": key, **FACTS}, {"Authorization": "Bearer token"}
    answer = requests.post(f"{vendor}/conversion/xid", json=json, headers=headers, timeout=10)
    answer.raise_for_status()


def one_by_one(vendor: str, count: int) -> None:
    for number in range(count):
        post(vendor, key_of(number))


def pool(vendor: str, count: int) -> None:
    _in_threads(post, vendor, count)


def pool_with_sessions(vendor: str, count: int) -> None:
    _in_threads(report, vendor, count)


def _in_threads(post: Callable[[str, str], None], vendor: str, count: int) -> None:
    with ThreadPoolExecutor(WORKERS) as threads:
        for _ in threads.map(lambda number: post(vendor, key_of(number)), range(count)):
            pass


DRAINERS: Final[dict[str, Callable[[str, int], None]]] = {
    "one-by-one": one_by_one,
    "pool": pool,
    "pool-with-sessions": pool_with_sessions,
}

if __name__ == "__main__":
    DRAINERS[sys.argv[1]](Place.from_environment().vendor, int(sys.argv[2]))
