"""What an app's start pays: time and memory of importing and setting up, over Flask alone."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from benchmarks import pairs
from benchmarks.compare.tables import OURS
from benchmarks.compare.tables import SPREAD
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import figure
from benchmarks.compare.tables import sentence_of
from benchmarks.compare.tables import times

ROUNDS, QUICK_ROUNDS = 11, 1
BARE: Final = "Flask alone"
_APP = (
    "import flask; app = flask.Flask('compare', instance_path='/nonexistent'); app.secret_key = 's'"
)
_DSN = "'http://public@127.0.0.1:9/1'"
#: What a new process runs after it has made an app; nothing in it sends.
SETTING_UP: Final[dict[str, str]] = {
    BARE: "",
    OURS: (
        "app.config.update(PARTNERSTACK_TOKEN='t', PARTNERSTACK_LEDGER_URL='sqlite:////tmp/none.db')"
        "; from flask_partnerstack import PartnerStack; PartnerStack(app)"
    ),
    "what ours needs: requests and SQLAlchemy Core": "import requests, sqlalchemy",
    "Flask-Login": "from flask_login import LoginManager; LoginManager(app)",
    "Flask-Talisman": "from flask_talisman import Talisman; Talisman(app)",
    "Flask-Limiter": (
        "from flask_limiter import Limiter; "
        "from flask_limiter.util import get_remote_address as a; Limiter(a, app=app, storage_uri='memory://')"
    ),
    "PostHog": "from posthog import Posthog; Posthog('k', host='http://127.0.0.1:9')",
    "Segment": "from segment.analytics.client import Client; Client('k', host='http://127.0.0.1:9')",
    "Sentry, for Flask alone": (
        "import sentry_sdk; from sentry_sdk.integrations.flask import FlaskIntegration as F; "
        f"sentry_sdk.init({_DSN}, auto_enabling_integrations=False, integrations=[F()])"
    ),
    "Sentry, for all that is installed": f"import sentry_sdk; sentry_sdk.init({_DSN})",
    "Huey on Redis": "from huey import RedisHuey; RedisHuey('c', url='redis://127.0.0.1:9')",
    "Celery on Redis": "from celery import Celery; Celery('c', broker='redis://127.0.0.1:9').tasks",
    "RQ on Redis": (
        "from redis import Redis; from rq import Queue; "
        "Queue(connection=Redis.from_url('redis://127.0.0.1:9'))"
    ),
}
CONTENDERS: Final = tuple(name for name in SETTING_UP if name != BARE)

_MEASURED = """
import json, os, time
started = time.perf_counter()
{app}
{set_up}
took = time.perf_counter() - started
said = open("/proc/self/status").read()
memory = next(int(line.split()[1]) for line in said.splitlines() if "VmHWM" in line)
print(json.dumps([took * 1000, memory / 1024]), flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class Started:
    """One start: milliseconds and MiB."""

    took: float
    memory: float


def measure(*, quick: bool) -> Table:
    """Start a process for each, in turns. The first of each fills the caches and is not counted."""
    found: dict[str, list[Started]] = {name: [] for name in SETTING_UP}
    for number in range((QUICK_ROUNDS if quick else ROUNDS) + 1):
        for name, set_up in SETTING_UP.items():
            once = start(set_up)
            if number > 0:
                found[name].append(once)
    bare = found[BARE]
    return Table(
        name="importing",
        measured=(
            "Milliseconds and MiB that a new process needs more than with Flask alone, to import "
            "it and to set it up in an app."
        ),
        columns=("imported", "ms over Flask", SPREAD, "ratio to ours", "MiB over Flask"),
        rows=tuple(_row(found, name) for name in CONTENDERS),
        notes=(
            (
                f"Flask alone takes {figure(statistics.median(one.took for one in bare))} ms and "
                f"{figure(statistics.median(one.memory for one in bare))} MiB."
            ),
        ),
    )


def start(set_up: str) -> Started:
    """Run what sets an app up in a new process, with compiled modules, as pip leaves them."""
    code = _MEASURED.format(app=_APP, set_up=set_up)
    compiling = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=compiling
    )
    return Started(*json.loads(ran.stdout))


def _row(found: dict[str, list[Started]], name: str) -> tuple[str, ...]:
    took, memory = _over_bare(found, name)
    ours, _ = _over_bare(found, OURS)
    median = statistics.median(took)
    return (
        name,
        figure(median),
        sentence_of(pairs.percentiles(took)),
        times(median / statistics.median(ours)),
        figure(statistics.median(memory)),
    )


def _over_bare(found: dict[str, list[Started]], name: str) -> tuple[list[float], list[float]]:
    both = list(zip(found[name], found[BARE], strict=True))
    return [a.took - b.took for a, b in both], [a.memory - b.memory for a, b in both]
