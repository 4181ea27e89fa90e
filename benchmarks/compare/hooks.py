"""What a request pays for a hook that it does not need: the difference to the bare app."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import Final

import pyperf
from flask import Flask

from benchmarks import hook
from benchmarks import pairs
from benchmarks.compare.handing import sentry_dsn
from benchmarks.compare.tables import OURS
from benchmarks.compare.tables import SPREAD
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import figure
from benchmarks.compare.tables import sentence_of
from benchmarks.compare.tables import times

ROUNDS, LOOPS = 121, 100
QUICK_ROUNDS, QUICK_LOOPS = 9, 50
BARE, EMPTY = "bare app", "empty hook"
#: Of the kinds of request in :mod:`benchmarks.hook`, those that others answer as well.
KINDS: Final = ("nothing of ours", "10 foreign cookies, 5 parameters", "our cookie")


MakeApp = Callable[[str], Flask]
"""From the vendor's URL."""


def login_user_read(_vendor: str) -> Flask:
    from flask_login import current_user

    app = hook.with_login()

    @app.before_request
    def read() -> None:
        _ = current_user.is_anonymous

    return app


def talisman(_vendor: str) -> Flask:
    from flask_talisman import Talisman

    app = hook.bare()
    Talisman(app, force_https=False)
    return app


def limiter(_vendor: str) -> Flask:
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    app = hook.bare()
    limits: list[Any] = ["1000000000 per hour"]
    Limiter(get_remote_address, app=app, default_limits=limits, storage_uri="memory://")
    return app


def posthog(vendor: str) -> Flask:
    from posthog import Posthog
    from posthog.integrations.flask import PosthogFlaskIntegration

    app = hook.bare()
    PosthogFlaskIntegration(app, client=Posthog("phc_key", host=vendor))
    return app


def sentry(vendor: str) -> Flask:
    import sentry_sdk

    sentry_sdk.init(sentry_dsn(vendor))
    return hook.bare()


def sentry_tracing(vendor: str) -> Flask:
    import sentry_sdk

    sentry_sdk.init(sentry_dsn(vendor), traces_sample_rate=1.0)
    return hook.bare()


#: These leave other apps of their process alone. The first two are to measure by.
TOGETHER: Final[dict[str, MakeApp]] = {
    BARE: lambda _vendor: hook.bare(),
    EMPTY: lambda _vendor: hook.empty_hook(),
    OURS: lambda _vendor: hook.with_partnerstack(),
    "Flask-Login, user not read": lambda _vendor: hook.with_login(),
    "Flask-Login, user read": login_user_read,
    "Flask-Talisman": talisman,
    "PostHog's Flask integration": posthog,
    "Flask-Limiter, in memory": limiter,
}
#: These patch Flask itself.
APART: Final[dict[str, MakeApp]] = {
    "Sentry, errors only": sentry,
    "Sentry, with tracing": sentry_tracing,
}
APPS: Final = {**TOGETHER, **APART}
CONTENDERS: Final = tuple(name for name in APPS if name not in (BARE, EMPTY))


def requests_to(names: Sequence[str], vendor: str) -> Mapping[str, pairs.Variant]:
    """Return one request of each kind to each of the apps."""
    apps = {name: APPS[name](vendor) for name in names}
    for app in apps.values():
        app.secret_key = "secret"  # as any app has that logs people in
    # The same kind one after the other, because what is compared should lie close in time.
    return {
        variant(name, kind): hook.calling(app, *hook.REQUESTS[kind])
        for kind in KINDS
        for name, app in apps.items()
    }


def variant(name: str, kind: str = KINDS[0]) -> str:
    return f"{name}: {kind}"


def measure(vendor: str, *, quick: bool) -> Table:
    """Time requests through every contender's app."""
    loops = QUICK_LOOPS if quick else LOOPS
    groups = [tuple(TOGETHER), *((name,) for name in APART)]
    entrants = [pairs.Apart(partial(requests_to, names, vendor), loops) for names in groups]
    found = pairs.compare_apart(entrants, rounds=QUICK_ROUNDS if quick else ROUNDS)
    bare, empty = (found[variant(name)] for name in (BARE, EMPTY))
    return Table(
        name="hooks",
        measured=(
            "Microseconds that a request takes more than through the bare app in the same round, "
            "from the call of the WSGI app to the end of its answer. Nobody is logged in, no click "
            "is new, and no error happens."
        ),
        columns=("hook", KINDS[0], SPREAD, "ratio to ours", *KINDS[1:]),
        rows=tuple(_row(found, name) for name in CONTENDERS),
        notes=(
            (
                f"The bare request itself takes {figure(pairs.micros(bare))} µs; a "
                "`before_request` that does nothing at all adds "
                f"{figure(pairs.over(empty, bare))} µs."
            ),
        ),
    )


def _row(found: Mapping[str, pyperf.Benchmark], name: str) -> tuple[str, ...]:
    over = [pairs.over(found[variant(name, kind)], found[variant(BARE, kind)]) for kind in KINDS]
    ours = pairs.over(found[variant(OURS)], found[variant(BARE)])
    spread = pairs.spread_over(found[variant(name)], found[variant(BARE)])
    return (
        name,
        figure(over[0]),
        sentence_of(spread),
        times(over[0] / ours),
        *(figure(other) for other in over[1:]),
    )
