"""One of a few: a switch, a word, or a verdict for each status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any
from typing import Literal
from typing import cast

from ..errors import ConfigurationError
from .numbers import whole_number
from .refusal import Parser
from .refusal import named

#: For SEND_EMAIL and SEND_NAME: a digest in the place of the thing itself.
HASH: Literal["hash"] = "hash"


def switch(key: str, value: Any) -> bool:
    """Take ``True`` or ``False``, or a word for it, 1 and 0 among them."""
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    # In the environment, which Flask reads as JSON, 1 is a number.
    if not isinstance(value, int) or value not in (0, 1):
        raise ConfigurationError(key, f"expected True or False, got {named(value)}.")
    return bool(value)


_SWITCHES = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def optional_switch(key: str, value: Any) -> bool | None:
    """Take a switch, or ``None``."""
    return None if value is None else switch(key, value)


def switch_or_hash(key: str, value: Any) -> bool | Literal["hash"]:
    """Take a switch, or ``"hash"``."""
    if value == HASH:
        return HASH
    try:
        return switch(key, value)
    except ConfigurationError:
        raise ConfigurationError(
            key, f'expected True, False or "hash", got {named(value)}.'
        ) from None


def choice(*choices: str) -> Parser:
    """Return what takes one of a few."""

    def parse(key: str, value: Any) -> str:
        if value not in choices:
            listed = ", ".join(repr(one) for one in choices)
            raise ConfigurationError(key, f"expected one of {listed}, got {named(value)}.")
        return cast("str", value)

    return parse


def status_policy(key: str, value: Any) -> Mapping[int, str]:
    """Take a dict of HTTP statuses and verdicts, or its JSON."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):  # refused below
            value = json.loads(value)
    if not isinstance(value, Mapping):
        raise ConfigurationError(key, f'expected a dict like {{404: "retry"}}, got {named(value)}.')
    verdicts = choice("accept", "reject", "retry", "unclear")
    statuses = ((_status(key, given), verdict) for given, verdict in value.items())
    return MappingProxyType({s: verdicts(f"{key}[{s}]", verdict) for s, verdict in statuses})


def _status(key: str, given: Any) -> int:
    # JSON, which the environment is read as, has no other keys than texts.
    status = whole_number(given)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise ConfigurationError(
            key, f"expected HTTP statuses, 200 to 599, as keys, got {named(given)}."
        )
    return status
