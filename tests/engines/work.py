"""``Work``: what an engine runs, in the dispatcher's place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from flask_partnerstack.engines import Job


class Work:
    """Jobs in a list; nothing is due again unless it is added.

    :param due_in: what is said when the list is empty.
    """

    in_the_foreground = False
    is_blocked = False

    def __init__(self, *jobs: Callable[[], object], due_in: float | None = None) -> None:
        self.jobs = list(jobs)
        self.due_in = due_in
        self.asked: list[int] = []
        #: What each job was told when it asked whether to go on.
        self.told: list[bool] = []
        self.begun = threading.Semaphore(0)
        self.dealt = threading.Semaphore(0)
        self._lock = threading.Lock()

    def take(self, limit: int) -> list[Job]:
        with self._lock:
            self.asked.append(limit)
            taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return [partial(self._run, job) for job in taken]

    def next_due(self) -> float | None:
        return 0.0 if self.jobs else self.due_in

    def _run(self, job: Callable[[], object], go_on: Callable[[], bool]) -> None:
        self.begun.release()
        job()
        self.told.append(go_on())
        self.dealt.release()
