"""URLs: PartnerStack's, the ledger's, and the path of an endpoint of ours."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import SplitResult
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .refusal import named
from .texts import optional_text
from .texts import text


def is_loopback(url: str) -> bool:
    """Say whether ``url`` stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def url(key: str, value: Any) -> str:
    """Take an https URL, without its last slash; plain http for this machine only."""
    if value is None or value == "":  # what the environment does not have
        raise ConfigurationError(
            key,
            f"expected an https:// URL, got {named(value)}. Leave the key out for the default.",
        )
    given = text(key, value)
    parts = _parts_of(key, given)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(key, "expected a URL without a user name or password in it.")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ConfigurationError(key, f"expected an https:// URL, got {named(value)}.")
    if parts.scheme == "http" and not is_loopback(given):
        raise ConfigurationError(
            key, "expected https://; plain http is for this machine (127.0.0.1, localhost) only."
        )
    return given.rstrip("/")


def _parts_of(key: str, given: str) -> SplitResult:
    if any(map(str.isspace, given)):
        raise ConfigurationError(key, "expected a URL without white space.")
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError:  # its text quotes what may be a password in the place of a port
        raise ConfigurationError(
            key, "expected an https:// URL; this one cannot be read."
        ) from None
    return parts


def api_url(key: str, value: Any) -> str:
    """Take the URL of a host. ``/api/v2``, which PartnerStack's pages write after it, is ours.

    https://docs.partnerstack.com/reference/authentication
    """
    given = url(key, value)
    if "?" in given or "#" in given:
        raise ConfigurationError(key, "expected a host, like https://api.partnerstack.com.")
    return given.removesuffix("/api/v2")


def script_url(key: str, value: Any) -> str:
    """Take a URL as it is."""
    url(key, value)
    return text(key, value)  # its last slash is part of it


def ledger_url(key: str, value: Any) -> str | None:
    """Take any SQLAlchemy URL; nothing, or an empty text, is ``None``."""
    given = optional_text(key, value)
    if given is not None and given.startswith("postgres://"):
        raise ConfigurationError(
            key,
            "starts with postgres://, as Heroku and others write it. Expected the scheme that "
            "SQLAlchemy knows, postgresql+psycopg://: url.replace('postgres://', "
            "'postgresql+psycopg://', 1).",
        )
    return given


def capture_path(key: str, value: Any) -> str | None:
    """Take the path of an endpoint; nothing, or an empty text, is ``None``."""
    given = optional_text(key, value)
    if given is not None and (not given.startswith("/") or set(given) & set("?#<>;\\ ")):
        raise ConfigurationError(
            key, f"expected a path that starts with /, or None for none, got {named(value)}."
        )
    return given
