"""What a conversion must look like before PartnerStack takes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class ConversionError(ValueError):
    """When a request body is no conversion; the message is what the caller is answered."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


REQUIRED = ("xid", "customer_key")

# https://docs.partnerstack.com/reference/postconversionxid
OPTIONAL: dict[str, tuple[Callable[[object], bool], str]] = {
    "email": (_is_text, "a string"),
    "name": (_is_text, "a string"),
    "provider_key": (_is_text, "a string"),
    "origin": (_is_text, "a string"),
    "ip_address": (_is_text, "a string"),
    "user_agent": (_is_text, "a string"),
    "external_type": (_is_text, "a string"),
    "sub_ids": (_is_texts, "an array of strings"),
    "meta": (_is_object, "an object"),
}


def read_object(raw: str) -> dict[str, Any]:
    """The JSON object in a text; empty when there is none."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def parse_conversion(raw: str) -> dict[str, Any]:
    """Read a request body as a conversion; fields nobody documented are kept.

    :raises ConversionError: when it is none.
    """
    conversion = read_object(raw)
    if not conversion:
        raise ConversionError("the body: expected a JSON object with xid and customer_key")
    _require_fields(conversion)
    _check_optional_fields(conversion)
    return conversion


def _require_fields(conversion: dict[str, Any]) -> None:
    for name in REQUIRED:
        value = conversion.get(name)
        if name not in conversion:
            raise ConversionError(f"'{name}' is a required property")
        if not isinstance(value, str) or not value.strip():
            raise ConversionError(f"'{name}': expected a string that is not empty")


def _check_optional_fields(conversion: dict[str, Any]) -> None:
    for name, (fits, expected) in OPTIONAL.items():
        if name in conversion and not fits(conversion[name]):
            raise ConversionError(f"'{name}': expected {expected}")
