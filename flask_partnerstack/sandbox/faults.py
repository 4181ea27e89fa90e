"""``FaultTable``: the faults that are on, where they strike, and who reads them from JSON."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from typing import NamedTuple

from .fault import NO_FAULT
from .fault import Fault

#: Where a fault can be: the conversion endpoint, or REST v2.
TARGETS = ("conversion", "api")


class Strike(NamedTuple):
    """A fault that meets one request, and the event that ends its waiting early."""

    fault: Fault
    over: threading.Event

    def wait(self, seconds: float | None) -> bool:
        """Wait, infinity included; true when the fault was cleared or the sandbox stopped."""
        if not seconds:
            return self.over.is_set()
        return self.over.wait(None if seconds == math.inf else seconds)


class FaultTable:
    """The faults that are on: per target a list, of which the first that fits strikes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, tuple[Fault, ...]] = dict.fromkeys(TARGETS, ())
        self._over = {target: threading.Event() for target in TARGETS}
        self._released = False

    def put(self, target: str, faults: Sequence[Fault]) -> None:
        """Replace the target's faults; whoever waits in an old one goes on at once.

        :raises ValueError: when the target does not exist, or cannot have such a fault.
        """
        for fault in faults:
            _require_target(target, fault)
        with self._lock:
            self._over[target].set()
            self._over[target] = threading.Event()
            # Copies, so that one given twice is struck twice.
            self._faults[target] = tuple(map(replace, faults))
            if self._released:
                self._over[target].set()

    def clear(self) -> None:
        """Switch every fault off."""
        for target in TARGETS:
            self.put(target, ())

    def release(self) -> None:
        """End all waiting, now and from now on: the sandbox stops."""
        with self._lock:
            self._released = True
            for over in self._over.values():
                over.set()

    def take(self, target: str, customer_key: str) -> Strike:
        """The fault that strikes a request for this customer; it has one time less then."""
        with self._lock:
            faults = self._faults[target]
            fault = next((one for one in faults if one.concerns(customer_key)), NO_FAULT)
            self._faults[target] = _struck(faults, fault)
            return Strike(fault, self._over[target])

    @property
    def on(self) -> dict[str, tuple[Fault, ...]]:
        """The faults that are on, by target, with the times that are left."""
        with self._lock:
            return dict(self._faults)

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """The faults that are on, as the control API shows them."""
        return {target: [fault.as_json() for fault in faults] for target, faults in self.on.items()}


def _require_target(target: str, fault: Fault) -> None:
    if target == "conversion" and fault.lag:
        raise ValueError("lag: only REST v2 has one; put it on the target api")
    if target == "api" and (fault.accept is not None or fault.drop == "after"):
        raise ValueError("accept: a look-up accepts nothing; use it on the target conversion")


def _struck(faults: tuple[Fault, ...], struck: Fault) -> tuple[Fault, ...]:
    changed = (fault.spent() if fault is struck else fault for fault in faults)
    return tuple(fault for fault in changed if fault)


def read_faults(document: object) -> dict[str, list[Fault]]:
    """Faults by target, from ``{"conversion": {…} or […], "api": …}``; null clears a target.

    :raises ValueError: naming the target, the field and what was expected.
    """
    if not isinstance(document, dict) or not document:
        raise ValueError(f"the body: expected a JSON object with {' or '.join(TARGETS)}")
    unknown = set(document) - set(TARGETS)
    if unknown:
        raise ValueError(f"{min(unknown)}: no such target; there are {' and '.join(TARGETS)}")
    return {target: _read_target(target, steps) for target, steps in document.items()}


def _read_target(target: str, steps: object) -> list[Fault]:
    listed = steps if isinstance(steps, list) else [steps] if steps is not None else []
    try:
        faults = [Fault.from_json(step) for step in listed]
        for fault in faults:
            _require_target(target, fault)
    except ValueError as error:
        raise ValueError(f"{target}: {error}") from error
    return faults
