from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

import pytest

from flask_partnerstack.sandbox.page import ago
from flask_partnerstack.sandbox.presets import PRESETS

from .conftest import Visitor


def page(visitor: Visitor) -> str:
    """The page's text, tags taken out and white space made one."""
    markup = visitor.client.get("/").text
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def test_empty_page(visitor: Visitor) -> None:
    """A new sandbox says that all is well, and how to begin."""
    shown = page(visitor)

    assert "All is well" in shown
    assert "No conversion yet" in shown
    assert "No click yet" in shown
    assert "PARTNERSTACK_CONVERSION_URL=http://localhost/conversion/xid" in shown


def test_page_shows_what_came(visitor: Visitor) -> None:
    """Conversions stand newest first, with partner, key, xid, e-mail, status and duplicates."""
    visitor.click("/l/troycooper1364")
    xid = visitor.show("clicks")[0]["xid"]
    visitor.send("one", xid=xid, email="ann@acme.test")
    visitor.send("one", xid=xid)
    visitor.break_(conversion={"status": 503})
    visitor.send("two")
    shown = page(visitor)

    assert re.search(r"503 not accepted .* two .* 200 duplicate .* 200 accepted", shown)
    assert f"one ann@acme.test troycooper1364 {xid}" in shown
    assert "Something is broken on purpose Conversions answers 503" in shown
    assert "Duplicates 1" in shown


def test_page_shows_what_is_no_conversion(visitor: Visitor) -> None:
    """A body that could not be read is shown with its reason, and breaks nothing."""
    visitor.client.post("/conversion/xid", data=b"\xff")

    assert "401 not accepted just now no customer key no click of ours Unauthorized" in page(
        visitor
    )


def test_page_shows_half_a_letter(visitor: Visitor) -> None:
    """What JSON can say and no page can, a lone surrogate, is shown as JSON says it."""
    assert visitor.send("a\ud800b", email="\udfff@acme.test").status_code == 200

    assert r"a\ud800b \udfff@acme.test" in page(visitor)


def test_page_shows_silence(visitor: Visitor) -> None:
    """A request that got no answer says so."""
    visitor.break_(conversion={"drop": "after"})
    with pytest.raises(ConnectionAbortedError):
        visitor.send()

    assert "no answer accepted" in page(visitor)


def test_page_shows_the_newest_hundred(visitor: Visitor) -> None:
    """Of many, the last hundred are shown and all are counted."""
    for number in range(102):
        visitor.send(f"customer-{number}")
    shown = page(visitor)

    assert "customer-2 " in shown
    assert "customer-1 " not in shown
    assert "Requests 102" in shown


def test_everything_is_escaped(visitor: Visitor) -> None:
    """Markup in any field that a stranger fills is shown, never obeyed."""
    evil = "<script>alert('x')</script>\"><img src=x>"
    visitor.client.get("/l/%3Cscript%3E%22%3E")
    visitor.send(evil, xid=evil, email=evil)
    visitor.break_(conversion={"body": evil, "keys": [evil]})
    visitor.send(evil)
    markup = visitor.client.get("/").text

    assert "<script" not in markup
    assert "<img" not in markup
    assert markup.count("&lt;script&gt;") >= 5


def test_page_needs_nothing_from_elsewhere(visitor: Visitor) -> None:
    """The policy forbids scripts and foreign assets, the page has neither, its style is served."""
    response = visitor.client.get("/")
    policy = response.headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert "style=" not in response.text
    (sheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', response.text)
    with visitor.client.get(sheet) as style:
        assert style.mimetype == "text/css"


def test_live_page_reloads(visitor: Visitor) -> None:
    """The page keeps itself fresh only when asked."""
    assert "http-equiv" not in visitor.client.get("/").text
    assert '<meta http-equiv="refresh" content="3">' in visitor.client.get("/?live=1").text


def test_forms_break_and_mend(visitor: Visitor) -> None:
    """A fault is switched on with times and key, and off, from the page."""
    form = {"preset": "down", "on": "conversion", "times": "2", "key": "42"}
    response = visitor.client.post("/faults", data=form)

    assert (response.status_code, response.headers["Location"]) == (303, "/")
    fault = {"status": 503, "times": 2, "keys": ["42"]}
    assert visitor.show("faults")["conversion"] == [fault]

    visitor.client.post("/faults/clear")
    assert visitor.show("faults")["conversion"] == []


@pytest.mark.parametrize("preset", [preset.name for preset in PRESETS])
def test_every_preset_can_be_chosen(visitor: Visitor, preset: str) -> None:
    """What the page offers can be switched on, on one target at least."""
    answers = [
        visitor.client.post("/faults", data={"preset": preset, "on": target}).status_code
        for target in ("conversion", "api")
    ]

    assert 303 in answers


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"preset": "x"}, "preset: expected one of the list, got 'x'"),
        ({"preset": "down", "on": "x"}, "on: expected conversion or api, got 'x'"),
        ({"preset": "down", "times": "-1"}, "times: expected a whole number or nothing, got '-1'"),
        ({"preset": "down", "times": "0"}, "times: expected a whole number, 1 or more, got 0"),
    ],
)
def test_bad_form(visitor: Visitor, form: dict[str, str], message: str) -> None:
    """A form that makes no sense is answered with 400 and the field's name."""
    response = visitor.client.post("/faults", data=form)

    assert (response.status_code, response.get_json()["message"]) == (400, message)


@pytest.mark.parametrize("target", ["conversion", "api"])
def test_lag_finds_its_target(visitor: Visitor, target: str) -> None:
    """Only look-ups have a lag, so the page puts it there, whatever else its form says."""
    visitor.client.post("/faults", data={"preset": "lag", "on": target})

    assert [len(visitor.show("faults")[name]) for name in ("conversion", "api")] == [0, 1]


def test_form_clears(visitor: Visitor) -> None:
    """The page's last button forgets everything."""
    visitor.send()
    visitor.client.post("/clear")

    assert visitor.show("received") == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "just now"), (59, "59 s ago"), (60, "1 min ago"), (7200, "2 h ago"), (90000, "1 d ago")],
)
def test_ago(seconds: float, said: str) -> None:
    """Time is told in the largest unit that fits."""
    assert ago(seconds) == said


def test_printed_settings_fit(visitor: Visitor) -> None:
    """What an app is pointed at, as printed, is where the sandbox answers."""
    page = visitor.client.get("/").text
    printed = dict(re.findall(r"PARTNERSTACK_(\w+)=(\S+?)(?:\n|</pre>)", page))
    paths = {key: urlsplit(value).path for key, value in printed.items() if key.endswith("_URL")}
    assert paths == {"CONVERSION_URL": "/conversion/xid", "API_URL": "", "SCRIPT_URL": "/pr/js"}
    visitor.send(customer_key="42")
    assert visitor.look_up("42").status_code == 200
    script = visitor.client.get(paths["SCRIPT_URL"])
    assert script.status_code == 200
    script.close()
