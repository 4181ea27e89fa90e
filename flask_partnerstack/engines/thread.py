"""``ThreadEngine``: delivers in the background of the process that recorded. The default."""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from .. import forks
from ..errors import LedgerUnavailable
from .base import AFTER_FAILURE
from .base import POLL
from .base import WHILE_HELD
from .base import Job
from .base import Work
from .base import stop_at_exit
from .uwsgi import is_to_be_forked

log: Final = logging.getLogger("flask_partnerstack")

#: Seconds that the process's exit waits for sends under way.
STOP_WITHIN = 2.0

MakeThread = Callable[..., threading.Thread]


class ThreadEngine:
    """One daemon thread that schedules, and up to ``concurrency`` daemon threads that send.

    Started by the first request or nudge, so always after a fork, and never while an app is
    built. No executor: the interpreter joins an executor's threads at exit, for as long as the
    API hangs. They end with the work that they are for: an app that is dropped leaves none.

    :param stop_within: seconds that :meth:`stop` waits for what is claimed.
    :param make_thread: makes one of its threads, as :class:`threading.Thread` does.
    """

    def __init__(
        self,
        work: Work,
        *,
        concurrency: int,
        poll: float = POLL,
        stop_within: float = STOP_WITHIN,
        make_thread: MakeThread = threading.Thread,
    ) -> None:
        self._work = work
        self._concurrency = concurrency
        self._poll = poll
        self._stop_within = stop_within
        self._make_thread = make_thread
        self._starting = forks.LateLock()
        self._crew: _Crew | None = None
        self.awake: bool = False
        forks.watch(self)
        stop_at_exit(self)

    def wake(self) -> None:
        """Start the scheduling thread, unless it runs, or nothing may be sent by this app."""
        if not self._work.is_blocked:
            self._ensure_started()

    def _ensure_started(self) -> None:
        with self._starting.here:
            if not self.awake and not is_to_be_forked():
                self._start()

    def _start(self) -> None:
        if self._work.in_the_foreground:
            log.warning(
                "The ledger lies in memory, in the app's one connection, so nothing is delivered "
                'in the background. Use a file or a server, or PARTNERSTACK_ENGINE="inline".'
            )
            self.awake = True
            return
        crew = _Crew(self._work, self._concurrency, self._poll, self._make_thread)
        try:
            crew.start()
        except RuntimeError as e:  # no more threads here, or the interpreter is on its way out
            log.error("No thread can be started, so nothing is delivered by this process: %s", e)
        else:
            self._crew, self.awake = crew, True

    def nudge(self, _entry_id: int | None = None, /) -> None:
        """Something is due: look at once."""
        self._ensure_started()
        if self._crew is not None:
            self._crew.nudge()

    def begin_to_stop(self) -> None:
        """Take nothing more."""
        if self._crew is not None:
            self._crew.dismiss()

    def stop(self, *, waited: float = 0.0) -> None:
        """Take nothing more, and wait for sends under way: 2 seconds, or as long as told.

        :param waited: seconds of it that are over already.
        """
        crew, self._crew, self.awake = self._crew, None, False
        if crew is not None:
            crew.stop(max(self._stop_within - waited, 0.0))

    def before_fork(self) -> None:
        """Nothing to let go: threads do not cross a fork."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads; the child starts its own with its first request."""
        self._crew = None
        self.awake = False


class _Crew:
    """The threads of one process.

    They hold what they work at only while they do, and end when nobody else holds it any more.
    """

    def __init__(self, work: Work, size: int, poll: float, make_thread: MakeThread) -> None:
        self._work = weakref.ref(work, lambda _gone: self.dismiss())
        self._size = size
        self._poll = poll
        self._make_thread = make_thread
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._change = threading.Condition()
        self._nudged = True
        self._stopping = False
        self._busy = 0
        self._senders = 0
        self._scheduler: threading.Thread | None = None

    def start(self) -> None:
        self._scheduler = self._spawn(self._schedule, "partnerstack-scheduler")

    def nudge(self) -> None:
        with self._change:
            self._nudged = True
            self._change.notify_all()

    def stop(self, within: float) -> None:
        deadline = time.monotonic() + within
        self.dismiss()
        if self._scheduler is not None:  # it may be handing out the last jobs just now
            self._scheduler.join(max(deadline - time.monotonic(), 0.0))
        with self._change:
            self._change.wait_for(lambda: self._busy == 0, max(deadline - time.monotonic(), 0.0))

    def dismiss(self) -> None:
        with self._change:
            self._stopping = True
            self._change.notify_all()

    # --- the scheduler --------------------------------------------------------------------------

    def _schedule(self) -> None:
        while self._wait_until_free():
            self._wait(self._look())
        for _ in range(self._senders):  # behind the last job
            self._jobs.put(None)

    def _look(self) -> float:
        """Hand out what is due; return the seconds until the next look."""
        try:
            return self._hand_out()
        except LedgerUnavailable as e:  # its words are all that a person needs, each time
            log.error("The ledger cannot be looked at; trying again in %d s. %s", AFTER_FAILURE, e)
        except BaseException:  # whatever it is, a forgotten gevent.Timeout too: it must live on
            log.exception("The ledger cannot be looked at; trying again in %d s.", AFTER_FAILURE)
        return AFTER_FAILURE

    def _wait_until_free(self) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._busy < self._size)
            self._nudged = False
            return not self._stopping

    def _hand_out(self) -> float:
        work = self._work()
        if work is None:  # and so they are dismissed
            return 0.0
        free = self._size - self._busy
        jobs = work.take(free)
        for job in jobs:
            self._give(job)
        if len(jobs) == free:
            return 0.0
        return self._until_next(work, has_found=bool(jobs))

    def _until_next(self, work: Work, *, has_found: bool) -> float:
        due_in = work.next_due()
        if due_in == 0.0 and not has_found:
            due_in = WHILE_HELD
        return self._poll if due_in is None else min(due_in, self._poll)

    def _wait(self, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: self._nudged or self._stopping, seconds)

    # --- the senders ----------------------------------------------------------------------------

    def _give(self, job: Job) -> None:
        with self._change:
            self._busy += 1
            is_short = self._senders < min(self._busy, self._size)
        if is_short:
            self._recruit()
        if self._senders:
            self._jobs.put(job)
        else:
            self._do(job)  # as well as another thread would; what is due next waits for it

    def _recruit(self) -> None:
        try:
            self._spawn(self._send, "partnerstack-sender")
        except RuntimeError as e:  # no more threads here, or the interpreter is on its way out
            log.warning("No more threads can be started; delivering with those there are: %s", e)
        else:
            self._senders += 1

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)
            del job

    def _do(self, job: Job) -> None:
        try:
            job(self._goes_on)
        except BaseException:  # nor must sys.exit() in a receiver end what the others need
            log.exception("An entry could not be settled; its lease will bring it back.")
        finally:
            self._done()

    def _goes_on(self) -> bool:
        return not self._stopping

    def _done(self) -> None:
        with self._change:
            self._busy -= 1
            self._nudged = True  # it may be due again, sooner than the scheduler thinks
            self._change.notify_all()

    def _spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = self._make_thread(target=target, name=name, daemon=True)
        thread.start()
        return thread
