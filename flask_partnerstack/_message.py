"""Which ledger a message of a task queue is about: apps may share a queue, each with its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final

from ._state import State
from .errors import LedgerUnavailable

#: What a message has the ledger's name in. Beside its arguments, which older workers count.
LEDGER: Final = "partnerstack_ledger"


def name_of(state: State) -> str | None:
    """Return the name of the app's ledger; ``None``: it cannot be asked just now.

    Who publishes does so all the same: a message is of more use than the name in it.
    """
    if state.ledger.is_shared_connection:  # which the app has work in, perhaps
        return None
    try:
        return state.ledger.name()
    except LedgerUnavailable:
        return None


def marked(name: str | None) -> dict[str, str]:
    """Return what a message has besides, to be told from those about another ledger."""
    return {} if name is None else {LEDGER: name}


def is_strange(message: Mapping[str, Any], state: State) -> bool:
    """Say whether a message is about another ledger. One of an older version does not tell."""
    name = message.get(LEDGER)
    return name is not None and name != state.ledger.name()


def said_of_strangers(state: State, queue: str, way_out: str) -> str:
    """Return what to say of the apps that share a queue."""
    return (
        f"A message in the queue {queue!r} is about another ledger than the one at "
        f"{state.ledger.location}. Do two apps share that queue, each with its own ledger? Each "
        "takes what is for the other, whose conversions then wait for a sweep, or without end. "
        f"{way_out} If they are one app, give all its processes the same PARTNERSTACK_LEDGER_URL."
    )
