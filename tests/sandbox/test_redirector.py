from __future__ import annotations

import base64
import re
from urllib.parse import parse_qs
from urllib.parse import parse_qsl
from urllib.parse import urlsplit

import pytest

from .conftest import Visitor


def query(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def test_new_link_gives_both_generations_of_parameters(visitor: Visitor) -> None:
    """A V2 link carries the xid and the partner key twice, and the link's domain."""
    landed = query(visitor.click("/l/diddly2965"))

    assert list(landed) == ["pscd", "ps_partner_key", "ps_xid", "gsxid", "gspk"]
    assert re.fullmatch(r"[0-9A-Za-z]{14}", landed["ps_xid"])
    assert landed["gsxid"] == landed["ps_xid"]
    assert landed["ps_partner_key"] == landed["gspk"] == "ZGlkZGx5Mjk2NQ"
    assert landed["pscd"] == "localhost"


@pytest.mark.parametrize(
    ("padding", "written"),
    [
        ("", "QW5kcmV3SHVhbmc%3D"),
        ("&padding=plain", "QW5kcmV3SHVhbmc="),
        ("&padding=none", "QW5kcmV3SHVhbmc"),
    ],
)
def test_old_link_gives_two_parameters(visitor: Visitor, padding: str, written: str) -> None:
    """A V1 link carries gspk, padded as asked for, and a gsxid of 12 characters."""
    landed = visitor.click(f"/l/AndrewHuang?v=1{padding}")

    assert re.search(rf"\?gspk={written}&gsxid=[0-9A-Za-z]{{12}}$", landed)


def test_partner_key_in_any_script(visitor: Visitor) -> None:
    """A partner key outside of ASCII arrives as the base64 of its UTF-8."""
    key = query(visitor.click("/l/zo%C3%AB"))["gspk"]

    assert base64.b64decode(key + "==").decode() == "zoë"


def test_landing_url_keeps_its_query_and_fragment(visitor: Visitor) -> None:
    """What the landing URL says stays as it was, in front of what the link adds."""
    landed = visitor.click("/l/ann?to=https://acme.test/a?b=%2525%26c%23top")

    assert landed.startswith("https://acme.test/a?b=%25&c&pscd=")
    assert landed.endswith("#top")


def test_landing_comes_from_the_settings(make_visitor: type[Visitor]) -> None:
    """Without ?to= the configured landing URL is used, with a path if it had none."""
    visitor = make_visitor(landing="https://acme.test")

    assert visitor.click("/l/ann").startswith("https://acme.test/?pscd=")


def test_landing_url_may_ask_by_name(visitor: Visitor) -> None:
    """The placeholders of a programme's own parameters are filled."""
    landed = query(visitor.click("/l/a%20b?to=http://acme.test/?who={partner_key}%26what={xid}"))

    assert landed["who"] == "a b"
    assert landed["what"] == landed["ps_xid"]


def test_sub_ids_and_campaign_are_forwarded(visitor: Visitor) -> None:
    """Sub IDs and utm_* reach the landing URL; other parameters do not."""
    landed = query(visitor.click("/l/ann?sid=c%26d&sid1=%C3%A9&sidx=no&utm_source=news&x=1"))

    assert {name: landed.get(name) for name in ("sid", "sid1", "utm_source")} == {
        "sid": "c&d",
        "sid1": "é",
        "utm_source": "news",
    }
    assert not {"x", "sidx", "v", "to"} & set(landed)


def test_old_link_forwards_too(visitor: Visitor) -> None:
    """A V1 link appends what is forwarded after its own two."""
    assert list(query(visitor.click("/l/ann?v=1&sid=c"))) == ["gspk", "gsxid", "sid"]


def test_no_cookies_unless_asked(visitor: Visitor) -> None:
    """The redirector sets its own cookies only with ?cookies=1."""
    assert "Set-Cookie" not in visitor.client.get("/l/ann").headers


def test_cookies_of_the_redirector(visitor: Visitor) -> None:
    """The names carry the programme's mark and the click's, the values are plain."""
    response = visitor.client.get("/l/ann?cookies=1")
    cookies = dict(line.split(";")[0].split("=") for line in response.headers.getlist("Set-Cookie"))
    xid = parse_qs(response.headers["Location"])["ps_xid"][0]

    names = sorted(cookies, key=len)
    assert re.fullmatch(r"_grsmpk[0-9A-Za-z]{8}", names[0])
    mark = names[0].removeprefix("_grsmpk")
    assert re.fullmatch(rf"_gsxid{mark}[0-9A-Za-z]{{4}}", names[1])
    assert re.fullmatch(rf"_ps_xid_{mark}_[0-9A-Za-z]{{4}}", names[2])
    assert names[3] == f"_ps_partner_key_{mark}"
    assert [cookies[name] for name in names] == ["ann", xid, xid, "ann"]


def test_click_is_remembered(visitor: Visitor) -> None:
    """The click's xid, partner, version and time are kept, and the redirect is not cached."""
    response = visitor.client.get("/l/ann?v=1")
    (click,) = visitor.show("clicks")

    assert response.headers["Cache-Control"] == "no-store"
    assert f"gsxid={click['xid']}" in response.headers["Location"]
    assert (click["partner_key"], click["version"]) == ("ann", 1)
    assert click["at"] > 1_700_000_000


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "to=ftp://acme.test",
            "to: expected an http or https URL with a host, got 'ftp://acme.test'",
        ),
        ("v=3", "v: expected 1 or 2, got '3'"),
        ("padding=x", "padding: expected encoded or plain or none, got 'x'"),
    ],
)
def test_bad_link(visitor: Visitor, asked: str, message: str) -> None:
    """What a link cannot be is said with 400, and makes no click."""
    response = visitor.client.get(f"/l/ann?{asked}")

    assert response.status_code == 400
    assert response.get_json() == {"message": message, "status": 400}
    assert visitor.show("clicks") == []
