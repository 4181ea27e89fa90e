"""A landing URL's query string → the click that it carries."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

import pytest

from flask_partnerstack import Referral
from flask_partnerstack.referral import EMPTY
from flask_partnerstack.referral import carries_two
from flask_partnerstack.referral import decorate
from flask_partnerstack.referral import read_query
from flask_partnerstack.referral.query import MOST_FIELDS
from flask_partnerstack.sandbox.links import Link

read = partial(
    read_query, xid_params=("ps_xid", "gsxid"), partner_key_params=("ps_partner_key", "gspk")
)


def test_click_is_read() -> None:
    """Both parameters, whatever stands between them, make one referral from the URL."""
    found = read("ps_partner_key=NTQ2YWI1Y2MzNGY4&gad_source=1&gclid=x&ps_xid=Kvx64pph9uhCju")

    assert found == Referral("Kvx64pph9uhCju", "546ab5cc34f8", source="url")


@pytest.mark.parametrize(
    "query", ["", "&&&", "utm_source=x", "ps_xid", "ps_xid=", "ps_xid=%3Cscript%3E"]
)
def test_nothing_of_ours_is_the_empty_referral(query: str) -> None:
    """A URL without a usable click gives the one empty referral."""
    assert read(query) is EMPTY


@pytest.mark.parametrize(
    ("query", "xid"),
    [
        ("gsxid=aaaa&ps_xid=bbbb", "bbbb"),
        ("ps_xid=bbbb&ps_xid=cccc", "cccc"),
        ("ps_xid=bbbb&ps_xid=%3C", "bbbb"),
        ("ps_xid=&ps_xid=cccc", "cccc"),
        ("ps_xid=a+b+c&gsxid=aaaa", "aaaa"),
        ("ps_xid=bbbb&amp;gsxid=aaaa", "bbbb"),
        ("x=1&amp;ps_xid=bbbb", "bbbb"),
        ("PS_XID=bbbb&gsxid=aaaa", "aaaa"),
        ("ps_xid=bbbb;gsxid=aaaa", None),
    ],
)
def test_last_valid_value_of_the_first_name_counts(query: str, xid: str | None) -> None:
    """The names count in their order, and per name the last valid value."""
    assert read(query).xid == xid


#: What a destination carries that was copied with somebody's click in it, and what a link appends.
OLD, NEW = "ps_xid=old1&ps_partner_key=Ym9i", "ps_xid=new1&ps_partner_key=YWRh"


@pytest.mark.parametrize(
    "query",
    [
        f"{OLD}&{NEW}",
        f"{OLD}&{NEW}&gsxid=new1&gspk=YWRh",
        f"{NEW}&gsxid=new1&gspk=YWRh&{OLD}",
        f"gsxid=new1&{NEW}&{OLD}",
        f"{OLD}&gsxid=old1&gspk=Ym9i&{NEW}&gsxid=new1&gspk=YWRh",
        f"{OLD}&{NEW}&gspk=YWRh",
        "gsxid=old1&gspk=Ym9i&gspk=YWRh&gsxid=new1",
    ],
)
def test_of_two_clicks_the_links_own_counts(query: str) -> None:
    """What the twin confirms, else what was appended; and the partner is the click's."""
    found = read(query)
    assert (found.xid, found.partner_key) == ("new1", "ada")


@pytest.mark.parametrize("version", [1, 2])
def test_destination_with_a_click_of_its_own(version: int) -> None:
    """A link whose destination was copied from a landing page is paid to whoever was clicked."""
    old = Link("https://acme.com/pricing?plan=team", "bob", "OldClick1", version=version).url
    new = Link(old, "ada", "NewClick1", version=version).url
    found = read(new.partition("?")[2])
    assert (found.xid, found.partner_key) == ("NewClick1", "ada")


@pytest.mark.parametrize(
    ("query", "rivals"),
    [
        (f"{OLD}&{NEW}", True),
        ("gsxid=old1&gsxid=new1", True),
        (f"{OLD}&{OLD}", False),
        (f"{OLD}&ps_xid=&ps_xid=%3C&xps_xid=new1", False),
        (f"{OLD}&gsxid=old1", False),
        ("", False),
    ],
)
def test_two_clicks_are_noticed(query: str, rivals: bool) -> None:
    """Two different ones under one name, not one twice."""
    assert carries_two(query, ("ps_xid", "gsxid")) is rivals


@pytest.mark.parametrize(
    "key",
    ["", "=", "x", "Nzg0ZGsdsZWYyMWRi", "%ff%fe", "\xff\xfe", "//79", "A" * 4096, "%00", "%F0%9F"],
)
def test_bad_partner_key_never_costs_the_click(key: str) -> None:
    """Whatever stands for the partner key, the xid is kept."""
    assert read(f"ps_partner_key={key}&ps_xid=Kvx64pph9uhCju").xid == "Kvx64pph9uhCju"


def test_second_partner_key_stands_in_for_a_bad_one() -> None:
    """A partner key that cannot even be printed gives way to its twin."""
    assert read("ps_partner_key=%00&gspk=ZGlkZGx5Mjk2NQ&ps_xid=bbbb").partner_key == "diddly2965"


@pytest.mark.parametrize("given", ["Ym9iP3h+", "Ym9iP3h%2B", "Ym9iP3h%20"])
def test_plus_at_the_end_of_a_partner_key(given: str) -> None:
    """A plus that nobody escaped arrives as a space and is read as the plus that it was."""
    assert read(f"ps_xid=bbbb&ps_partner_key={given}").partner_key == "bob?x~"
    assert read(f"ps_partner_key={given}&ps_xid=bbbb").partner_key == "bob?x~"


def test_sub_ids_keep_the_links_order() -> None:
    """Every sid counts, in the order of the link, and what looks like one does not."""
    found = read("sid2=b&ps_xid=bbbb&sid=1-g-Cj0&sid1=Z%C3%BCrich&sidecar=x&sid100=y&SID=z")

    assert found.sub_ids == ("b", "1-g-Cj0", "Zürich")


@pytest.mark.parametrize("sub_id", ["x" * 4096, "%0A", "+", ""])
def test_bad_sub_id_is_left_out(sub_id: str) -> None:
    """A sub ID that cannot be reported costs neither the click nor the other sub IDs."""
    found = read(f"sid={sub_id}&sid1=c001&ps_xid=bbbb")

    assert (found.xid, found.sub_ids) == ("bbbb", ("c001",))


def test_sub_ids_without_a_click_are_nothing() -> None:
    """A sub ID alone refers nobody."""
    assert read("sid=c001") is EMPTY


@pytest.mark.parametrize("noise", ["caf\xe9", "%E9", "%", "%zz", "\x00", "\u20ac"])
def test_bytes_that_are_no_text_do_no_harm(noise: str) -> None:
    """Bytes that are not UTF-8, in another parameter, cost nothing."""
    assert read(f"utm_term={noise}&ps_xid=bbbb").xid == "bbbb"


def test_raw_utf8_is_read() -> None:
    """A browser's unescaped UTF-8, which WSGI hands on byte by byte, is put together again."""
    raw = "Zürich".encode().decode("latin-1")

    assert read(f"ps_xid=bbbb&sid={raw}").sub_ids == ("Zürich",)
    assert read(f"ps_xid=bbbb&sid={quote('Zürich')}").sub_ids == ("Zürich",)


@pytest.mark.parametrize(("before", "found"), [(MOST_FIELDS - 1, True), (MOST_FIELDS, False)])
def test_number_of_fields_is_bounded(before: int, found: bool) -> None:
    """A query string made to keep us busy is read no further than a bound."""
    assert bool(read("a=1&" * before + "ps_xid=bbbb")) is found


def test_names_are_the_apps_to_choose() -> None:
    """A program that puts the click elsewhere says where, best first."""
    query = "utm_campaign=aaaa&cid=bbbb&who=ZGlkZGx5Mjk2NQ&ps_xid=cccc&ps_partner_key=x"
    found = read_query(query, ("cid", "utm_campaign"), ("who",))

    assert (found.xid, found.partner_key) == ("bbbb", "diddly2965")


@pytest.mark.parametrize("query", ["ps%5Fxid=abcd", "a=1&amp%3Bps_xid=abcd", "ps%5fxid=abcd&%=1"])
def test_encoded_name_is_read(query: str) -> None:
    """A name is decoded as its value is, whoever encoded more of it than they had to."""
    assert read(query).xid == "abcd"
    assert carries_two(f"{query}&ps%5Fxid=other", ("ps_xid",))


@pytest.mark.parametrize("name", ["click[id]", "a:b", "x~(y)*", "ps_xid"])
def test_decorated_url_is_read_whatever_the_name(name: str) -> None:
    """What decorate_url writes for a name of the app's, read_query reads, and replaces."""
    url = decorate("/?a=1", Referral("abcd"), (name,), ("who",))
    again = decorate(url, Referral("other"), (name,), ("who",))

    assert read_query(url.partition("?")[2], (name,), ("who",)).xid == "abcd"
    assert again == url.replace("abcd", "other")
