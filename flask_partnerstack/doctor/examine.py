"""``examine``: everything that can be judged, in the order in which it would be put right."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

from flask import Flask

from .._state import State
from .._state import get_state
from ..errors import LedgerUnavailable
from .clock import look_at_clock
from .credentials import look_at_credentials
from .engine import look_at_engine
from .finding import Finding
from .ledger import look_at_ledger
from .online import ask_partnerstack
from .past import look_at_past
from .requests import look_at_requests

Look = Callable[[Flask, State], Iterable[Finding]]

_SETUP: tuple[Look, ...] = (look_at_credentials, look_at_requests, look_at_engine)
_READING: tuple[Look, ...] = (look_at_past, look_at_clock)


def examine(app: Flask, *, online: bool = False) -> list[Finding]:
    """Look at everything that can be judged from here.

    :param online: ask PartnerStack, too. Nothing is created there.
    :raises NotInitialized: the app knows no PartnerStack.
    """
    with app.app_context():
        return list(_findings(app, get_state(app), online=online))


def _findings(app: Flask, state: State, *, online: bool) -> Iterator[Finding]:
    if not state.settings.enabled:
        yield _off()
        return
    for look in _SETUP:
        yield from look(app, state)
    of_ledger = list(look_at_ledger(app, state))
    yield from of_ledger
    if not any(finding.level == "error" for finding in of_ledger):
        yield from _from_the_ledger(app, state)
    if online:
        yield from ask_partnerstack(app, state)


def _off() -> Finding:
    return Finding(
        "warning",
        "PARTNERSTACK_ENABLED is False.",
        "Nothing is captured, nothing is recorded and nothing is delivered by this app, so nothing "
        "else is looked at.",
        "Remove the key to change that; what is pending is delivered then.",
    )


def _from_the_ledger(app: Flask, state: State) -> Iterator[Finding]:
    try:
        for look in _READING:
            yield from look(app, state)
    except LedgerUnavailable as e:
        yield Finding("error", "The ledger cannot be read.", str(e))
