"""A conversion: validated field by field, frozen, and the same after a stay in the ledger."""

from __future__ import annotations

import copy
import ipaddress
import json
import pickle
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from enum import IntEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from sqlalchemy.sql.elements import quoted_name
from werkzeug.local import LocalProxy

from flask_partnerstack._losses import key_text
from flask_partnerstack.conversion import DEEPEST_META
from flask_partnerstack.conversion import LARGEST_META
from flask_partnerstack.conversion import LARGEST_SUB_IDS
from flask_partnerstack.conversion import LONGEST_CUSTOMER_KEY
from flask_partnerstack.conversion import LONGEST_EMAIL
from flask_partnerstack.conversion import LONGEST_ORIGIN
from flask_partnerstack.conversion import LONGEST_TEXT
from flask_partnerstack.conversion import MOST_SUB_IDS
from flask_partnerstack.conversion import Conversion
from flask_partnerstack.conversion import check_customer_key
from flask_partnerstack.conversion import check_optional
from flask_partnerstack.conversion import cleaned_user_agent
from flask_partnerstack.conversion import without_invalid
from flask_partnerstack.errors import InvalidConversion

XID = "Kvx64pph9uhCju"
TEXTS = {
    "partner_key": 512,
    "email": 320,
    "name": 255,
    "provider_key": 255,
    "origin": 2048,
    "user_agent": 1024,
    "external_type": 255,
}


def make(**optional: object) -> Conversion:
    return Conversion.of(**{"customer_key": "7f3e", "xid": XID, **optional})


def refused(field: str, value: object) -> str:
    """Return what is said of a bad value, having seen that it names the field and no more."""
    with pytest.raises(InvalidConversion, match=f"^{field}: expected ") as caught:
        make(**{field: value})
    assert caught.value.field == field
    return caught.value.expected


# --- the customer key ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("7f3e", "7f3e"),
        (7, "7"),
        (0, "0"),
        (-1, "-1"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (" a ", " a "),
        ("Zoë\N{PILE OF POO}", "Zoë\N{PILE OF POO}"),
        ("x" * 512, "x" * 512),
    ],
)
def test_customer_key(given: object, stored: str) -> None:
    """A customer key is a text, a number or a UUID, kept to the letter and the space."""
    assert make(customer_key=given).customer_key == stored


class Plan(str, Enum):
    ACME = "acme"


class Number(IntEnum):
    SEVEN = 7


class OldNumber(int, Enum):
    SEVEN = 7


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        (Plan.ACME, "acme"),
        (Number.SEVEN, "7"),
        (OldNumber.SEVEN, "7"),
        (LocalProxy(lambda: Plan.ACME), "acme"),
        (Markup("a&amp;b"), "a&amp;b"),
        (quoted_name("acme", quote=True), "acme"),
    ],
)
def test_customer_key_of_a_kind_of_text_or_number(key: object, stored: str) -> None:
    """What is a text or a number as well is kept as that, on each Python: a member as its value."""
    kept = make(customer_key=key).customer_key
    assert kept == stored
    assert type(kept) is str
    assert key_text(key) == stored  # and named so where it is not recorded


@pytest.mark.parametrize("key", [None, True, False, 1.0, b"a", ["a"], object()])
def test_customer_key_of_another_kind(key: object) -> None:
    """Nothing else is one; True above all, which Python takes for a number."""
    assert refused("customer_key", key) == f"expected a str, int or UUID, got {type(key).__name__}."


@pytest.mark.parametrize("key", ["", " ", "\t\n", "\N{NO-BREAK SPACE}"])
def test_empty_customer_key(key: str) -> None:
    """A key that nobody can see is empty."""
    assert "it is empty" in refused("customer_key", key)


@pytest.mark.parametrize("key", ["a\x00", "a\nb", "\x7f", "a\x85", "\ud800", "a\udfff"])
def test_unspeakable_customer_key(key: str) -> None:
    """Control characters and lone surrogates are in no key."""
    assert "control characters or surrogates" in refused("customer_key", key)


def test_long_customer_key() -> None:
    """A key has 512 characters at most."""
    assert refused("customer_key", "x" * 513) == "expected 512 characters at most, got 513."


@given(st.text(min_size=1, max_size=512))
def test_any_text_as_key(key: str) -> None:
    """Any text is kept exactly, or refused."""
    try:
        assert check_customer_key(key) == key
    except InvalidConversion:
        assert not key.strip() or not key.isprintable()


# --- the xid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("xid", ["Nh0q6z0jNfsP", "a-_Z", "x" * 128])
def test_xid(xid: str) -> None:
    """An xid is taken as it is."""
    assert make(xid=xid).xid == xid


@pytest.mark.parametrize("xid", [None, 7, "", "abc", "a b c d", "x" * 129, "abcd\n", "<script>"])
def test_bad_xid(xid: object) -> None:
    """What cannot be a click ID is refused, never mended."""
    assert refused("xid", xid) == "expected PartnerStack's click ID: [0-9A-Za-z_-]{4,128}."


# --- optional fields ----------------------------------------------------------------------------


@pytest.mark.parametrize("field", TEXTS)
def test_text(field: str) -> None:
    """A text is kept, without the white space around it."""
    assert getattr(make(**{field: "  Zoë & Co "}), field) == "Zoë & Co"


@pytest.mark.parametrize("field", [*TEXTS, "ip_address"])
@pytest.mark.parametrize("blank", [None, "", "   ", "\n"])
def test_blank_is_absent(field: str, blank: str | None) -> None:
    """A blank field is no field: it would look like a real value that failed to match."""
    conversion = make(**{field: blank})
    assert conversion == make()
    assert field not in conversion.dumps()


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", [7, True, b"a", ["a"], UUID(int=1)])
def test_text_of_another_kind(field: str, value: object) -> None:
    """Nothing else is taken for a text."""
    assert refused(field, value) == f"expected text, got {type(value).__name__}."


@pytest.mark.parametrize(("field", "longest"), TEXTS.items())
def test_longest_text(field: str, longest: int) -> None:
    """A text that is too long is refused, and what it says is not repeated."""
    assert getattr(make(**{field: "x" * longest}), field) == "x" * longest
    assert refused(field, "x" * 10_000) == f"expected {longest} characters at most, got 10000."


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["a\x00b", "a\r\nb", "a\x1b[31m", "a\x85b", "a\ud800b"])
def test_unspeakable_text(field: str, value: str) -> None:
    """Control characters and surrogates are in no field."""
    assert "control characters or surrogates" in refused(field, value)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        (ipaddress.ip_address("203.0.113.7"), "203.0.113.7"),
    ],
)
def test_ip_address(given: object, stored: str) -> None:
    """An IP address is one of either kind, in its usual form."""
    assert make(ip_address=given).ip_address == stored


@pytest.mark.parametrize(
    "value",
    ["203.0.113.7, 10.0.0.1", "203.0.113.7:443", "203.0.113.0/24", "localhost", 7, ["::1"], b"::1"],
)
def test_bad_ip_address(value: object) -> None:
    """A list of proxies, or anything else that is not one address, is refused."""
    assert "not a list of proxies" in refused("ip_address", value)


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b"), [" a ", "", None, "b"], iter("ab")])
def test_sub_ids(value: object) -> None:
    """Sub IDs are texts in their order; empty ones are left out."""
    assert make(sub_ids=value).sub_ids == ("a", "b")


@pytest.mark.parametrize("value", [None, [], (), [""]])
def test_no_sub_ids(value: object) -> None:
    """No sub IDs are no field."""
    assert make(sub_ids=value) == make()


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        b"abc",
        {"a": 1},
        7,
        [1],
        ["a\x00"],
        ["x" * 256],
        ["a"] * (MOST_SUB_IDS + 1),
        ["я" * 255] * 33,
    ],
)
def test_bad_sub_ids(value: object) -> None:
    """One text is no list, and what is in a list is short text."""
    refused("sub_ids", value)


def test_the_largest_fits_into_every_ledger() -> None:
    """MySQL's TEXT holds 65,535 bytes, and what is cut off there could never be sent."""
    wide = "\U0001f600"
    largest = make(
        customer_key=wide * LONGEST_CUSTOMER_KEY,
        partner_key=wide * LONGEST_CUSTOMER_KEY,
        email=wide * LONGEST_EMAIL,
        origin=wide * LONGEST_ORIGIN,
        user_agent=wide * LONGEST_TEXT,
        sub_ids=[wide * LONGEST_TEXT] * (LARGEST_SUB_IDS // (4 * LONGEST_TEXT)),
        meta={"note": wide * (LARGEST_META // 4 - 10)},
        **dict.fromkeys(("name", "provider_key", "external_type"), wide * LONGEST_TEXT),
    )
    assert len(largest.dumps().encode()) < 65_535


def test_unknown_field() -> None:
    """A field that does not exist is named, with those that do."""
    with pytest.raises(InvalidConversion, match=r"^mail: expected one of partner_key, email, name"):
        make(mail="a@b.io")


@pytest.mark.parametrize("digits", [LONGEST_CUSTOMER_KEY + 1, 5000])
def test_a_number_that_is_too_long(digits: int) -> None:
    """Also one that is longer than Python writes is refused, by the argument's name."""
    refused("customer_key", 10 ** (digits - 1))
    refused("ip_address", 10 ** (digits - 1))


# --- meta ---------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    """Return dicts and lists in turn, the outermost a dict."""
    value: Any = 1
    for level in reversed(range(levels)):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "meta",
    [
        {"company_name": "ACME"},
        {"a": None, "b": True, "c": 1, "d": 1.5, "e": [1, [2]], "f": {"g": {}}},
        {"Zoë": "\x00 is what JSON can say"},
        {"a": "x" * (LARGEST_META - 20)},
        MappingProxyType({"a": MappingProxyType({"b": 1})}),
    ],
)
def test_meta(meta: Any) -> None:
    """Meta is what JSON can say."""
    said = json.loads(json.dumps(meta, default=dict))
    assert json.loads(make(meta=meta).dumps())["meta"] == said


@pytest.mark.parametrize("meta", [None, {}])
def test_no_meta(meta: object) -> None:
    """No meta is no field."""
    assert make(meta=meta) == make()


@pytest.mark.parametrize(
    "meta",
    [
        "text",
        7,
        ["a"],
        [("a", 1)],
        {1: "a"},
        {None: "a"},
        {"a": {(1, 2): "a"}},
        {"a": object()},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": datetime(2026, 1, 1)},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": "\ud800"},
        {"\udfff": "a"},
        {"a": "x" * LARGEST_META},
    ],
)
def test_bad_meta(meta: object) -> None:
    """What JSON cannot say, or not shortly, is refused."""
    refused("meta", meta)


def test_deep_meta() -> None:
    """Meta goes so deep and no deeper, and the deepest comes back from the ledger."""
    deepest = make(meta=nested(DEEPEST_META))
    assert Conversion.loads(deepest.dumps()) == deepest
    for levels in (DEEPEST_META + 1, 300, 900, 1800):
        refused("meta", nested(levels))


def test_meta_that_holds_itself() -> None:
    """A dict that is in itself is refused."""
    meta: dict[str, Any] = {}
    meta["meta"] = meta
    refused("meta", meta)


# --- frozen -------------------------------------------------------------------------------------


def test_frozen() -> None:
    """A conversion never changes, nor does anything in it, nor with what it was made of."""
    meta: dict[str, Any] = {"a": {"b": [1]}}
    sub_ids = ["a"]
    conversion = make(meta=meta, sub_ids=sub_ids)
    meta["a"]["b"].append(2)
    sub_ids.append("b")
    assert conversion == make(meta={"a": {"b": [1]}}, sub_ids=["a"])
    with pytest.raises(FrozenInstanceError):
        conversion.email = "a@b.io"  # type: ignore[misc]  # that is the point
    held: list[Any] = [conversion.meta, conversion.meta["a"], make().meta]
    for mapping in held:
        with pytest.raises(TypeError):
            mapping["c"] = 1
    assert isinstance(conversion.meta["a"]["b"], tuple)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies(again: Callable[[Conversion], Conversion]) -> None:
    """A conversion is copied and pickled, also one with meta."""
    conversion = make(meta={"a": {"b": [1]}})
    assert again(conversion) == conversion
    assert hash(again(conversion)) == hash(conversion)


def test_as_dict() -> None:
    """``dataclasses.asdict`` gives what JSON can say, as a skip_if hook may want it."""
    said = json.loads(json.dumps(asdict(make(meta={"a": {"b": [1]}}))))
    assert said["meta"] == {"a": {"b": [1]}}


# --- the ledger's form --------------------------------------------------------------------------

plain = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), plain)
contents = st.recursive(
    leaves.filter(lambda leaf: leaf not in (float("inf"), float("-inf"))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(plain, inner, max_size=3)),
    max_leaves=8,
)
optional = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(TEXTS, plain),
        "ip_address": st.ip_addresses(),
        "sub_ids": st.lists(plain, max_size=5),
        "meta": st.dictionaries(plain, contents, max_size=4),
    },
)


@given(plain.filter(str.strip), st.from_regex(r"\A[0-9A-Za-z_-]{4,128}\Z"), optional)
def test_round_trip(customer_key: str, xid: str, known: dict[str, Any]) -> None:
    """What comes back from the ledger is what went in, whatever it held."""
    conversion = Conversion.of(customer_key=customer_key, xid=xid, **known)
    text = conversion.dumps()
    assert Conversion.loads(text) == conversion
    assert Conversion.loads(text).dumps() == text


def test_ledger_form() -> None:
    """The ledger's form is ours, versioned, and has what is known and nothing else."""
    assert make(email="a@b.io", sub_ids=["s"]).dumps() == (
        '{"v":1,"customer_key":"7f3e","xid":"Kvx64pph9uhCju","email":"a@b.io","sub_ids":["s"]}'
    )


def test_newer_form() -> None:
    """A newer version's fields are passed over, and so are those that it left empty."""
    newer = '{"v":2,"customer_key":"7f3e","xid":"Kvx64pph9uhCju","email":null,"colour":"red"}'
    assert Conversion.loads(newer) == make()


def test_older_rules() -> None:
    """What was good enough to be recorded is delivered, though today it would be refused."""
    text = json.dumps({"v": 1, "customer_key": "7f3e", "xid": XID, "name": "x" * 999})
    assert Conversion.loads(text).name == "x" * 999


def tampered() -> Iterator[str]:
    yield from ("", "null", "7", '"text"', "[]", "{}", "{", "\x00", "[" * 100_000)
    whole: dict[str, Any] = json.loads(make(email="a@b.io").dumps())
    for field in ("customer_key", "xid"):
        yield json.dumps({name: value for name, value in whole.items() if name != field})
    for field in ("customer_key", "xid", "email", "sub_ids", "meta"):
        for value in (7, True, "" if field in ("sub_ids", "meta") else ["a"]):
            yield json.dumps({**whole, field: value})
    yield make().dumps()[:-1]


@pytest.mark.parametrize("text", [*tampered()], ids=lambda text: text[:60])
def test_tampered_form(text: str) -> None:
    """What is not our form is a ValueError, never a conversion with holes."""
    with pytest.raises(ValueError, match=r".") as caught:
        Conversion.loads(text)
    assert "a@b.io" not in str(caught.value)


# --- kindness -----------------------------------------------------------------------------------


def test_without_invalid() -> None:
    """For a decorated view what can be reported is kept, and the rest is told of by name."""
    fields = {"email": " a@b.io ", "name": 7, "sub_ids": "abc", "colour": "red", "origin": ""}
    kept, complaints = without_invalid(fields)
    assert kept == {"email": "a@b.io", "origin": None}
    assert [complaint.partition(":")[0] for complaint in complaints] == [
        "name",
        "sub_ids",
        "colour",
    ]


def test_check_optional() -> None:
    """Fields are checked alone too, for what is not recorded."""
    assert check_optional({"email": " a@b.io "}) == {"email": "a@b.io"}


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        (None, None),
        ("", None),
        ("\x00\r\n", None),
        (" Mozilla/5.0\x00 (X11)\n ", "Mozilla/5.0 (X11)"),
        ("x" * 9999, "x" * 1024),
        ("a\ud800b", "ab"),
    ],
)
def test_cleaned_user_agent(given: str | None, cleaned: str | None) -> None:
    """What a browser says of itself is made fit to be reported, whatever it is."""
    assert cleaned_user_agent(given) == cleaned
    assert make(user_agent=cleaned_user_agent(given)).user_agent == cleaned
