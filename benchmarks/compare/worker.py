"""A queue's worker, until it is stopped: ``python -m benchmarks.compare.worker celery``.

Not in :mod:`benchmarks.compare.queues`, because tasks are found again by their module's name.
"""

from __future__ import annotations

import sys

from benchmarks.compare import on_celery
from benchmarks.compare.place import Place
from benchmarks.compare.queues import WORK

if __name__ == "__main__":
    {**WORK, "partnerstack": on_celery.work}[sys.argv[1]](Place.from_environment())
