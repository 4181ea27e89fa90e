"""The stand-in for PartnerStackJS, as far as its host goes; what it does is in tests/browser."""

from __future__ import annotations

from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest

from .conftest import Visitor

SHOP = "http://www.shop.localhost:5000"


def xid_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["ps_xid"][0]


@pytest.mark.parametrize("path", ["/pr/js", "/v1/"])
def test_script_is_at_both_addresses(visitor: Visitor, path: str) -> None:
    """A link domain of one's own serves it, and so does the shared host."""
    answer = visitor.client.get(path)
    assert answer.mimetype == "text/javascript"
    assert "growsumo" in answer.text
    answer.close()


def test_one_click_of_the_redirector_is_recovered(visitor: Visitor) -> None:
    """With the redirector's cookies of one click the script is told of it."""
    xid = xid_of(visitor.click("/l/ada?cookies=1"))
    answer = visitor.client.get("/pr/grc/pk_sandbox", headers={"Origin": SHOP})

    assert answer.get_json() == {"xid": xid, "partner_key": "ada"}
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize("clicks", [0, 2])
def test_no_click_or_two_are_not_recovered(visitor: Visitor, clicks: int) -> None:
    """Between two clicks nobody can choose."""
    for _ in range(clicks):
        visitor.click("/l/ada?cookies=1")
    assert visitor.client.get("/pr/grc/pk_sandbox").get_json() == {}


def test_pages_elsewhere_learn_nothing(visitor: Visitor) -> None:
    """Only pages of this machine's sites may read the answer."""
    answer = visitor.client.get("/pr/grc/pk", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_signup_of_a_page_is_remembered(visitor: Visitor) -> None:
    """What createSignup reports is shown, so that a test can see that nobody called it."""
    visitor.client.get("/pr/signup/pk_sandbox?customer_key=42&xid=abcd")

    (signup,) = visitor.show("page-signups")
    assert signup["data"] == {"customer_key": "42", "xid": "abcd"}
    visitor.client.post("/_sandbox/clear")
    assert visitor.show("page-signups") == []


@pytest.mark.parametrize(
    ("host", "domain"),
    [("try.shop.localhost", "shop.localhost"), ("shop.localhost", None), ("127.0.0.1", None)],
)
def test_link_domain_of_the_merchants_own(visitor: Visitor, host: str, domain: str | None) -> None:
    """Below the merchant's domain, the redirector's cookies are seen on the whole of it."""
    answer = visitor.client.get("/l/ada?cookies=1", headers={"Host": f"{host}:8787"})
    cookies = answer.headers.getlist("Set-Cookie")

    assert len(cookies) == 4
    assert all((f"Domain={domain}" in cookie) is (domain is not None) for cookie in cookies)
