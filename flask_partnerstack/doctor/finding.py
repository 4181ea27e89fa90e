"""``Finding``: one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param level: ``"ok"``, ``"warning"`` (it works, but), or ``"error"`` (it does not).
    :param what: what was found, in one sentence.
    :param why: why it matters; empty when all is well.
    :param way_out: what to do; empty when there is nothing to do.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    why: str = ""
    way_out: str = ""
