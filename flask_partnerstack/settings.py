"""``Settings``: every ``PARTNERSTACK_*`` key, its default and its meaning, in one table."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import Literal

from . import values
from .errors import ConfigurationError
from .values import DEADLINE as DEADLINE
from .values import HASH as HASH
from .values import LEAST_LEASE as LEAST_LEASE
from .values import LONGEST_DURATION as LONGEST_DURATION
from .values import PREFIX as PREFIX
from .values import THEIR_COOKIES as THEIR_COOKIES
from .values import is_loopback as is_loopback

log: Final = logging.getLogger("flask_partnerstack")


def _key(default: Any, parse: values.Parser, meaning: str, *, secret: bool = False) -> Any:
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
        values.token,
        "The server-to-server token. Absent: conversions are recorded, and wait.",
        secret=True,
    )
    public_key: str | None = _key(
        None,
        values.api_key("pk_", "sk_"),
        "The REST API's public key. The snippet shows it to browsers.",
        secret=True,
    )
    secret_key: str | None = _key(
        None,
        values.api_key("sk_", "pk_"),
        "The REST API's secret key. With both, customers are looked up.",
        secret=True,
    )
    enabled: bool = _key(True, values.switch, "False: nothing is captured and nothing is recorded.")
    conversion_url: str = _key(
        "https://partnerlinks.io/conversion/xid", values.url, "Where conversions are posted."
    )
    api_url: str = _key(
        "https://api.partnerstack.com", values.api_url, "The host of the REST API, for look-ups."
    )
    timeout: tuple[float, float] = _key(
        (3.05, 10.0), values.timeout, "Seconds to connect, and to wait for each piece of an answer."
    )
    ledger_url: str | None = _key(
        None,
        values.ledger_url,
        "Any SQLAlchemy URL; flask partnerstack init-db makes the tables there. Absent: the SQLite "
        "file partnerstack.db in the instance folder, which makes its own.",
        secret=True,
    )
    engine: Literal["thread", "inline", "celery", "rq", "none"] = _key(
        "thread",
        values.choice("thread", "inline", "celery", "rq", "none"),
        "Who delivers what is due.",
    )
    concurrency: int = _key(4, values.whole(1, 64), "Sends at once per process.")
    attribution: Literal["last", "first"] = _key(
        "last", values.choice("last", "first"), "Which click earns when there are several."
    )
    attribution_window: timedelta = _key(
        timedelta(days=90), values.days, "How long a click may earn, from the click (days)."
    )
    cookie_name: str = _key("partnerstack_referral", values.cookie_name, "The name of our cookie.")
    cookie_domain: str | None = _key(
        None,
        values.cookie_domain,
        "The cookie's domain, to share it between subdomains. None: the request's host.",
    )
    cookie_path: str = _key(
        "/",
        values.cookie_path,
        "The cookie's path. A landing page outside of it does not see the cookie: with it "
        'ATTRIBUTION="first" does as "last" does there, and an old landing URL is a new click. '
        'Leave it at "/" unless every page that a link leads to lies below it.',
    )
    cookie_samesite: Literal["Lax", "Strict", "None"] = _key(
        "Lax",
        values.choice("Lax", "Strict", "None"),
        "The cookie's SameSite attribute. A Strict cookie stays away from a partner's link: with "
        'it ATTRIBUTION="first" does as "last" does, and an old landing URL is a new click.',
    )
    cookie_secure: bool | None = _key(
        None,
        values.optional_switch,
        "The cookie's Secure attribute. None: as the request came, by https or not; always where "
        "SameSite=None or a name like __Host-… asks for it.",
    )
    xid_params: tuple[str, ...] = _key(
        ("ps_xid", "gsxid"), values.names, "Query parameters that carry the click ID, best first."
    )
    partner_key_params: tuple[str, ...] = _key(
        ("ps_partner_key", "gspk"), values.names, "Query parameters that carry the partner key."
    )
    send_ip: bool = _key(True, values.switch, "Report the customer's IP address.")
    send_user_agent: bool = _key(True, values.switch, "Report the customer's browser.")
    send_email: bool | Literal["hash"] = _key(
        True,
        values.switch_or_hash,
        'Record and report the customer\'s e-mail address; "hash": a digest.',
    )
    send_name: bool | Literal["hash"] = _key(
        True, values.switch_or_hash, 'Record and report the customer\'s name; "hash": a digest.'
    )
    status_policy: Mapping[int, str] = _key(
        MappingProxyType({}),
        values.status_policy,
        'Judge a status otherwise, {404: "retry"} for one: accept, reject, retry or unclear.',
    )
    give_up_after: timedelta = _key(
        timedelta(days=30),
        values.days,
        "How long an entry is tried, from its first attempt, pauses not counted (days).",
    )
    verify_after: timedelta = _key(
        timedelta(minutes=15),
        values.seconds,
        "How long after its delivery a conversion is looked up (seconds).",
    )
    lease: timedelta = _key(
        timedelta(minutes=2),
        values.lease,
        "How long a claimed entry belongs to its claimer (seconds).",
    )
    retention: timedelta | None = _key(
        None,
        values.optional_days,
        "How long a settled entry keeps personal data (days); None: until it is pruned by hand.",
    )
    script_url: str = _key(
        "https://js.partnerstack.com/v1/",
        values.script_url,
        "Where the snippet loads PartnerStackJS from; a link domain of your own has it at /pr/js.",
    )
    capture_path: str | None = _key(
        "/_partnerstack/click",
        values.capture_path,
        "The endpoint that keeps a click for pages that a cache serves; None for none.",
    )

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Settings:
        """Read every ``PARTNERSTACK_*`` key of ``config``.

        :raises ConfigurationError: naming the key as it was typed, and what was expected.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        _warn_of_unknown(config)
        given = {
            f.name: f.metadata["parse"](key, config[key])
            for key, f in known.items()
            if key in config
        }
        settings = cls(**given)
        settings._check_pair()
        settings._check_params()
        settings._check_cookie(config)
        return settings

    @property
    def verifies(self) -> bool:
        """Whether conversions are looked up after delivery: both keys of the pair are set."""
        return self.public_key is not None and self.secret_key is not None

    def is_cookie_secure(self, *, by_https: bool) -> bool:
        """Say whether our cookie is ``Secure``.

        :param by_https: whether the request came so, as far as the app knows: TLS may have ended
            at a proxy that does not say it.
        """
        if self.cookie_secure is not None:
            return self.cookie_secure
        return by_https or self._needs_secure() is not None

    @property
    def takes_each_click_for_the_first(self) -> bool:
        """Whether the first click cannot stand: no landing page sees a Strict cookie."""
        return self.attribution == "first" and self.cookie_samesite == "Strict"

    @property
    def hides_the_first_click(self) -> bool:
        """Whether the first click cannot stand on the pages outside of the cookie's path."""
        return self.attribution == "first" and self.cookie_path != "/"

    def _check_pair(self) -> None:
        if self.public_key is None and self.secret_key is not None:
            raise ConfigurationError(
                f"{PREFIX}PUBLIC_KEY",
                f"expected both halves of the key pair: {PREFIX}SECRET_KEY is set without it.",
            )
        if self.public_key is not None and self.secret_key is None:
            log.warning(
                "%sPUBLIC_KEY without %sSECRET_KEY is enough for the snippet, but nothing is "
                "verified: set both to have conversions looked up.",
                PREFIX,
                PREFIX,
            )

    def _check_params(self) -> None:
        shared = [name for name in self.partner_key_params if name in self.xid_params]
        if shared:
            raise ConfigurationError(
                f"{PREFIX}PARTNER_KEY_PARAMS",
                f"{shared[0]} is one of {PREFIX}XID_PARAMS, too. Expected other names: a link has "
                "the click in one parameter and the partner in another.",
            )

    def _needs_secure(self) -> str | None:
        """Return the key and the value for which browsers take our cookie as ``Secure`` only."""
        if self.cookie_samesite == "None":
            return f"{PREFIX}COOKIE_SAMESITE='None'"
        if self.cookie_name.lower().startswith(values.SECURE_NAMES):
            return f"{PREFIX}COOKIE_NAME={self.cookie_name!r}"
        return None

    def _check_cookie(self, config: Mapping[str, Any]) -> None:
        why = self._needs_secure()
        if why is not None and self.cookie_secure is False:
            raise ConfigurationError(
                f"{PREFIX}COOKIE_SECURE", f"{why} needs a Secure cookie; browsers refuse it else."
            )
        if self.cookie_name.lower().startswith(values.HOST_NAME):
            _refuse_elsewhere("COOKIE_DOMAIN", self.cookie_domain is not None)
            _refuse_elsewhere("COOKIE_PATH", self.cookie_path != "/")
        _refuse_taken(self.cookie_name, config)


def _refuse_elsewhere(key: str, is_set: bool) -> None:
    if is_set:
        raise ConfigurationError(
            PREFIX + key,
            f"with a {PREFIX}COOKIE_NAME that begins with __Host- browsers take a cookie for one "
            "host and the path / only: leave this key out, or let the name begin with __Secure-.",
        )


def _refuse_taken(name: str, config: Mapping[str, Any]) -> None:
    for key in ("SESSION_COOKIE_NAME", "REMEMBER_COOKIE_NAME"):  # Flask's, Flask-Login's
        if config.get(key) == name:
            raise ConfigurationError(
                f"{PREFIX}COOKIE_NAME",
                f"{name} is the app's own cookie ({key}), which ours would replace; pick another "
                "name.",
            )


#: Every key, without its prefix.
KEYS = tuple(f.name.upper() for f in fields(Settings))


def closest_key(name: str) -> str | None:
    """Return the key, without its prefix, that may be meant by a name that is none."""
    # The prefix, with or without which it was typed, would make any two keys alike.
    found = difflib.get_close_matches(name.upper().removeprefix(PREFIX), KEYS, n=1)
    return found[0] if found else None


def _warn_of_unknown(config: Mapping[str, Any]) -> None:
    for key in config:
        if isinstance(key, str) and key.startswith(PREFIX) and key.removeprefix(PREFIX) not in KEYS:
            close = closest_key(key)
            hint = f" Did you mean {PREFIX}{close}?" if close else ""
            log.warning("%s is not a key that Flask-PartnerStack reads.%s", key, hint)
