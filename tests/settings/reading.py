"""What the tests of the settings share: the defaults, and how an app's configuration is read."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.settings import Settings

DEFAULTS: dict[str, Any] = {
    "TOKEN": None,
    "PUBLIC_KEY": None,
    "SECRET_KEY": None,
    "ENABLED": True,
    "CONVERSION_URL": "https://partnerlinks.io/conversion/xid",
    "API_URL": "https://api.partnerstack.com",
    "TIMEOUT": (3.05, 10.0),
    "LEDGER_URL": None,
    "ENGINE": "thread",
    "CONCURRENCY": 4,
    "ATTRIBUTION": "last",
    "ATTRIBUTION_WINDOW": timedelta(days=90),
    "COOKIE_NAME": "partnerstack_referral",
    "COOKIE_DOMAIN": None,
    "COOKIE_PATH": "/",
    "COOKIE_SAMESITE": "Lax",
    "COOKIE_SECURE": None,
    "XID_PARAMS": ("ps_xid", "gsxid"),
    "PARTNER_KEY_PARAMS": ("ps_partner_key", "gspk"),
    "SEND_IP": True,
    "SEND_USER_AGENT": True,
    "SEND_EMAIL": True,
    "SEND_NAME": True,
    "STATUS_POLICY": {},
    "GIVE_UP_AFTER": timedelta(days=30),
    "VERIFY_AFTER": timedelta(minutes=15),
    "LEASE": timedelta(minutes=2),
    "SCRIPT_URL": "https://js.partnerstack.com/v1/",
    "CAPTURE_PATH": "/_partnerstack/click",
    "RETENTION": None,
}
KEYS = [field.name.upper() for field in fields(Settings)]
SECRET = "Vq7ZpTn3Wc9LrXk2"


def read(**config: object) -> Settings:
    return Settings.from_mapping({f"PARTNERSTACK_{key}": value for key, value in config.items()})


def refused(key: str, value: object, **config: object) -> str:
    """Return what is said of a bad value, having seen that it names the key as typed."""
    with pytest.raises(ConfigurationError, match=f"^PARTNERSTACK_{key}: ") as caught:
        read(**{key: value}, **config)
    return caught.value.expected
