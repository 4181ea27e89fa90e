"""Texts: printable ones, credentials, and the names of query parameters."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError
from .refusal import PREFIX
from .refusal import Parser
from .refusal import kind
from .refusal import named
from .refusal import quotes


def optional_text(key: str, value: Any) -> str | None:
    """Take printable text; nothing, or an empty text, is ``None``."""
    if value is None or value == "":
        return None
    return text(key, value)


def text(key: str, value: Any) -> str:
    """Take printable text, without the white space around it."""
    given = value.strip() if isinstance(value, str) else ""  # a secret's file ends with a newline
    if not given or not given.isprintable():
        raise ConfigurationError(
            key, f"expected printable text, got {kind(value)}.{quotes(key, value)}"
        )
    return given


def token(key: str, value: Any) -> str | None:
    """Take the token; one of the REST API's keys in its place is noticed."""
    given = optional_text(key, value)
    if given is not None and given.startswith(("pk_", "sk_")):
        raise ConfigurationError(
            key,
            "this is one of the REST API's keys (pk_…, sk_…). Expected the token of the "
            "server-to-server integration, from PartnerStack's Settings → Integrations; the "
            f"pair belongs in {PREFIX}PUBLIC_KEY and {PREFIX}SECRET_KEY.",
        )
    return _header_safe(key, given)


def api_key(prefix: str, other: str) -> Parser:
    """Return what takes one half of the key pair, and notices the other."""

    def parse(key: str, value: Any) -> str | None:
        given = optional_text(key, value)
        if given is not None and given.startswith(other):
            raise ConfigurationError(key, f"starts with {other}: expected the key with {prefix}.")
        return _header_safe(key, given)

    return parse


def _header_safe(key: str, value: str | None) -> str | None:
    if value is not None and (not value.isascii() or any(c.isspace() for c in value)):
        raise ConfigurationError(key, "expected a credential: ASCII characters, no white space.")
    return value


def names(key: str, value: Any) -> tuple[str, ...]:
    """Take the names of query parameters, at least one."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (tuple, list)) or not value or not all(map(is_name, value)):
        raise ConfigurationError(
            key, f"expected a tuple of parameter names, at least one, got {named(value)}."
        )
    return tuple(value)


def is_name(value: Any) -> bool:
    """Say whether a query parameter or a cookie can be called so."""
    return isinstance(value, str) and bool(value) and value.isascii() and not is_unsafe(value)


def is_unsafe(name: str) -> bool:
    """Say whether ``name`` has a character that would end it, or has to be escaped."""
    return any(c in ' \t\r\n,;="\\&?#%+' or not c.isprintable() for c in name)
