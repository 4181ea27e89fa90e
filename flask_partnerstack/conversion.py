"""``Conversion``: a referred visitor became a customer. Ours, frozen, validated.

What PartnerStack wants on the wire is :mod:`.wire.protocol`'s business; the two shapes meet
nowhere else, so that an entry of last year can still be delivered when the API changes.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import Enum
from types import MappingProxyType
from typing import Any
from typing import NoReturn
from uuid import UUID

from .errors import InvalidConversion
from .frozen import FrozenDict
from .frozen import made
from .referral import valid_xid

#: Characters; PartnerStack publishes no limit for this endpoint, so these only stop nonsense.
LONGEST_CUSTOMER_KEY = 512
LONGEST_EMAIL = 320
LONGEST_TEXT = 255
LONGEST_ORIGIN = 2048
LONGEST_USER_AGENT = 1024
MOST_SUB_IDS = 50
#: Bytes of ``meta`` as JSON, and how many dicts and lists deep it may go.
LARGEST_META = 16 * 1024
#: Bytes of all sub IDs. With ``meta`` and the rest they fit into the 64 KiB of MySQL's TEXT.
LARGEST_SUB_IDS = 16 * 1024
DEEPEST_META = 16

CustomerKey = str | int | UUID
"""What may be given as a customer key; it is stored as text, by :func:`text_of_key`."""

#: Control characters, and halves of characters that no encoding can write.
_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A referred visitor became a customer.

    Made by :meth:`of`, which validates. An optional field that is empty is absent, because an
    empty string looks like a real value that failed to match in fraud scoring.
    """

    customer_key: str
    xid: str
    partner_key: str | None = None
    email: str | None = None
    name: str | None = None
    provider_key: str | None = None
    origin: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    external_type: str | None = None
    sub_ids: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=FrozenDict)

    @classmethod
    def of(cls, *, customer_key: object, xid: object, **optional: object) -> Conversion:
        """Validate and build.

        :raises InvalidConversion: naming the first field that cannot be reported.
        """
        checked = check_optional(optional)
        key = check_customer_key(customer_key)
        return cls.of_checked({**checked, "customer_key": key, "xid": check_xid(xid)})

    @classmethod
    def of_checked(cls, content: dict[str, Any]) -> Conversion:
        """Build one of fields that were checked, each by its own function of this module."""
        return made(cls, _ABSENT | content)

    def dumps(self) -> str:
        """Return the ledger's form: versioned JSON, without the fields that are absent."""
        # A frozen dataclass keeps its fields there, in their order: no look-up for each. And one
        # text after the other is encoded in little more than half the time of a dict of them.
        encode = _ENCODER.encode
        said = [f'"{name}":{encode(value)}' for name, value in vars(self).items() if value]
        return f'{{"v":1,{",".join(said)}}}'

    @classmethod
    def loads(cls, text: str) -> Conversion:
        """Read the ledger's form, whichever version of ours wrote it.

        Not validated again: what was good enough to be recorded is delivered, whatever the
        rules are by now.

        :raises ValueError: it is not our form.
        """
        try:
            content = _frozen(json.loads(text))
        except RecursionError:
            raise ValueError("not a conversion") from None
        known = _known(content) if isinstance(content, Mapping) else {}
        if not {"customer_key", "xid"} <= known.keys():
            raise ValueError("not a conversion")
        return cls(**known)


#: What a conversion has in a field that nobody gave.
_ABSENT = dict(vars(Conversion(customer_key="", xid="")))
_FIELDS = tuple(_ABSENT)
#: What a field is in the ledger's form, where it is no text.
_KINDS: Mapping[str, type] = {"sub_ids": tuple, "meta": Mapping}


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: content[name] for name in _FIELDS if content.get(name) is not None}
    if not all(isinstance(value, _KINDS.get(name, str)) for name, value in known.items()):
        raise ValueError("not a conversion")
    return known


def check_customer_key(value: object) -> str:
    """Return a customer key as text, exact to the letter and the space.

    :raises InvalidConversion: for ``None``, a bool, an empty one, or one with control characters.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise InvalidConversion(
            "customer_key", f"expected a str, int or UUID, got {type(value).__name__}."
        )
    if isinstance(value, int) and value.bit_length() > 4 * LONGEST_CUSTOMER_KEY:
        # Python writes no number of thousands of digits.
        raise InvalidConversion("customer_key", f"expected {LONGEST_CUSTOMER_KEY} digits at most.")
    key = text_of_key(value)
    if not key.strip():
        raise InvalidConversion(
            "customer_key", "expected your own ID of the customer; it is empty."
        )
    return _plain("customer_key", key, LONGEST_CUSTOMER_KEY)


def text_of_key(value: object) -> str:
    """Return what is recorded of a customer key: the text of it, or of an enumeration's value."""
    # Of a member itself it is "Plan.ACME", or the value: each Python and each mixin has its way.
    return str(value.value if isinstance(value, Enum) else value)


def check_xid(value: object) -> str:
    """Return a click ID as it came.

    :raises InvalidConversion: it cannot be one.
    """
    xid = valid_xid(value)
    if xid is None:
        raise InvalidConversion("xid", "expected PartnerStack's click ID: [0-9A-Za-z_-]{4,128}.")
    return xid


def check_optional(optional: Mapping[str, object]) -> dict[str, Any]:
    """Return the optional fields as they will be reported.

    :raises InvalidConversion: naming the first one that cannot be.
    """
    return {name: _OPTIONAL[name](name, value) for name, value in optional.items()}


def without_invalid(optional: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return the optional fields that can be reported, and for each other one what is wrong."""
    kept: dict[str, object] = {}
    complaints = []
    for name, value in optional.items():
        try:
            kept[name] = _OPTIONAL[name](name, value)
        except InvalidConversion as e:
            complaints.append(str(e))
    return kept, complaints


def cleaned_user_agent(text: str | None) -> str | None:
    """Return what a browser said of itself, fit to be reported: printable and cut to length."""
    if not text:
        return None
    printable = text if text.isprintable() else "".join(filter(str.isprintable, text))
    return printable[:LONGEST_USER_AGENT].strip() or None


def spelled_out(text: str) -> str:
    """Return ``text`` as one line that any ledger can hold: the rest as Python escapes it."""
    return _UNSPEAKABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _plain(field: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise InvalidConversion(field, f"expected {longest} characters at most, got {len(text)}.")
    if not text.isprintable() and _UNSPEAKABLE.search(text):  # the first asks faster
        raise InvalidConversion(field, "expected text without control characters or surrogates.")
    return text


def _text_up_to(longest: int) -> Callable[[str, object], str | None]:
    def check(field: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise InvalidConversion(field, f"expected text, got {type(value).__name__}.")
        return _plain(field, value.strip(), longest) or None

    return check


_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
#: An IPv4 address as it is reported: there is one way to write it.
_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}", re.ASCII)


def _ip_address(field: str, value: object) -> str | None:
    try:
        text = "" if value is None else str(value).strip()
        if not text or _IPV4.fullmatch(text):  # as nearly always: the rest takes some microseconds
            return text or None
        address = ipaddress.ip_address(text)
        # A server that listens on both sees IPv4 clients as ::ffff:192.0.2.1.
        return str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        raise InvalidConversion(
            field, "expected one IPv4 or IPv6 address, not a list of proxies."
        ) from None


def _sub_ids(field: str, value: object) -> tuple[str, ...]:
    if value is None or value == ():  # as nearly always: what follows takes some microseconds
        return ()
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidConversion(field, "expected a list of texts.")
    check = _text_up_to(LONGEST_TEXT)
    texts = tuple(text for text in (check(field, item) for item in value) if text)
    if len(texts) > MOST_SUB_IDS:
        raise InvalidConversion(field, f"expected {MOST_SUB_IDS} at most, got {len(texts)}.")
    if sum(len(text.encode()) for text in texts) > LARGEST_SUB_IDS:
        raise InvalidConversion(field, f"expected {LARGEST_SUB_IDS} bytes in all at most.")
    return texts


def _meta(field: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return FrozenDict()
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidConversion(field, "expected a dict with texts as keys.")
    content = _as_json(field, value)
    if _is_deeper(content, DEEPEST_META):
        raise InvalidConversion(field, f"expected {DEEPEST_META} levels at most.")
    return FrozenDict((key, _frozen(item)) for key, item in content.items())


def _as_json(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(value, default=_thawed, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
        content: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidConversion(field, "expected what JSON can say, in valid Unicode.") from e
    if size > LARGEST_META:
        raise InvalidConversion(field, f"expected {LARGEST_META} bytes of JSON at most.")
    return content


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return FrozenDict((key, _frozen(item)) for key, item in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    # What others keep frozen, given as meta.
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(type(value).__name__)


# Made once: json.dumps makes one at each call that has options.
_ENCODER = json.JSONEncoder(default=_thawed, separators=(",", ":"), ensure_ascii=False)


class _Checks(dict[str, Callable[[str, object], Any]]):
    """How each optional field is checked; a name that is none of theirs cannot be reported."""

    def __missing__(self, name: str) -> NoReturn:
        raise InvalidConversion(name, f"expected one of {', '.join(self)}.")


_OPTIONAL = _Checks(
    {
        "partner_key": _text_up_to(LONGEST_CUSTOMER_KEY),
        "email": _text_up_to(LONGEST_EMAIL),
        "name": _text_up_to(LONGEST_TEXT),
        "provider_key": _text_up_to(LONGEST_TEXT),
        "origin": _text_up_to(LONGEST_ORIGIN),
        "ip_address": _ip_address,
        "user_agent": _text_up_to(LONGEST_USER_AGENT),
        "external_type": _text_up_to(LONGEST_TEXT),
        "sub_ids": _sub_ids,
        "meta": _meta,
    }
)
