"""How the value of a key is read, as people write it: in Python, or as a text in the environment.

Each parser takes the key and what stands there, and returns the value, or raises a
``ConfigurationError`` that names the key and says what was expected.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from typing import Literal
from typing import cast
from urllib.parse import SplitResult
from urllib.parse import urlsplit

from .errors import ConfigurationError

Parser = Callable[[str, Any], Any]

PREFIX = "PARTNERSTACK_"
#: For SEND_EMAIL and SEND_NAME: a digest in the place of the thing itself.
HASH: Literal["hash"] = "hash"
#: Cookies that PartnerStack's script writes; ours must not collide with them.
THEIR_COOKIES = ("ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey", "pscd")
#: How names begin, in lower case, that browsers take of a Secure cookie only; the first of them,
#: of one that has no domain and the path / besides.
#: https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-4.1.3
HOST_NAME = "__host-"
SECURE_NAMES = (HOST_NAME, "__secure-", "__http-")
#: No duration is longer; twice of it can still be added to any date of ours.
LONGEST_DURATION = timedelta(days=36_500)
#: A number that is not told in errors, because it may be a credential; no value is meant so high.
LONG_NUMBER = 10**9
#: What one exchange with PartnerStack may take in all.
DEADLINE = timedelta(seconds=30)
#: A lease is at least four times the deadline, so that it never runs out under a living send.
LEAST_LEASE = 4 * DEADLINE


def is_loopback(url: str) -> bool:
    """Say whether ``url`` stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


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
            key, f"expected printable text, got {_kind(value)}.{_quotes(key, value)}"
        )
    return given


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


def _kind(value: Any) -> str:
    # Not the value: most texts that are read here are secrets, and some have figures only.
    if isinstance(value, str):
        return _named(value)
    return "a number" if _is_number(value) else f"a {type(value).__name__}"


def _quotes(key: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return ""
    return (
        " Put it in quotes; in the environment, which Flask reads as JSON, in two pairs of them: "
        f"FLASK_{key}='\"…\"'."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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


def switch(key: str, value: Any) -> bool:
    """Take ``True`` or ``False``, or a word for it, 1 and 0 among them."""
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    # In the environment, which Flask reads as JSON, 1 is a number.
    if not isinstance(value, int) or value not in (0, 1):
        raise ConfigurationError(key, f"expected True or False, got {_named(value)}.")
    return bool(value)


_SWITCHES = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def optional_switch(key: str, value: Any) -> bool | None:
    """Take a switch, or ``None``."""
    return None if value is None else switch(key, value)


def switch_or_hash(key: str, value: Any) -> bool | Literal["hash"]:
    """Take a switch, or ``"hash"``."""
    if value == HASH:
        return HASH
    try:
        return switch(key, value)
    except ConfigurationError:
        raise ConfigurationError(
            key, f'expected True, False or "hash", got {_named(value)}.'
        ) from None


def url(key: str, value: Any) -> str:
    """Take an https URL, without its last slash; plain http for this machine only."""
    if value is None or value == "":  # what the environment does not have
        raise ConfigurationError(
            key,
            f"expected an https:// URL, got {_named(value)}. Leave the key out for the default.",
        )
    given = text(key, value)
    parts = _parts_of(key, given)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(key, "expected a URL without a user name or password in it.")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ConfigurationError(key, f"expected an https:// URL, got {_named(value)}.")
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


def choice(*choices: str) -> Parser:
    """Return what takes one of a few."""

    def parse(key: str, value: Any) -> str:
        if value not in choices:
            listed = ", ".join(repr(one) for one in choices)
            raise ConfigurationError(key, f"expected one of {listed}, got {_named(value)}.")
        return cast("str", value)

    return parse


def _duration(key: str, value: Any, unit: str) -> timedelta:
    given = duration = _number(value)
    if _is_number(given):
        with suppress(OverflowError, ValueError):  # what it is too long for is refused below
            duration = timedelta(**{unit: given})
    if not isinstance(duration, timedelta) or not timedelta(0) < duration <= LONGEST_DURATION:
        raise ConfigurationError(
            key,
            f"expected a timedelta or a number of {unit}, above 0 and at most "
            f"{LONGEST_DURATION.days} days, got {_named(_as_typed(given))}.",
        )
    return duration


def _as_typed(number: Any) -> Any:
    """Return a number that was read of a text as it most likely stood there: -1, not -1.0."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def days(key: str, value: Any) -> timedelta:
    """Take a duration, or a number of days."""
    return _duration(key, value, "days")


def optional_days(key: str, value: Any) -> timedelta | None:
    """Take a duration or a number of days; nothing, or an empty text, is ``None``."""
    return None if value is None or value == "" else days(key, value)


def seconds(key: str, value: Any) -> timedelta:
    """Take a duration, or a number of seconds."""
    return _duration(key, value, "seconds")


def lease(key: str, value: Any) -> timedelta:
    """Take seconds, as many as a lease must have."""
    given = seconds(key, value)
    if given < LEAST_LEASE:
        least = int(LEAST_LEASE.total_seconds())
        raise ConfigurationError(
            key, f"expected at least {least} seconds, four times what one send may take."
        )
    return given


def timeout(key: str, value: Any) -> tuple[float, float]:
    """Take seconds to connect and to read, or one number for both."""
    parts = value.split(",") if isinstance(value, str) else value
    pair = parts if isinstance(parts, (tuple, list)) else [parts]
    numbers = [_number(part) for part in pair] * (2 if len(pair) == 1 else 1)
    if len(numbers) != 2 or not all(_is_number(n) and 0 < n <= 30 for n in numbers):
        raise ConfigurationError(
            key,
            f"expected (connect, read) in seconds, each above 0, at most 30, got {_named(value)}.",
        )
    return float(numbers[0]), float(numbers[1])


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def whole(low: int, high: int) -> Parser:
    """Return what takes a whole number within bounds."""

    def parse(key: str, value: Any) -> int:
        number = _whole_number(value)
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ConfigurationError(
                key, f"expected a whole number from {low} to {high}, got {_named(value)}."
            )
        return number

    return parse


def _whole_number(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip().isdecimal():
        return value
    try:
        return int(value)
    except ValueError:  # more figures than Python reads
        return value


def names(key: str, value: Any) -> tuple[str, ...]:
    """Take the names of query parameters, at least one."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (tuple, list)) or not value or not all(map(_is_name, value)):
        raise ConfigurationError(
            key, f"expected a tuple of parameter names, at least one, got {_named(value)}."
        )
    return tuple(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and not _unsafe(value)


def _unsafe(name: str) -> bool:
    return any(c in ' \t\r\n,;="\\&?#%+' or not c.isprintable() for c in name)


def cookie_name(key: str, value: Any) -> str:
    """Take a name that browsers take, and that is not one of PartnerStack's."""
    if not _is_name(value):
        raise ConfigurationError(key, f"expected a cookie name, got {_named(value)}.")
    if value in THEIR_COOKIES:
        raise ConfigurationError(key, f"{value} is PartnerStack's own cookie; pick another name.")
    return cast("str", value)


def cookie_path(key: str, value: Any) -> str:
    """Take a path that starts at the root."""
    given = text(key, value)
    if not given.startswith("/") or ";" in given:
        raise ConfigurationError(key, f"expected a path that starts with /, got {_named(value)}.")
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
    if not domain or _unsafe(domain) or "/" in domain or ":" in domain:
        raise ConfigurationError(
            key, f"expected a bare domain, like acme.com, got {_named(value)}."
        )
    return domain


def in_ascii(domain: str) -> str:
    """Return a domain as browsers and Host headers write it: ``xn--bcher-kva.de``.

    :raises UnicodeError: no domain can be written so.
    """
    bare = domain.lstrip(".")
    return domain[: len(domain) - len(bare)] + bare.encode("idna").decode()


def capture_path(key: str, value: Any) -> str | None:
    """Take the path of an endpoint; nothing, or an empty text, is ``None``."""
    given = optional_text(key, value)
    if given is not None and (not given.startswith("/") or set(given) & set("?#<>;\\ ")):
        raise ConfigurationError(
            key, f"expected a path that starts with /, or None for none, got {_named(value)}."
        )
    return given


def status_policy(key: str, value: Any) -> Mapping[int, str]:
    """Take a dict of HTTP statuses and verdicts, or its JSON."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):  # refused below
            value = json.loads(value)
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            key, f'expected a dict like {{404: "retry"}}, got {_named(value)}.'
        )
    policy: dict[int, str] = {}
    for given, verdict in value.items():
        # JSON, which the environment is read as, has no other keys than texts.
        status = _whole_number(given)
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
            raise ConfigurationError(
                key, f"expected HTTP statuses, 200 to 599, as keys, got {_named(given)}."
            )
        policy[status] = choice("accept", "reject", "retry", "unclear")(f"{key}[{status}]", verdict)
    return MappingProxyType(policy)


def _named(value: Any) -> str:
    # A mistaken value may be a secret that was put under the wrong key: only short numbers, types,
    # and words that have no figures or signs in them are shown.
    if isinstance(value, str):
        is_word = len(value) <= 24 and value.replace(" ", "").isalpha()
        return repr(value) if is_word or not value else f"a text of {len(value)} characters"
    if _is_number(value) and abs(value) >= LONG_NUMBER:
        return "a long number"
    if isinstance(value, (int, float, bool, timedelta)) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"
