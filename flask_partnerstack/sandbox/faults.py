"""Faults: what goes wrong with PartnerStack on purpose, where, how often and for whom."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from typing import Any
from typing import Literal
from typing import NamedTuple

#: Where a fault can be: the conversion endpoint, or REST v2.
TARGETS = ("conversion", "api")

#: The longest wait, in seconds; ``hang`` may also be without end.
LONGEST = 3600

#: The largest body, in bytes.
LARGEST = 2**30

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1


def _is_whole(value: object, low: int, high: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_status(value: object) -> bool:
    return _is_whole(value, 200, 599)


def _is_count(value: object) -> bool:
    return _is_whole(value, 1, math.inf)


def _is_size(value: object) -> bool:
    return _is_whole(value, 1, LARGEST)


def _is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 < value <= LONGEST


def _is_patience(value: object) -> bool:
    return value == math.inf or _is_seconds(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii() and bool(value)


def _is_header(value: object) -> bool:
    name, text = value if isinstance(value, tuple) and len(value) == 2 else ("", None)
    return _is_line(name) and _is_line(text) and bool(HEADER_NAME.fullmatch(name))


def _are_headers(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_header, value))


def _are_keys(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_text, value))


def _is_drop(value: object) -> bool:
    return value in ("before", "after")


def _is_yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


_SECONDS = f"seconds, more than 0 and at most {LONGEST}"
_BYTES = f"a number of bytes from 1 to {LARGEST}"

#: What each field must be, and how to say so.
CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "status": (_is_status, "an HTTP status from 200 to 599"),
    "headers": (_are_headers, "an object of header names and ASCII values"),
    "body": (_is_text, "a string"),
    "redirect": (_is_line, "a URL in ASCII"),
    "delay": (_is_seconds, _SECONDS),
    "hang": (_is_patience, f"true, or {_SECONDS}"),
    "drop": (_is_drop, '"before" or "after" (the conversion is accepted)'),
    "drip": (_is_seconds, f"{_SECONDS}, from one byte to the next"),
    "huge": (_is_size, _BYTES),
    "gzip_bomb": (_is_size, f"{_BYTES}, once unpacked"),
    "lag": (_is_seconds, _SECONDS),
    "accept": (_is_yes_or_no, "true or false"),
    "times": (_is_count, "a whole number, 1 or more"),
    "keys": (_are_keys, "an array of customer keys"),
}

#: How the page says each field.
PHRASES = {
    "status": "answers {}",
    "headers": "with {}",
    "body": "says {}",
    "redirect": "redirects to {}",
    "delay": "waits {} s",
    "hang": "no answer for {} s",
    "drop": "drops the connection {} accepting",
    "drip": "{} s from byte to byte",
    "huge": "a body of {} bytes",
    "gzip_bomb": "a body that unpacks to {} bytes",
    "lag": "{} s until customers appear",
    "times": "times left: {}",
    "keys": "only for {}",
}

#: Fields that cannot be together: whoever drops the connection answers nothing, and so on.
RIVALS = (
    ("drop", ("hang", "status", "headers", "body", "redirect", "drip", "huge", "gzip_bomb")),
    ("hang", ("status", "headers", "body", "redirect", "drip", "huge", "gzip_bomb")),
    ("body", ("huge", "gzip_bomb")),
    ("huge", ("gzip_bomb",)),
    ("drop", ("accept",)),
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Without any field set, nothing does.

    :raises ValueError: when a field, or two together, make no sense; the message names them.
    """

    #: Answered instead of processing. A 200 here is a lie: nothing is accepted.
    status: int | None = None
    #: Sent with the answer, ``Retry-After`` for example.
    headers: tuple[tuple[str, str], ...] | None = None
    #: Sent instead of the usual body.
    body: str | None = None
    #: Where the answer sends the client, with 302 unless ``status`` says another.
    redirect: str | None = None
    #: Seconds to wait before the request is looked at.
    delay: float | None = None
    #: Seconds without an answer, then the connection is closed; infinity waits for the end of the
    #: fault or of the sandbox.
    hang: float | None = None
    #: The connection is closed without an answer, before or after the conversion is accepted.
    drop: Literal["before", "after"] | None = None
    #: Seconds from one byte of the answer, status line and headers included, to the next.
    drip: float | None = None
    #: Bytes of body in the answer.
    huge: int | None = None
    #: Bytes that a small compressed body unpacks to.
    gzip_bomb: int | None = None
    #: Seconds until a customer can be looked up (REST v2 only).
    lag: float | None = None
    #: Whether a good conversion is accepted all the same, as a 500 after the commit does. Left
    #: out: not when ``status``, ``redirect``, ``hang`` or ``drop="before"`` stands in the way.
    accept: bool | None = None
    #: How many requests it strikes; left out, all until it is cleared.
    times: int | None = None
    #: The only customer keys it strikes.
    keys: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in self._set_fields():
            fits, expected = CHECKS[name]
            if not fits(value):
                raise ValueError(f"{name}: expected {expected}, got {value!r}")
        for name, rivals in RIVALS:
            self._refuse_together(name, rivals)

    @classmethod
    def from_json(cls, document: object) -> Fault:
        """Read a fault from its JSON form.

        :raises ValueError: naming the field and what was expected.
        """
        if not isinstance(document, dict):
            raise ValueError(f"expected an object such as {{'status': 503}}, got {document!r}")
        unknown = set(document) - set(CHECKS)
        if unknown:
            raise ValueError(f"{min(unknown)}: no such field; there are {', '.join(CHECKS)}")
        return cls(**{name: _thaw(name, value) for name, value in document.items()})

    def as_json(self) -> dict[str, Any]:
        """The fault in its JSON form, set fields only."""
        return {name: _freeze(name, value) for name, value in self._set_fields()}

    def concerns(self, customer_key: str) -> bool:
        """Whether a request for this customer is struck."""
        return self.keys is None or customer_key in self.keys

    @property
    def accepts(self) -> bool:
        """Whether a good conversion is accepted before things go wrong."""
        if self.accept is not None:
            return self.accept
        return not (self.status or self.redirect or self.hang or self.drop == "before")

    @property
    def silent(self) -> bool:
        """Whether the client gets no answer at all."""
        return bool(self.hang or self.drop)

    def spent(self) -> Fault | None:
        """The fault after one more strike; nothing when that was its last."""
        if self.times is None:
            return self
        return replace(self, times=self.times - 1) if self.times > 1 else None

    def __str__(self) -> str:
        return " · ".join(_say(name, value) for name, value in self.as_json().items())

    def _set_fields(self) -> list[tuple[str, Any]]:
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in pairs if value is not None]

    def _refuse_together(self, name: str, rivals: Sequence[str]) -> None:
        clash = [rival for rival in rivals if getattr(self, rival) is not None]
        if getattr(self, name) is not None and clash:
            raise ValueError(f"{name}: cannot be together with {clash[0]}")


def _thaw(name: str, value: Any) -> Any:
    if name == "hang" and value is True:
        return math.inf
    if name == "headers" and isinstance(value, Mapping):
        return tuple(value.items())
    if name == "keys" and isinstance(value, list):
        return tuple(value)
    return value


def _freeze(name: str, value: Any) -> Any:
    if value == math.inf:
        return True
    if name == "headers":
        return dict(value)
    return list(value) if name == "keys" else value


def _say(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{header}: {text}" for header, text in value.items())
    if isinstance(value, list):
        value = ", ".join(value)
    if isinstance(value, bool):
        return {"hang": "never answers"}.get(
            name, f"accepts {'all the same' if value else 'nothing'}"
        )
    return PHRASES[name].format(value)


#: Nothing goes wrong.
NO_FAULT = Fault()


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
