"""Which hosts are this machine and nobody else's."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host, an address or ``localhost``, can be reached from this machine only."""
    if host.casefold() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Whether browsers and we look for a host on this machine: ``shop.localhost``, for one, too.

    They never ask the DNS for such a name (RFC 6761), so nobody can point it elsewhere.
    """
    return is_loopback(host) or host.casefold().endswith(".localhost")


def require_loopback(host: str) -> None:
    """Refuse to listen where another machine could connect.

    :raises ValueError: for any other host.
    """
    if not is_loopback(host):
        raise ValueError(
            f"host: expected a loopback address such as 127.0.0.1, got {host!r};"
            " the sandbox takes orders from anybody, so it stays on this machine"
        )


def hostname(authority: str) -> str:
    """The host in a ``Host`` header, without its port; empty when it cannot be read."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
