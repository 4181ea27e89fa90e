"""The faults that the sandbox's page offers, told as what a developer wants to see survived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

from .fault import Fault


@dataclass(frozen=True)
class Preset:
    """A fault with a name that a form can send and a person can read."""

    name: str
    title: str
    fault: Fault


PRESETS = (
    Preset("down", "Down: 503", Fault(status=503)),
    Preset(
        "limited",
        "Too many requests: 429, Retry-After 30 s",
        Fault(status=429, headers=(("Retry-After", "30"),)),
    ),
    Preset("broken", "Broken: 500, nothing accepted", Fault(status=500)),
    Preset("unclear", "Broken: 500, but accepted", Fault(status=500, accept=True)),
    Preset("token", "Refuses the credential: 401", Fault(status=401)),
    Preset("rejects", "Rejects: 422", Fault(status=422)),
    Preset("lies", "Says 200, accepts nothing", Fault(status=200)),
    Preset("hangs", "Never answers", Fault(hang=float("inf"))),
    Preset("slow", "Slow: 5 s", Fault(delay=5)),
    Preset("drips", "Drips: a byte a second", Fault(drip=1)),
    Preset("drops", "Drops the connection before accepting", Fault(drop="before")),
    Preset("lost", "Drops the connection after accepting", Fault(drop="after")),
    Preset("moved", "Redirects elsewhere", Fault(redirect="https://example.com/")),
    Preset("huge", "Answers 100 MB", Fault(huge=100_000_000)),
    Preset("lag", "Customers appear after 2 minutes", Fault(lag=120)),
)


def read_preset(form: Mapping[str, str]) -> Fault:
    """The fault that the form asks for.

    :raises ValueError: naming the field and what was expected.
    """
    fault = _named(form.get("preset", ""))
    times, key = form.get("times", "").strip(), form.get("key", "").strip()
    if times and not times.isdecimal():
        raise ValueError(f"times: expected a whole number or nothing, got {times!r}")
    return replace(fault, times=int(times) if times else None, keys=(key,) if key else None)


def _named(name: str) -> Fault:
    for preset in PRESETS:
        if preset.name == name:
            return preset.fault
    raise ValueError(f"preset: expected one of the list, got {name!r}")
