"""``made``: a frozen dataclass for the price of a dict. ``FrozenDict``: a dict that never changes.

A dataclass's own ``__init__`` sets one field after the other by ``object.__setattr__``. For a dozen
of them that takes ten times as long, and a signup waits for two such objects.

A proxy of a dict can be neither copied nor pickled nor said in JSON, so that ``asdict``, which
everybody calls at some time, fails for whatever holds one.
"""

from __future__ import annotations

from typing import Any
from typing import NoReturn
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def made(cls: type[T], content: dict[str, Any]) -> T:
    """Return an instance of a frozen dataclass.

    :param content: every field, also those that have a default. It is not checked, and becomes the
        instance's own.
    """
    it = object.__new__(cls)
    object.__setattr__(it, "__dict__", content)
    return it


class FrozenDict(dict[K, V]):
    """A dict that never changes, and has a hash where its values have one.

    Its ``copy()`` is a plain dict.
    """

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, because it changes
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # A dict's own fills an empty one, item by item.
        return type(self), (dict(self),)

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("this dict is frozen: change a copy, dict(it)")

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse
