"""Numbers, and how long something is: in Python, or as the environment has them."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from ..errors import ConfigurationError
from .refusal import Parser
from .refusal import is_number
from .refusal import named

#: No duration is longer; twice of it can still be added to any date of ours.
LONGEST_DURATION = timedelta(days=36_500)
#: What one exchange with PartnerStack may take in all.
DEADLINE = timedelta(seconds=30)
#: A lease is at least four times the deadline, so that it never runs out under a living send.
LEAST_LEASE = 4 * DEADLINE


def whole(low: int, high: int) -> Parser:
    """Return what takes a whole number within bounds."""

    def parse(key: str, value: Any) -> int:
        number = whole_number(value)
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ConfigurationError(
                key, f"expected a whole number from {low} to {high}, got {named(value)}."
            )
        return number

    return parse


def whole_number(value: Any) -> Any:
    """Return the whole number that a text of figures says; anything else as it is."""
    if not isinstance(value, str) or not value.strip().isdecimal():
        return value
    try:
        return int(value)
    except ValueError:  # more figures than Python reads
        return value


def days(key: str, value: Any) -> timedelta:
    """Take a duration, or a number of days."""
    return _duration(key, value, "days")


def optional_days(key: str, value: Any) -> timedelta | None:
    """Take a duration or a number of days; nothing, or an empty text, is ``None``."""
    return None if value is None or value == "" else days(key, value)


def seconds(key: str, value: Any) -> timedelta:
    """Take a duration, or a number of seconds."""
    return _duration(key, value, "seconds")


def lease(key: str, value: Any) -> timedelta:
    """Take seconds, as many as a lease must have."""
    given = seconds(key, value)
    if given < LEAST_LEASE:
        least = int(LEAST_LEASE.total_seconds())
        raise ConfigurationError(
            key, f"expected at least {least} seconds, four times what one send may take."
        )
    return given


def _duration(key: str, value: Any, unit: str) -> timedelta:
    given = duration = _number(value)
    if is_number(given):
        with suppress(OverflowError, ValueError):  # what it is too long for is refused below
            duration = timedelta(**{unit: given})
    if not isinstance(duration, timedelta) or not timedelta(0) < duration <= LONGEST_DURATION:
        raise ConfigurationError(
            key,
            f"expected a timedelta or a number of {unit}, above 0 and at most "
            f"{LONGEST_DURATION.days} days, got {named(_as_typed(given))}.",
        )
    return duration


def _as_typed(number: Any) -> Any:
    """Return a number that was read of a text as it most likely stood there: -1, not -1.0."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def timeout(key: str, value: Any) -> tuple[float, float]:
    """Take seconds to connect and to read, or one number for both."""
    parts = value.split(",") if isinstance(value, str) else value
    pair = parts if isinstance(parts, (tuple, list)) else [parts]
    numbers = [_number(part) for part in pair] * (2 if len(pair) == 1 else 1)
    if len(numbers) != 2 or not all(is_number(n) and 0 < n <= 30 for n in numbers):
        raise ConfigurationError(
            key,
            f"expected (connect, read) in seconds, each above 0, at most 30, got {named(value)}.",
        )
    return float(numbers[0]), float(numbers[1])


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
