"""Where a contender finds things, and what a conversion says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from typing import Final

XID: Final = "h8pb9E7TZK6YMO"
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PERSON: Final = {"email": "jo@example.com", "name": "Jo"}
#: What a conversion says beside its key.
FACTS: Final = {
    **PERSON,
    "xid": XID,
    "origin": "localhost",
    "ip_address": "127.0.0.1",
    "user_agent": AGENT,
}
_PREFIX: Final = "COMPARE_"


@dataclass(frozen=True)
class Place:
    """It travels to other processes in their environment.

    :param vendor: the vendor's URL.
    :param folder: for files; an app's instance folder.
    :param redis: the broker's URL, for those that have one.
    """

    vendor: str
    folder: str
    redis: str = ""

    def environment(self) -> dict[str, str]:
        """Return it as variables of an environment."""
        return {_PREFIX + name: value for name, value in asdict(self).items()}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Place:
        """Return what :meth:`environment` put there."""
        return cls(**{name: environ[_PREFIX + name] for name in cls.__dataclass_fields__})
