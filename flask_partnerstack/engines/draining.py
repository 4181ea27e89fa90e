"""``drain``: one pass with several sends at once, for a worker that somebody else runs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from .base import Job
from .base import Work


def drain(work: Work, *, concurrency: int, seconds: float) -> bool:
    """Deal with what is due until nothing is, or the time is up; say whether it was up.

    :param concurrency: jobs at once.
    :param seconds: after which no job is begun; those under way are waited for.
    """
    deadline = time.monotonic() + seconds

    def is_time_left() -> bool:
        return time.monotonic() < deadline

    def go_on_from(job: Job) -> None:
        jobs = [job]
        while jobs:
            jobs.pop()(is_time_left)
            if is_time_left():
                jobs.extend(work.take(1))

    first = work.take(concurrency)
    if first:
        with ThreadPoolExecutor(len(first)) as pool:
            under_way = [pool.submit(go_on_from, job) for job in first]
        for one in under_way:
            one.result()
    return time.monotonic() >= deadline
