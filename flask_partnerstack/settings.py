"""``Settings``: every ``PARTNERSTACK_*`` key, its default and its meaning, in one table."""

from __future__ import annotations

import difflib
import ipaddress
import logging
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import Literal
from typing import cast
from urllib.parse import urlsplit

from .errors import ConfigurationError

PREFIX = "PARTNERSTACK_"
log: Final = logging.getLogger("flask_partnerstack")

_Parser = Callable[[str, Any], Any]


def is_loopback(url: str) -> bool:
    """Say whether ``url`` stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# --- how a value is read: (key, value) -> value, or a ConfigurationError that names the key -----


def _optional_text(key: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    return _text(key, value)


def _text(key: str, value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""  # a secret's file ends with a newline
    if not text or not text.isprintable():
        raise ConfigurationError(key, f"expected printable text, got {_named(value)}.")
    return text


def _token(key: str, value: Any) -> str | None:
    token = _optional_text(key, value)
    if token is not None and token.startswith(("pk_", "sk_")):
        raise ConfigurationError(
            key,
            "this is one of the REST API's keys (pk_…, sk_…). Expected the token of the "
            "server-to-server integration, from PartnerStack's Settings → Integrations; the "
            f"pair belongs in {PREFIX}PUBLIC_KEY and {PREFIX}SECRET_KEY.",
        )
    return _header_safe(key, token)


def _api_key(prefix: str, other: str) -> _Parser:
    def parse(key: str, value: Any) -> str | None:
        text = _optional_text(key, value)
        if text is not None and text.startswith(other):
            raise ConfigurationError(key, f"starts with {other}: expected the key with {prefix}.")
        return _header_safe(key, text)

    return parse


def _header_safe(key: str, value: str | None) -> str | None:
    if value is not None and (not value.isascii() or any(c.isspace() for c in value)):
        raise ConfigurationError(key, "expected a credential: ASCII characters, no white space.")
    return value


def _switch(key: str, value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    if not isinstance(value, bool):
        raise ConfigurationError(key, f"expected True or False, got {_named(value)}.")
    return value


_SWITCHES = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def _optional_switch(key: str, value: Any) -> bool | None:
    return None if value is None else _switch(key, value)


def _switch_or_hash(key: str, value: Any) -> bool | Literal["hash"]:
    if value == HASH:
        return HASH
    try:
        return _switch(key, value)
    except ConfigurationError:
        raise ConfigurationError(
            key, f'expected True, False or "hash", got {_named(value)}.'
        ) from None


def _url(key: str, value: Any) -> str:
    text = _text(key, value)
    if any(map(str.isspace, text)):
        raise ConfigurationError(key, "expected a URL without white space.")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # its text quotes what may be a password in the place of a port
        raise ConfigurationError(
            key, "expected an https:// URL; this one cannot be read."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(key, "expected a URL without a user name or password in it.")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ConfigurationError(key, f"expected an https:// URL, got {_named(value)}.")
    if parts.scheme == "http" and not is_loopback(text):
        raise ConfigurationError(
            key, "expected https://; plain http is for this machine (127.0.0.1, localhost) only."
        )
    return text.rstrip("/")


def _script_url(key: str, value: Any) -> str:
    _url(key, value)
    return _text(key, value)  # its last slash is part of it


def _choice(*choices: str) -> _Parser:
    def parse(key: str, value: Any) -> str:
        if value not in choices:
            listed = ", ".join(repr(choice) for choice in choices)
            raise ConfigurationError(key, f"expected one of {listed}, got {_named(value)}.")
        return cast("str", value)

    return parse


def _duration(key: str, value: Any, unit: str) -> timedelta:
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = timedelta(**{unit: value})
        except (OverflowError, ValueError) as e:
            raise ConfigurationError(key, f"expected a timedelta or {unit}: {e}.") from e
    if not isinstance(value, timedelta) or not timedelta(0) < value <= LONGEST_DURATION:
        raise ConfigurationError(
            key,
            f"expected a timedelta or a number of {unit}, above 0 and at most "
            f"{LONGEST_DURATION.days} days, got {_named(value)}.",
        )
    return value


def _days(key: str, value: Any) -> timedelta:
    return _duration(key, value, "days")


def _optional_days(key: str, value: Any) -> timedelta | None:
    return None if value is None or value == "" else _days(key, value)


def _seconds(key: str, value: Any) -> timedelta:
    return _duration(key, value, "seconds")


def _lease(key: str, value: Any) -> timedelta:
    lease = _seconds(key, value)
    if lease < LEAST_LEASE:
        least = int(LEAST_LEASE.total_seconds())
        raise ConfigurationError(
            key, f"expected at least {least} seconds, four times what one send may take."
        )
    return lease


def _timeout(key: str, value: Any) -> tuple[float, float]:
    parts = value.split(",") if isinstance(value, str) else value
    pair = parts if isinstance(parts, (tuple, list)) else [parts]
    numbers = [_number(part) for part in pair] * (2 if len(pair) == 1 else 1)
    if len(numbers) != 2 or not all(
        isinstance(n, (int, float)) and not isinstance(n, bool) and 0 < n <= 30 for n in numbers
    ):
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


def _whole(low: int, high: int) -> _Parser:
    def parse(key: str, value: Any) -> int:
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ConfigurationError(
                key, f"expected a whole number from {low} to {high}, got {_named(value)}."
            )
        return number

    return parse


def _names(key: str, value: Any) -> tuple[str, ...]:
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


def _cookie_name(key: str, value: Any) -> str:
    if not _is_name(value):
        raise ConfigurationError(key, f"expected a cookie name, got {_named(value)}.")
    if value in THEIR_COOKIES:
        raise ConfigurationError(key, f"{value} is PartnerStack's own cookie; pick another name.")
    return cast("str", value)


def _cookie_path(key: str, value: Any) -> str:
    text = _text(key, value)
    if not text.startswith("/") or ";" in text:
        raise ConfigurationError(key, f"expected a path that starts with /, got {_named(value)}.")
    return text


def _cookie_domain(key: str, value: Any) -> str | None:
    text = _optional_text(key, value)
    if text is not None and (_unsafe(text) or "/" in text or ":" in text):
        raise ConfigurationError(
            key, f"expected a bare domain, like acme.com, got {_named(value)}."
        )
    return text


def _capture_path(key: str, value: Any) -> str | None:
    text = _optional_text(key, value)
    if text is not None and (not text.startswith("/") or set(text) & set("?#<>;\\ ")):
        raise ConfigurationError(
            key, f"expected a path that starts with /, or None for none, got {_named(value)}."
        )
    return text


def _status_policy(key: str, value: Any) -> Mapping[int, str]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            key, f'expected a dict like {{404: "retry"}}, got {_named(value)}.'
        )
    for status, verdict in value.items():
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
            raise ConfigurationError(
                key, f"expected HTTP statuses, 200 to 599, as keys, got {_named(status)}."
            )
        _choice("accept", "reject", "retry", "unclear")(f"{key}[{status}]", verdict)
    return MappingProxyType(dict(value))


def _named(value: Any) -> str:
    # A mistaken value may be a secret that was put under the wrong key: only numbers, types, and
    # words that have no figures or signs in them are shown.
    if isinstance(value, str):
        is_word = len(value) <= 24 and value.replace(" ", "").isalpha()
        return repr(value) if is_word or not value else f"a text of {len(value)} characters"
    if isinstance(value, (int, float, bool, timedelta)) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"


#: For SEND_EMAIL and SEND_NAME: a digest in the place of the thing itself.
HASH: Literal["hash"] = "hash"
#: Cookies that PartnerStack's script writes; ours must not collide with them.
THEIR_COOKIES = ("ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey", "pscd")
#: No duration is longer; twice of it can still be added to any date of ours.
LONGEST_DURATION = timedelta(days=36_500)
#: What one exchange with PartnerStack may take in all.
DEADLINE = timedelta(seconds=30)
#: A lease is at least four times the deadline, so that it never runs out under a living send.
LEAST_LEASE = 4 * DEADLINE


def _key(default: Any, parse: _Parser, meaning: str, *, secret: bool = False) -> Any:
    return field(
        default_factory=lambda: default,
        repr=not secret,
        metadata={"parse": parse, "meaning": meaning},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The configuration of one app, read once and never changed.

    Each field is the key without its prefix, in lower case: ``settings.token`` is
    ``PARTNERSTACK_TOKEN``. Secrets are left out of the ``repr``.
    """

    token: str | None = _key(
        None,
        _token,
        "The server-to-server token. Absent: conversions are recorded, and wait.",
        secret=True,
    )
    public_key: str | None = _key(
        None,
        _api_key("pk_", "sk_"),
        "The REST API's public key. The snippet shows it to browsers.",
        secret=True,
    )
    secret_key: str | None = _key(
        None,
        _api_key("sk_", "pk_"),
        "The REST API's secret key. With both, customers are looked up.",
        secret=True,
    )
    enabled: bool = _key(True, _switch, "False: nothing is captured and nothing is recorded.")
    conversion_url: str = _key(
        "https://partnerlinks.io/conversion/xid", _url, "Where conversions are posted."
    )
    api_url: str = _key(
        "https://api.partnerstack.com", _url, "The host of the REST API, for look-ups."
    )
    timeout: tuple[float, float] = _key(
        (3.05, 10.0), _timeout, "Seconds to connect, and to wait for each piece of an answer."
    )
    ledger_url: str | None = _key(
        None,
        _optional_text,
        "Any SQLAlchemy URL. Absent: the SQLite file partnerstack.db in the instance folder.",
        secret=True,
    )
    engine: Literal["thread", "inline", "celery", "rq", "none"] = _key(
        "thread",
        _choice("thread", "inline", "celery", "rq", "none"),
        "Who delivers what is due.",
    )
    concurrency: int = _key(4, _whole(1, 64), "Sends at once per process.")
    attribution: Literal["last", "first"] = _key(
        "last", _choice("last", "first"), "Which click earns when there are several."
    )
    attribution_window: timedelta = _key(
        timedelta(days=90), _days, "How long a click may earn, from the click (days)."
    )
    cookie_name: str = _key("partnerstack_referral", _cookie_name, "The name of our cookie.")
    cookie_domain: str | None = _key(
        None,
        _cookie_domain,
        "The cookie's domain, to share it between subdomains. None: the request's host.",
    )
    cookie_path: str = _key("/", _cookie_path, "The cookie's path.")
    cookie_samesite: Literal["Lax", "Strict", "None"] = _key(
        "Lax", _choice("Lax", "Strict", "None"), "The cookie's SameSite attribute."
    )
    cookie_secure: bool | None = _key(
        None,
        _optional_switch,
        "The cookie's Secure attribute. None: as the request came, by https or not.",
    )
    xid_params: tuple[str, ...] = _key(
        ("ps_xid", "gsxid"), _names, "Query parameters that carry the click ID, best first."
    )
    partner_key_params: tuple[str, ...] = _key(
        ("ps_partner_key", "gspk"), _names, "Query parameters that carry the partner key."
    )
    send_ip: bool = _key(True, _switch, "Report the customer's IP address.")
    send_user_agent: bool = _key(True, _switch, "Report the customer's browser.")
    send_email: bool | Literal["hash"] = _key(
        True, _switch_or_hash, 'Record and report the customer\'s e-mail address; "hash": a digest.'
    )
    send_name: bool | Literal["hash"] = _key(
        True, _switch_or_hash, 'Record and report the customer\'s name; "hash": a digest.'
    )
    status_policy: Mapping[int, str] = _key(
        MappingProxyType({}),
        _status_policy,
        'Judge a status otherwise, {404: "retry"} for one: accept, reject, retry or unclear.',
    )
    give_up_after: timedelta = _key(
        timedelta(days=30),
        _days,
        "How long an entry is tried, from its first attempt, pauses not counted (days).",
    )
    verify_after: timedelta = _key(
        timedelta(minutes=15),
        _seconds,
        "How long after its delivery a conversion is looked up (seconds).",
    )
    lease: timedelta = _key(
        timedelta(minutes=2), _lease, "How long a claimed entry belongs to its claimer (seconds)."
    )
    retention: timedelta | None = _key(
        None,
        _optional_days,
        "How long a settled entry keeps personal data (days); None: until it is pruned by hand.",
    )
    script_url: str = _key(
        "https://js.partnerstack.com/v1/",
        _script_url,
        "Where the snippet loads PartnerStackJS from; a link domain of your own has it at /pr/js.",
    )
    capture_path: str | None = _key(
        "/_partnerstack/click",
        _capture_path,
        "The endpoint that keeps a click for pages that a cache serves; None for none.",
    )

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Settings:
        """Read every ``PARTNERSTACK_*`` key of ``config``.

        :raises ConfigurationError: naming the key as it was typed, and what was expected.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        _warn_of_unknown(config, known)
        given = {
            f.name: f.metadata["parse"](key, config[key])
            for key, f in known.items()
            if key in config
        }
        settings = cls(**given)
        settings._check_together()
        return settings

    @property
    def verifies(self) -> bool:
        """Whether conversions are looked up after delivery: both keys of the pair are set."""
        return self.public_key is not None and self.secret_key is not None

    def _check_together(self) -> None:
        if self.public_key is None and self.secret_key is not None:
            raise ConfigurationError(
                f"{PREFIX}PUBLIC_KEY", "expected both halves of the key pair, or neither."
            )
        if self.public_key is not None and self.secret_key is None:
            log.warning(
                "%sPUBLIC_KEY without %sSECRET_KEY is enough for the snippet, but nothing is "
                "verified: set both to have conversions looked up.",
                PREFIX,
                PREFIX,
            )
        if self.cookie_samesite == "None" and self.cookie_secure is False:
            raise ConfigurationError(
                f"{PREFIX}COOKIE_SECURE",
                f"{PREFIX}COOKIE_SAMESITE='None' needs a Secure cookie; browsers refuse it else.",
            )


def _warn_of_unknown(config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    names = [key.removeprefix(PREFIX) for key in known]
    for key in config:
        if isinstance(key, str) and key.startswith(PREFIX) and key not in known:
            # Without the prefix, which would make any two keys alike.
            close = difflib.get_close_matches(key.removeprefix(PREFIX), names, n=1)
            hint = f" Did you mean {PREFIX}{close[0]}?" if close else ""
            log.warning("%s is not a key that Flask-PartnerStack reads.%s", key, hint)
