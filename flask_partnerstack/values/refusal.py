"""``Parser``, and what is said of a value that none can take.

A mistaken value may be a secret that was put under the wrong key. So only short numbers, types, and
words that have no figures or signs in them are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

#: Takes a key and what stands there, and returns the value.
Parser = Callable[[str, Any], Any]
#: How every key begins.
PREFIX = "PARTNERSTACK_"
#: A number that is not told in errors, because it may be a credential; no value is meant so high.
LONG_NUMBER = 10**9


def is_number(value: Any) -> bool:
    """Say whether ``value`` is a number; ``True``, which Python calls one, is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """Return what there is in the place of a text: most are secrets, and some have figures only."""
    if isinstance(value, str):
        return named(value)
    return "a number" if is_number(value) else f"a {type(value).__name__}"


def quotes(key: str, value: Any) -> str:
    """Return how a text is written that was read as a number; nothing for other values."""
    if not isinstance(value, (int, float)):
        return ""
    return (
        " Put it in quotes; in the environment, which Flask reads as JSON, in two pairs of them: "
        f"FLASK_{key}='\"…\"'."
    )


def named(value: Any) -> str:
    """Return what may be shown of a value."""
    if isinstance(value, str):
        is_word = len(value) <= 24 and value.replace(" ", "").isalpha()
        return repr(value) if is_word or not value else f"a text of {len(value)} characters"
    if is_number(value) and abs(value) >= LONG_NUMBER:
        return "a long number"
    if isinstance(value, (int, float, bool, timedelta)) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"
