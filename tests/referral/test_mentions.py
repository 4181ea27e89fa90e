"""A raw query string and Cookie header → whether one of our names may be in there."""

from __future__ import annotations

import re
from urllib.parse import quote
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_partnerstack.referral import looking_for
from flask_partnerstack.referral.mentions import pieces_of

PARAMS = ("ps_xid", "gsxid", "ps_partner_key", "gspk")
COOKIES = ("partnerstack_referral", "ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey")
#: What the configuration takes in a parameter's name.
ALLOWED = "".join(c for c in map(chr, range(33, 127)) if c not in ',;="\\&?#%+')
NAMES = st.lists(st.text("abc_", min_size=1, max_size=8), min_size=1, max_size=5)

mentions = looking_for(PARAMS, COOKIES)


@pytest.mark.parametrize("name", PARAMS)
def test_parameter_is_seen(name: str) -> None:
    """Each of the parameters is noticed, wherever it stands."""
    assert mentions(f"page=2&{name}=abcd", None)


@pytest.mark.parametrize("name", ["ps%5Fxid", "ps%5fpartner%5fkey", "amp%3Bgsxid"])
def test_encoded_parameter_is_seen(name: str) -> None:
    """A mailer that encodes more of a link than it has to hides no parameter."""
    assert mentions(f"page=2&{name}=abcd", None)
    assert not mentions("page=%20&xid%5F=abcd", None)


@given(st.text(ALLOWED, min_size=1, max_size=8))
def test_encoded_name_of_the_apps_is_seen(name: str) -> None:
    """A name that the configuration takes is noticed as whoever writes it writes it."""
    escaped = quote_plus(name)
    in_lower_case = re.sub("%..", lambda found: found[0].lower(), escaped)
    for sent in (name, escaped, in_lower_case, quote(name, safe="*").replace("~", "%7E")):
        assert looking_for((name,), COOKIES)(f"a=1&{sent}=abcd", None)


@pytest.mark.parametrize("name", [*COOKIES, "_ps_xid_demo", "_gsxid7", "_ps_partner_key_demo"])
def test_cookie_is_seen(name: str) -> None:
    """Each of the cookies is noticed, among others, and the redirector's by what they contain."""
    assert mentions(None, f"session=abc; {name}=abcd; theme=dark")


@pytest.mark.parametrize(
    ("query", "cookies"),
    [
        (None, None),
        ("", ""),
        ("page=2&sort=price", "session=abc; theme=dark"),
        ("taxid=12", "exid=1; partner=yes; PartnerId=2"),
        ("partnerstack_referral=x", "gspk=x"),
    ],
)
def test_nothing_of_ours_is_not_seen(query: str | None, cookies: str | None) -> None:
    """Foreign names are not taken for ours, also where they share letters with them."""
    assert not mentions(query, cookies)


def test_common_piece_is_searched_once() -> None:
    """What several names share is one search in the place of several."""
    assert pieces_of(COOKIES) == ("artner", "xid")


@given(NAMES, st.text("abc_=&", max_size=30))
def test_same_as_searching_each_name(names: list[str], text: str) -> None:
    """Whatever the names and the text are, the answer is that of one search for each name."""
    found = looking_for(tuple(names), tuple(names))
    expected = any(name in text for name in names)

    assert (found(text, None), found(None, text)) == (expected, expected)
