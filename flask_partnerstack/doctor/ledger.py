"""Where the ledger lies: whether it can be written, lasts, and is shared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

from .._state import State
from ..errors import ConfigurationError
from ..errors import LedgerUnavailable
from .finding import Finding

#: Hosts whose disk is new with every deploy or call, by what they put into the environment.
DISKLESS = {
    "DYNO": "Heroku",
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "K_SERVICE": "Cloud Run",
    "VERCEL": "Vercel",
}
#: File systems in memory.
IN_MEMORY = ("tmpfs", "ramfs")
#: Engines that let another process deliver.
ELSEWHERE = ("none", "celery", "rq")
#: How many processes a server is told to run, in the environment.
WORKERS = "WEB_CONCURRENCY"


def look_at_ledger(_app: Flask, state: State) -> Iterator[Finding]:
    """Say whether the ledger can be used, and whether it is the right kind for this server."""
    try:
        state.place.make_writable()
        state.ledger.try_writing()
    except (ConfigurationError, LedgerUnavailable) as e:
        yield Finding(
            "error",
            "The ledger cannot be used.",
            "No conversion can be recorded, but for an ERROR line each in the log.",
            str(e),
        )
        return
    yield Finding("ok", f"The ledger at {state.ledger.location} can be read and written.")
    yield from _lasting(state)
    if state.place.in_memory:
        yield _in_memory(state)


def _lasting(state: State) -> Iterator[Finding]:
    reason = _ends_with(state)
    if reason is not None:
        yield Finding(
            "warning",
            f"The ledger will not outlive this machine or process{reason}.",
            "Undelivered conversions are lost with it.",
            "Mount a volume there, or set PARTNERSTACK_LEDGER_URL to a database.",
        )


def _ends_with(state: State) -> str | None:
    """Return in brackets what ends with the ledger, if something seems to."""
    path = state.place.path
    if path is not None:
        host = next((name for key, name in DISKLESS.items() if key in os.environ), None)
        if host is not None:
            return f" (on {host} the disk is new each time)"
        if file_system_of(path) in IN_MEMORY:
            return f" ({path.parent} is in memory)"
    return None if state.place.lasts() else ""


def file_system_of(path: Path) -> str | None:
    """Return the kind of file system that ``path`` lies on, where Linux says it."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mounts = [line.split()[1:3] for line in lines if len(line.split()) >= 3]
    # The last one wins where one is mounted over another.
    above = [m for m in mounts if path.resolve().is_relative_to(m[0].replace("\\040", " "))]
    return max(enumerate(above), key=lambda m: (len(m[1][0]), m[0]))[1][1] if above else None


def _in_memory(state: State) -> Finding:
    engine: str = state.settings.engine
    workers = os.environ.get(WORKERS, "")
    many = workers.isdecimal() and int(workers) > 1
    apart = engine in ELSEWHERE
    return Finding(
        "error" if many else "warning",
        "The ledger is in memory: each process has its own"
        + (f", and {WORKERS} is {workers}" if many else "")
        + (f', and with PARTNERSTACK_ENGINE="{engine}" another process delivers' if apart else "")
        + ".",
        "None sees another's: a customer may be reported by two of them, what one recorded "
        "nobody else delivers, and this command looks at an empty one.",
        "Leave PARTNERSTACK_LEDGER_URL out (a file), or set it to a database.",
    )
