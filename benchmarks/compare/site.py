"""A site whose signups hand a conversion over by one contender: ``COMPARE_CONTENDER``.

As an app for gunicorn and ``flask``: ``benchmarks.compare.site:create_app()``. As a script it does
what each line on its standard input says, and answers each with a line of JSON: ``visit``, and
``sign FIRST COUNT``; at the end of the input it ends as any program does.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask

from benchmarks.compare import handing
from benchmarks.compare.place import XID
from benchmarks.compare.place import Place
from benchmarks.loopback import key_of

#: Those whose survival is tried.
HANDS: Final[dict[str, handing.Handing]] = {
    "Flask-PartnerStack": handing.partnerstack,
    "Flask-PartnerStack on Celery": handing.partnerstack_on_celery,
    "`requests.post` in the view": handing.inline,
    "Segment": handing.segment,
    "PostHog": handing.posthog,
    "Rudder": handing.rudder,
    "Amplitude": handing.amplitude,
    "Snowplow": handing.snowplow,
    "Mixpanel": handing.mixpanel,
    "mbuzz": handing.mbuzz,
    "Sentry": handing.sentry,
    "Huey on Redis": handing.huey,
    "Celery on Redis": handing.celery,
    "RQ on Redis": handing.rq,
}
CONTENDER: Final = "COMPARE_CONTENDER"
#: No more begin to sign up after so many seconds.
LONGEST: Final = 30.0


@dataclass(frozen=True)
class Signed:
    """What came of some signups.

    :param failed: how many raised.
    :param slowest: seconds.
    """

    failed: int
    slowest: float


def create_app() -> Flask:
    """Return the site of the environment's contender."""
    place = Place.from_environment()
    app = Flask("site", instance_path=place.folder)
    app.secret_key = "secret"
    hand_over = HANDS[os.environ[CONTENDER]](app, place)

    @app.get("/")
    def home() -> str:
        return "hello"

    @app.post("/signup/<int:number>")
    def signup(number: int) -> tuple[str, int]:
        hand_over(key_of(number))
        return "", 204

    return app


def sign(app: Flask, first: int, count: int) -> Signed:
    """Sign so many up who came by a partner's link, one after the other, while there is time."""
    client, failed, slowest = app.test_client(), 0, 0.0
    closing = time.perf_counter() + LONGEST
    for number in range(first, first + count):
        started = time.perf_counter()
        if started > closing:
            break
        answer = client.post(f"/signup/{number}?ps_xid={XID}")
        slowest = max(slowest, time.perf_counter() - started)
        failed += answer.status_code != 204
    return Signed(failed, slowest)


def main() -> None:
    logging.disable()
    app = create_app()
    orders: dict[str, Callable[..., Signed]] = {
        "sign": lambda first, count: sign(app, int(first), int(count)),
        "visit": lambda: Signed(app.test_client().get("/").status_code != 200, 0.0),
    }
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order, *arguments = line.split()
        print(json.dumps(vars(orders[order](*arguments))), flush=True)


if __name__ == "__main__":
    main()
