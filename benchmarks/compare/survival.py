"""What a conversion survives once it was handed over: real processes, real signals, counted at the
vendor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from benchmarks.compare.site import HANDS
from benchmarks.compare.stage import Stage
from benchmarks.compare.tables import Table
from benchmarks.loopback import WELL
from benchmarks.loopback import Mood

CONTENDERS: Final = tuple(HANDS)
DOWN: Final = Mood(status=503)
#: Trials at once: most of their time they wait.
AT_ONCE: Final = 8
NONE: Final = "-"


@dataclass(frozen=True)
class Size:
    """How much and how long. Seconds, but for the signups.

    :param settle: how long what was handed over may take to arrive when all is well.
    :param outage: how long the vendor refuses.
    :param recovery: how long the process stays up after that.
    :param ending: how long a process may take to end before it is killed.
    """

    signups: int
    settle: float
    outage: float
    recovery: float
    ending: float


FULL: Final = Size(signups=50, settle=15, outage=15, recovery=30, ending=20)
QUICK: Final = Size(signups=10, settle=4, outage=1, recovery=4, ending=4)

Trial = Callable[[Stage, Size], str]


def _arrived(stage: Stage, size: Size, within: float) -> str:
    arrived = stage.vendor.await_arrivals(size.signups, within)
    kept = stage.kept() if arrived < size.signups else 0
    return f"{arrived} +{kept}" if kept else str(arrived)


# --- the process ends -----------------------------------------------------------------------------


def ends(stage: Stage, size: Size) -> str:
    """The process ends as any program does, right after the last signup."""
    stage.work()
    script = stage.script()
    script.sign(0, size.signups)
    script.exit(size.ending)
    return _arrived(stage, size, size.settle)


def stopped(stage: Stage, size: Size, *options: str) -> str:
    """Gunicorn gets SIGTERM right after the last signup."""
    stage.work()
    server = stage.gunicorn(*options)
    server.sign(0, size.signups)
    server.stop()
    return _arrived(stage, size, size.settle)


def stopped_preloaded(stage: Stage, size: Size) -> str:
    """The app was loaded before the fork."""
    return stopped(stage, size, "--preload")


def stopped_gevent(stage: Stage, size: Size) -> str:
    """The app was loaded before the fork, and the workers are gevent's."""
    return stopped(stage, size, "--preload", "--worker-class=gevent")


def killed(stage: Stage, size: Size) -> str:
    """``kill -9``, 50 ms after the last signup; then it starts again, and somebody visits it."""
    stage.work()
    script = stage.script()
    script.sign(0, size.signups)
    time.sleep(0.05)
    script.kill()
    stage.script().visit()
    return _arrived(stage, size, size.settle)


# --- the vendor fails -----------------------------------------------------------------------------


def down_and_restarted(stage: Stage, size: Size) -> str:
    """The vendor answers 503 until the process has ended; then all is well, and it starts again."""
    stage.vendor.answer(DOWN)
    stage.work()
    script = stage.script()
    script.sign(0, size.signups)
    script.exit(size.ending)
    stage.vendor.answer(WELL)
    stage.script().visit()
    return _arrived(stage, size, size.recovery)


def down_for_a_while(stage: Stage, size: Size) -> str:
    """The vendor answers 503 for a while, and the process stays up."""
    return _refused(stage, size, DOWN)


def throttled(stage: Stage, size: Size) -> str:
    """The vendor answers 429 with ``Retry-After: 2`` for a while, and the process stays up."""
    return _refused(stage, size, Mood(status=429, retry_after=2))


def _refused(stage: Stage, size: Size, mood: Mood) -> str:
    stage.vendor.answer(mood)
    stage.work()
    script = stage.script()
    recovery = threading.Timer(size.outage, stage.vendor.answer, [WELL])
    recovery.start()
    script.sign(0, size.signups)
    recovery.join()
    return _arrived(stage, size, size.recovery)


def doubled(stage: Stage, size: Size) -> str:
    """For a second the vendor takes what comes, and the connection breaks before its answer."""
    stage.vendor.answer(Mood(drop=True))
    stage.work()
    script = stage.script()
    script.sign(0, size.signups)
    stage.vendor.await_arrivals(1, size.settle)
    time.sleep(1)
    stage.vendor.answer(WELL)
    stage.vendor.await_arrivals(size.signups, size.settle)
    time.sleep(size.settle)
    return str(sum(times - 1 for times in stage.vendor.accepted().values()))


# --- the broker fails -----------------------------------------------------------------------------


def broker_lost(stage: Stage, size: Size) -> str:
    """Redis dies before a worker took what was queued, and starts again."""
    if stage.redis is None:
        return NONE
    stage.script().sign(0, size.signups)
    stage.redis.kill()
    stage.redis.start()
    stage.work()
    return _arrived(stage, size, size.settle)


# --- what it costs --------------------------------------------------------------------------------


def slowest_call(stage: Stage, _size: Size) -> str:
    """The vendor takes 5 seconds for each answer: the slowest of three signups."""
    stage.vendor.answer(Mood(delay=5))
    return _seconds(stage.script().sign(0, 3).slowest)


def slowest_exit(stage: Stage, size: Size) -> str:
    """The vendor answers 503: how long the process takes to end after the last signup."""
    stage.vendor.answer(DOWN)
    script = stage.script()
    script.sign(0, min(size.signups, 5))
    took = script.exit(size.ending)
    return f">{size.ending:.0f} s" if took is None else _seconds(took)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


# --- the tables -----------------------------------------------------------------------------------

#: The longest first, so that none is waited for alone.
TRIALS: Final[dict[str, Trial]] = {
    "503 for 15 s": down_for_a_while,
    "429 for 15 s": throttled,
    "503, then restarted": down_and_restarted,
    "doubled": doubled,
    "ends": ends,
    "SIGTERM": stopped,
    "SIGTERM, preloaded": stopped_preloaded,
    "SIGTERM, preloaded, gevent": stopped_gevent,
    "kill -9, restarted": killed,
    "broker lost": broker_lost,
    "signup, API hangs": slowest_call,
    "exit, API down": slowest_exit,
}
COUNTS: Final = ("ends", "SIGTERM", "SIGTERM, preloaded", "SIGTERM, preloaded, gevent")
LATER: Final = (
    "kill -9, restarted",
    "503, then restarted",
    "503 for 15 s",
    "429 for 15 s",
    "broker lost",
    "doubled",
)
COSTS: Final = ("signup, API hangs", "exit, API down")
QUICKLY: Final = ("ends", "kill -9, restarted", "503, then restarted")


def measure(*, quick: bool, contenders: Iterable[str] = CONTENDERS) -> Table:
    """Play every trial with every contender, some at once."""
    trials = QUICKLY if quick else tuple(TRIALS)
    cells = [(trial, contender) for trial in trials for contender in contenders]
    size = QUICK if quick else FULL
    with ThreadPoolExecutor(AT_ONCE) as players:
        found = dict(
            zip(cells, players.map(lambda cell: play(cell[0], cell[1], size), cells), strict=True)
        )
    return _table(found, size)


def play(trial: str, contender: str, size: Size) -> str:
    """Return what a trial's cell says."""
    with Stage(contender) as stage:
        return TRIALS[trial](stage, size)


def _table(found: dict[tuple[str, str], str], size: Size) -> Table:
    trials = [trial for trial in (*COUNTS, *LATER, *COSTS) if any(t == trial for t, _ in found)]
    contenders = list(dict.fromkeys(contender for _, contender in found))
    return Table(
        name="survival",
        measured=(
            f"How many of {size.signups} conversions arrived at the vendor. The queues have a "
            "worker that stays up. +n: so many more wait in the ledger for their time. `doubled` "
            "counts what arrived once too often."
        ),
        columns=("handed to", *trials),
        rows=tuple((name, *(found[trial, name] for trial in trials)) for name in contenders),
    )
