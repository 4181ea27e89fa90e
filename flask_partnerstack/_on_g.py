"""``g.partnerstack`` before our hook, and where it never runs: an early error's page, a mail."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from typing import Final

from flask import Flask

from ._visit import current_visit
from .referral import Referral

#: The name on ``g``.
REFERRAL: Final = "partnerstack"


def show_always(app: Flask) -> None:
    """Let each ``g`` of the app have the current visitor's referral, the empty one for nobody's.

    What a request's hook sets has precedence: the class is asked for what is not set only.
    """
    base = app.app_ctx_globals_class
    if getattr(base, REFERRAL, None) is None:
        app.app_ctx_globals_class = _showing(base)


class _Shown:
    """The referral, looked up when somebody asks. No property, which would hide what is set."""

    def __get__(self, instance: object, owner: object = None) -> Referral | _Shown:
        return self if instance is None else current_visit().referral


@lru_cache(maxsize=64)
def _showing(base: Any) -> Any:
    def reduce_ex(self: Any, protocol: Any) -> Any:
        # A pickle finds a class by its name, and by that one it is the app's own.
        make, arguments, *rest = base.__reduce_ex__(self, protocol)
        make = _made if make.__name__ == "__newobj__" else make
        return (make, tuple(base if a is kind else a for a in arguments), *rest)

    names = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    ours = {REFERRAL: _Shown(), "__reduce_ex__": reduce_ex}
    kind = type(base.__name__, (base,), {**names, **ours})
    return kind


def _made(kind: Any, *arguments: object) -> object:
    return kind.__new__(kind, *arguments)
