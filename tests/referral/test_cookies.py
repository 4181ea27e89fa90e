"""PartnerStack's own cookies → the clicks that they remember."""

from __future__ import annotations

import pytest

from flask_partnerstack import Referral
from flask_partnerstack.referral import EMPTY
from flask_partnerstack.referral import read_redirector_cookies
from flask_partnerstack.referral import read_script_cookies

REDIRECTED = [
    ("_ps_xid_UhXtEvJi_Bmh5", "Z8OxobitTIo5LQ"),
    ("_ps_partner_key_UhXtEvJi", "editorialdepartment9381"),
    ("_gsxidUhXtEvJiWwDK", "Z8OxobitTIo5LQ"),
    ("_grsmpkUhXtEvJi", "editorialdepartment9381"),
]


def test_script_cookies_are_read() -> None:
    """PartnerStackJS's values are plain: nothing is decoded."""
    found = read_script_cookies(
        [("ps_partner_key", "ZGlkZGx5Mjk2NQ"), ("ps_xid", "Kvx64pph9uhCju")]
    )

    assert found == (Referral("Kvx64pph9uhCju", "ZGlkZGx5Mjk2NQ", source="partnerstackjs"),)


@pytest.mark.parametrize(
    ("cookies", "xid", "partner_key"),
    [
        ([("gsxid", "aaaa"), ("ps_xid", "bbbb")], "bbbb", None),
        ([("gsxid", "aaaa"), ("ps_xid", "<x>")], "aaaa", None),
        ([("ps_xid", "bbbb"), ("ps_xid", "cccc")], "bbbb", None),
        ([("growSumoPartnerKey", "old"), ("ps_partner_key", "new")], None, "new"),
        ([("growSumoPartnerKey", "old"), ("ps_partner_key", "")], None, "old"),
        ([("ps_partner_key", "a\x00b"), ("ps_xid", "bbbb")], "bbbb", None),
    ],
)
def test_newer_name_counts(
    cookies: list[tuple[str, str]], xid: str | None, partner_key: str | None
) -> None:
    """The newer name comes first, and a bad value gives way to a good one."""
    found = read_script_cookies(cookies)[0]

    assert (found.xid, found.partner_key) == (xid, partner_key)


@pytest.mark.parametrize(
    ("cookies", "clicks"),
    [
        ("ps_xid=aaaa; ps_xid=bbbb", [("aaaa", None), ("bbbb", None)]),
        ("ps_xid=aaaa; ps_xid=aaaa; gsxid=aaaa; ps_partner_key=ann", [("aaaa", "ann")]),
        (
            "ps_xid=aaaa; ps_partner_key=ann; ps_xid=bbbb; ps_partner_key=bob",
            [("aaaa", "ann"), ("bbbb", "bob")],
        ),
        ("ps_xid=aaaa; ps_xid=bbbb; ps_partner_key=ann", [("aaaa", None), ("bbbb", None)]),
        (
            "gsxid=old1; growSumoPartnerKey=ann; ps_xid=new1; ps_partner_key=bob",
            [("new1", "bob"), ("old1", "ann")],
        ),
    ],
)
def test_copies_of_one_cookie(cookies: str, clicks: list[tuple[str, str | None]]) -> None:
    """Where the apex and a subdomain both have the cookie, each click is read, with its partner."""
    pairs = [(name, value) for name, _, value in (c.partition("=") for c in cookies.split("; "))]
    found = read_script_cookies(pairs)

    assert [(referral.xid, referral.partner_key) for referral in found] == clicks


@pytest.mark.parametrize("cookies", [[], [("session", "x")], [("ps_xid", "")], [("pscd", "a.com")]])
def test_no_click_is_the_empty_referral(cookies: list[tuple[str, str]]) -> None:
    """Without a usable value there is nobody who referred."""
    assert read_script_cookies(cookies) == ()
    assert read_redirector_cookies(cookies) is EMPTY


def test_redirectors_one_click_is_read() -> None:
    """Two names of one click are one click."""
    found = read_redirector_cookies(REDIRECTED)

    assert found == Referral("Z8OxobitTIo5LQ", "editorialdepartment9381", source="redirector")


def test_two_clicks_are_nobodys() -> None:
    """Between two of the redirector's clicks nobody can tell the newer."""
    assert read_redirector_cookies([*REDIRECTED, ("_ps_xid_UhXtEvJi_Xy12", "bbbb")]) is EMPTY


def test_two_partner_keys_leave_the_click() -> None:
    """Between two partner keys nobody can choose, but the click is one."""
    found = read_redirector_cookies([*REDIRECTED, ("_ps_partner_key_Other123", "somebody")])

    assert (found.xid, found.partner_key) == ("Z8OxobitTIo5LQ", None)


def test_click_without_a_partner_key_is_one() -> None:
    """The redirector's xid is enough."""
    assert read_redirector_cookies(REDIRECTED[:1]).xid == "Z8OxobitTIo5LQ"


def test_partner_key_without_a_click_is_none() -> None:
    """The redirector's partner key alone says nothing of when."""
    assert read_redirector_cookies(REDIRECTED[1:2]) is EMPTY
