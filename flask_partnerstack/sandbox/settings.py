"""How the sandbox behaves when nothing is broken on purpose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


def require_landing(name: str, url: str) -> str:
    """Give the URL back if a visitor can be sent there: http or https, with a host.

    :raises ValueError: for any other; it names the field.
    """
    if not _is_web_address(url):
        raise ValueError(f"{name}: expected an http or https URL with a host, got {url!r}")
    return url


def _is_web_address(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


@dataclass(frozen=True)
class SandboxSettings:
    """What one sandbox accepts and answers; every default suits a first try.

    :raises ValueError: when a field cannot be; the message names it.
    """

    #: The Bearer token of ``POST /conversion/xid``.
    token: str = "sandbox-token"  # noqa: S105 - the sandbox's own, printed on its page

    #: User name of REST v2, as in Basic authentication.
    public_key: str = "pk_sandbox"

    #: Password of REST v2, as in Basic authentication.
    secret_key: str = "sk_sandbox"  # noqa: S105 - the sandbox's own, printed on its page

    #: Where a partner link leads when the click does not say ``?to=``.
    landing: str = "http://127.0.0.1:5000/"

    #: Whether looked-up customers say that they are test customers.
    test: bool = False

    #: Whether an xid that no click of this sandbox made is answered with 404. What the real
    #: service does is not known.
    strict_clicks: bool = False

    #: Whether a customer key that is known already is answered with 409 instead of 200.
    conflict_on_repeat: bool = False

    #: Seconds until an accepted conversion can be looked up. The real service takes minutes.
    lag: float = 0.0

    #: Whether the customer key in a look-up's path is decoded before it is routed, as servers and
    #: proxies do: a slash in it leads to another path, where nobody is found.
    decode_keys: bool = False

    #: A file, one JSON document a line, from which a restarted sandbox remembers everything.
    records: Path | None = None

    def __post_init__(self) -> None:
        require_landing("landing", self.landing)
        for name in ("token", "public_key", "secret_key"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: expected a text that is not empty")
        if not 0 <= self.lag < math.inf:
            raise ValueError(f"lag: expected seconds, 0 or more, got {self.lag!r}")
