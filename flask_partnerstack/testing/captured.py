"""``CapturedSignals``: every fact that an app told, in order."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import overload

from blinker import NamedSignal
from flask import Flask

from .. import signals
from ..ledger import Entry

#: Every signal, by the name that it is imported by.
_SIGNALS = {name: s for name, s in vars(signals).items() if isinstance(s, NamedSignal)}


@dataclass(frozen=True)
class Captured:
    """One fact.

    :param name: the signal's, as it is imported: ``"conversion_recorded"``.
    :param facts: what it was sent with.
    """

    name: str
    facts: Mapping[str, Any]

    @property
    def entry(self) -> Entry | None:
        """The entry that it is about, if it is about one."""
        return self.facts.get("entry")

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"{self.name}({told})"


class CapturedSignals(Sequence[Captured]):
    """Every fact that an app told since the capture began, oldest first."""

    def __init__(self) -> None:
        self._all: list[Captured] = []

    @property
    def names(self) -> list[str]:
        """The signals' names, oldest first."""
        return [one.name for one in self._all]

    def of(self, name: str) -> list[Captured]:
        """The facts that this signal told.

        :raises ValueError: no signal has that name; the message lists them.
        """
        if name not in _SIGNALS:
            raise ValueError(f"name: expected one of {', '.join(_SIGNALS)}, got {name!r}")
        return [one for one in self._all if one.name == name]

    def clear(self) -> None:
        """Forget what was told so far."""
        self._all.clear()

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Captured: ...

    @overload
    def __getitem__(self, index: slice) -> list[Captured]: ...

    def __getitem__(self, index: int | slice) -> Captured | list[Captured]:
        return self._all[index]

    def __repr__(self) -> str:
        return f"<CapturedSignals: {', '.join(map(str, self._all)) or 'none'}>"

    def _hear(self, name: str, _app: Flask, **facts: Any) -> None:
        self._all.append(Captured(name, facts))


@contextmanager
def capture_signals(app: Flask) -> Iterator[CapturedSignals]:
    """Collect every signal that ``app`` sends within the block."""
    captured = CapturedSignals()
    with ExitStack() as ears:
        for name, signal in _SIGNALS.items():
            hear = partial(captured._hear, name)
            ears.enter_context(signal.connected_to(hear, sender=app))
        yield captured
