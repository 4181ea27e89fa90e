"""``LongWork``: says on stderr how far it has come, and ends well when it is stopped."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from types import TracebackType
from typing import Any

import click

#: Seconds between two words on how far it is: on a terminal, and in a log.
ON_TERMINAL = 0.2
IN_LOG = 10.0
#: What shells say of a process that a signal ended is this and the signal's number.
BY_SIGNAL = 128
#: What they say of one that Ctrl-C ended.
STOPPED = BY_SIGNAL + signal.SIGINT
#: By which a person, or whoever runs the processes of a machine, asks to stop.
ASKING = (signal.SIGINT, signal.SIGTERM)


def asking() -> tuple[int, ...]:
    """Return the signals by which this process is asked to stop.

    That its terminal was closed is one of them, unless nohup or the app has that mean something
    else.
    """
    hung_up: int | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hung_up is None or signal.getsignal(hung_up) is not signal.SIG_DFL:
        return ASKING
    return (*ASKING, hung_up)


class LongWork:
    """Work that is done bit by bit.

    The first Ctrl-C, SIGTERM or SIGHUP lets the bit under way be finished, a second one does not.
    Either way the command says how much is done, and ends with exit code 130, 143 or 129.

    :param doing: what it does, as in "Pruned 500 of 2000".
    :param total: how many bits there are, when that is known.
    """

    def __init__(
        self, doing: str, total: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.done: int = 0
        self.stopped: bool = False
        self._doing = doing
        self._total = total
        self._clock = clock
        self._said_at = clock()
        self._is_terminal = sys.stderr.isatty()
        self._code = STOPPED
        self._before: dict[int, Any] = {}

    def __enter__(self) -> LongWork:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in asking()}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._listen_no_more()
        self._wipe()
        if self.stopped and kind in (None, KeyboardInterrupt):
            click.echo(
                f"Stopped. {self._so_far()}; what is done is done, and the rest is as it was.",
                err=True,
            )
            raise click.exceptions.Exit(self._code)

    def advance(self, by: int = 1) -> None:
        """So much more is done."""
        self.done += by
        now = self._clock()
        if now - self._said_at >= (ON_TERMINAL if self._is_terminal else IN_LOG):
            self._said_at = now
            start, end = ("\r", "\x1b[K") if self._is_terminal else ("", "\n")
            click.echo(f"{start}{self._so_far()}{end}", nl=False, err=True)

    def _so_far(self) -> str:
        return f"{self._doing} {self.done}" + (f" of {self._total}" if self._total else "")

    def _wipe(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopped = True
        self._code = BY_SIGNAL + number
        for each in self._before:  # the next one interrupts at once
            signal.signal(each, signal.default_int_handler)

    def _listen_no_more(self) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # one that was not set in Python cannot be set again
                signal.signal(number, handler)
