"""The cookie's name, domain and path: what browsers take, and PartnerStack has not taken."""

from __future__ import annotations

from typing import Any
from typing import cast

from ..errors import ConfigurationError
from .refusal import named
from .texts import is_name
from .texts import is_unsafe
from .texts import optional_text
from .texts import text

#: Cookies that PartnerStack's script writes; ours must not collide with them.
THEIR_COOKIES = ("ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey", "pscd")
#: How names begin, in lower case, that browsers take of a Secure cookie only; the first of them,
#: of one that has no domain and the path / besides.
#: https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-4.1.3
HOST_NAME = "__host-"
SECURE_NAMES = (HOST_NAME, "__secure-", "__http-")


def cookie_name(key: str, value: Any) -> str:
    """Take a name that browsers take, and that is not one of PartnerStack's."""
    if not is_name(value):
        raise ConfigurationError(key, f"expected a cookie name, got {named(value)}.")
    if value in THEIR_COOKIES:
        raise ConfigurationError(key, f"{value} is PartnerStack's own cookie; pick another name.")
    return cast("str", value)


def cookie_path(key: str, value: Any) -> str:
    """Take a path that starts at the root."""
    given = text(key, value)
    if not given.startswith("/") or ";" in given:
        raise ConfigurationError(key, f"expected a path that starts with /, got {named(value)}.")
    return given


def cookie_domain(key: str, value: Any) -> str | None:
    """Take a bare domain; nothing, or an empty text, is ``None``."""
    given = optional_text(key, value)
    if given is None:
        return None
    try:
        domain = in_ascii(given)
    except UnicodeError:
        domain = ""
    if not domain or is_unsafe(domain) or "/" in domain or ":" in domain:
        raise ConfigurationError(key, f"expected a bare domain, like acme.com, got {named(value)}.")
    return domain


def in_ascii(domain: str) -> str:
    """Return a domain as browsers and Host headers write it: ``xn--bcher-kva.de``.

    :raises UnicodeError: no domain can be written so.
    """
    bare = domain.lstrip(".")
    return domain[: len(domain) - len(bare)] + bare.encode("idna").decode()
