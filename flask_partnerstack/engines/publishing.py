"""``PublishingEngine``: tells a task queue what is due. For Celery and RQ.

A message says no more than "entry N is due"; the ledger decides what comes of it. So it may be
lost, repeated or late: the queue's periodic sweep finds what nobody was told of.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from .. import forks
from ..errors import ConfigurationError
from .base import stop_at_exit

log: Final = logging.getLogger("flask_partnerstack")

Publish = Callable[[int | None], object]
"""Publishes that an entry is due, or, with ``None``, that something is. It may hang or raise."""

#: Messages that wait for a broker that does not answer; more are dropped.
MOST_WAITING = 1000
#: Seconds to leave a broker alone after it failed.
AFTER_FAILURE = 30.0
#: Seconds without a message after which the thread ends, and holds the app no longer.
IDLE = 60.0
#: Seconds that the process's exit waits for messages on their way.
STOP_WITHIN = 2.0


class PublishingEngine:
    """Publishes from one daemon thread, started by the first nudge, so always after a fork.

    It ends after a minute without one, and another is started by the next.

    Never in the request: a broker that accepts a connection and then says nothing holds a
    publisher for half a minute and longer. What cannot be published is dropped, and made up for by
    one message to look at everything, as soon as one goes through.

    :param connect: returns what publishes; called anew after a failure. Called by the first
        request, too, so that a mistake shows there, as a :class:`~..errors.ConfigurationError`.
    """

    def __init__(
        self,
        connect: Callable[[], Publish],
        *,
        most_waiting: int = MOST_WAITING,
        after_failure: float = AFTER_FAILURE,
        idle: float = IDLE,
    ) -> None:
        self._connect = connect
        self._most_waiting = most_waiting
        self._after_failure = after_failure
        self._idle = idle
        self._starting = forks.LateLock()
        self._publisher: _Publisher | None = None
        self.awake: bool = False
        forks.watch(self)
        stop_at_exit(self)

    def wake(self) -> None:
        """Look whether there is something to publish with, and say so where there is not."""
        self.awake = True
        try:
            self.connect()
        except ConfigurationError as e:
            log.error("Nothing is published by this process. %s", e)
        except Exception:  # whatever it is, the page has nothing to do with that
            log.exception("It cannot be said whether this process has something to publish with.")

    def connect(self) -> Publish:
        """Return what publishes.

        :raises ConfigurationError: the app has nothing to publish with.
        """
        return self._connect()

    def nudge(self, entry_id: int | None = None, /) -> None:
        """An entry is due: have it published."""
        if not self._put(entry_id):
            with self._starting.here:
                if not self._put(entry_id):  # nobody has started one meanwhile
                    self._start(entry_id)

    def _put(self, message: int | None) -> bool:
        publisher = self._publisher
        return publisher is not None and publisher.put(message)

    def _start(self, message: int | None) -> None:
        publisher = _Publisher(self._connect, self._most_waiting, self._after_failure, self._idle)
        publisher.put(message)
        try:
            publisher.start()
        except RuntimeError as e:  # no more threads here, or the interpreter is ending
            log.error("No thread can be started, so this process publishes nothing: %s", e)
        else:
            self._publisher = publisher

    def begin_to_stop(self) -> None:
        """Do nothing yet: what waits is published all the while."""

    def stop(self, *, waited: float = 0.0) -> None:
        """Wait up to 2 seconds for messages on their way; what is left is found by the sweep.

        :param waited: seconds of it that are over already.
        """
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.stop(max(STOP_WITHIN - waited, 0.0))

    def before_fork(self) -> None:
        """Nothing to let go: threads do not cross a fork."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's thread and its messages; the child starts its own."""
        self._publisher = None
        self.awake = False


class _Publisher:
    """The thread of one process, and what waits for it."""

    def __init__(self, connect: Callable[[], Publish], room: int, rest: float, idle: float) -> None:
        self._connect = connect
        self._rest = rest
        self._idle = idle
        # Whoever puts and the thread both count what is dropped, and decide on its end.
        self._changing = threading.Lock()
        self._ended = False
        self._messages: queue.Queue[int | _End | None] = queue.Queue(room)
        self._rests_until = 0.0
        self._dropped = 0
        self._failing = False
        self._send: Publish | None = None
        self._thread = threading.Thread(
            target=self._run, name="partnerstack-publisher", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def put(self, message: int | None) -> bool:
        """Have it published, or dropped; ``False``: the thread has ended, for want of messages."""
        with self._changing:
            if time.monotonic() < self._rests_until:
                self._dropped += 1
            elif not self._ended:
                self._put(message)
            return not self._ended

    def _put(self, message: int | None) -> None:
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self._drop()

    def stop(self, within: float) -> None:
        try:
            self._messages.put_nowait(_END)
        except queue.Full:
            return
        self._thread.join(within)

    def _drop(self) -> None:
        self._dropped += 1
        if self._dropped == 1:
            log.error(
                "The broker does not answer and %s messages wait for it; more are dropped. "
                "The periodic sweep delivers their conversions.",
                self._messages.qsize(),
            )

    def _run(self) -> None:
        while not isinstance(message := self._next(), _End):
            try:
                self._publish(message)
            except BaseException as e:  # noqa: BLE001 - any client's; this thread must live on
                self._fail(e)

    def _next(self) -> int | _End | None:
        while True:
            try:
                return self._messages.get(timeout=self._idle)
            except queue.Empty:
                if self._ends():
                    return _END

    def _ends(self) -> bool:
        with self._changing:
            # What was dropped is to be made up for by the next message, so it stays for that.
            self._ended = self._messages.empty() and not self._dropped
            return self._ended

    def _publish(self, message: int | None) -> None:
        dropped = self._dropped
        if self._send is None:
            self._send = self._connect()
        self._send(None if dropped else message)
        self._failing = False
        if dropped:
            with self._changing:
                self._dropped -= dropped
            log.warning("Publishing goes on; %s dropped messages are made up for.", dropped)

    def _fail(self, error: BaseException) -> None:
        self._send = None
        with self._changing:
            self._rests_until = time.monotonic() + self._rest
            self._dropped += 1 + self._clear()
        again, self._failing = self._failing, True
        log.log(
            logging.INFO if again else logging.ERROR,
            "Nothing can be published, and it is tried again in %s s at the earliest; the "
            "periodic sweep delivers what was recorded. %s: %s",
            self._rest,
            type(error).__name__,
            error,
        )

    def _clear(self) -> int:
        """Drop what waits; return how many there were."""
        count = 0
        try:
            while True:
                if isinstance(self._messages.get_nowait(), _End):
                    self._messages.put_nowait(_END)
                    return count
                count += 1
        except queue.Empty:
            return count


class _End:
    """The end of the messages."""


_END = _End()
