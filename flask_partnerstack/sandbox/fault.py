"""``Fault``: one thing that goes wrong with PartnerStack on purpose, how often and for whom."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from typing import Any
from typing import Literal

#: The longest wait, in seconds; ``hang`` may also be without end.
LONGEST = 3600

#: The largest body, in bytes.
LARGEST = 2**30

#: What JSON can say, and no body of bytes.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

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


def _is_body(value: object) -> bool:
    return isinstance(value, str) and _LONE_SURROGATE.search(value) is None


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
    "body": (_is_body, "a string that UTF-8 can write"),
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
