"""``made``: a frozen dataclass for the price of a dict.

Its own ``__init__`` sets one field after the other by ``object.__setattr__``. For a dozen of them
that takes ten times as long, and a signup waits for two such objects.
"""

from __future__ import annotations

from typing import Any
from typing import TypeVar

T = TypeVar("T")


def made(cls: type[T], content: dict[str, Any]) -> T:
    """Return an instance of a frozen dataclass.

    :param content: every field, also those that have a default. It is not checked, and becomes the
        instance's own.
    """
    it = object.__new__(cls)
    object.__setattr__(it, "__dict__", content)
    return it
