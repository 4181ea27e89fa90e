"""Which of a visitor's clicks counts, and whether it is new to us."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest

from flask_partnerstack import Referral
from flask_partnerstack.referral import EMPTY
from flask_partnerstack.referral import Attribution
from flask_partnerstack.referral import Clicks
from flask_partnerstack.referral import Memory

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
WINDOW = timedelta(days=90)
LAST = Attribution("last", WINDOW)
FIRST = Attribution("first", WINDOW)

URL = Referral("url1", "ann", source="url")
SCRIPT = Referral("script1", "bob", source="partnerstackjs")
REDIRECTOR = Referral("redir1", "cid", source="redirector")
OURS = Referral("ours1", "dan", NOON - timedelta(days=1), source="cookie")
EXPIRED = Referral("ours1", "dan", NOON - timedelta(days=90), source="cookie")


@pytest.mark.parametrize(
    ("clicks", "winner"),
    [
        (Clicks(URL, Memory(OURS, "old1"), SCRIPT, REDIRECTOR), "url1"),
        (Clicks(EMPTY, Memory(OURS, "old1"), SCRIPT, REDIRECTOR), "script1"),
        (Clicks(EMPTY, Memory(OURS), SCRIPT, REDIRECTOR), "script1"),
        (Clicks(EMPTY, Memory(OURS, "script1"), SCRIPT, REDIRECTOR), "ours1"),
        (Clicks(EMPTY, Memory(OURS), EMPTY, REDIRECTOR), "ours1"),
        (Clicks(EMPTY, None, SCRIPT, REDIRECTOR), "script1"),
        (Clicks(EMPTY, None, EMPTY, REDIRECTOR), "redir1"),
        (Clicks(EMPTY, Memory(EXPIRED), EMPTY, REDIRECTOR), "redir1"),
        (Clicks(URL, Memory(EXPIRED), EMPTY, EMPTY), "url1"),
    ],
)
def test_last_click_wins(clicks: Clicks, winner: str) -> None:
    """URL, then a changed PartnerStackJS cookie, then ours, then the redirector's."""
    assert LAST.decide(clicks, NOON)[0].xid == winner


def test_new_click_is_remembered_with_what_went_before() -> None:
    """A new click's time is our first sight of it, and the one before is superseded."""
    referral, memory = LAST.decide(Clicks(URL, Memory(OURS, None, ("aaaa",)), SCRIPT), NOON)

    assert referral == Referral("url1", "ann", NOON, (), "url")
    assert memory == Memory(referral, "script1", ("ours1", "aaaa"))


def test_first_click_of_all_supersedes_none() -> None:
    """A visitor's first click has nothing before it."""
    referral, memory = LAST.decide(Clicks(URL), NOON)

    assert memory == Memory(referral, None, ())


@pytest.mark.parametrize("policy", [LAST, FIRST])
@pytest.mark.parametrize("xid", ["ours1", "aaaa", "script1"])
def test_known_click_is_not_new(policy: Attribution, xid: str) -> None:
    """The Back button reloads an old landing URL: what counts goes on counting from its click."""
    memory = Memory(OURS, "script1", ("aaaa", "bbbb"))

    assert policy.decide(Clicks(Referral(xid, source="url"), memory), NOON) == (OURS, None)


def test_superseded_clicks_are_bounded_and_distinct() -> None:
    """Five earlier clicks are remembered, newest first, each once, the new one not among them."""
    memory = Memory(OURS, "ours1", ("aaaa", "bbbb", "cccc", "dddd", "eeee"))
    remembered = LAST.decide(Clicks(URL, memory), NOON)[1]

    assert remembered is not None
    assert remembered.superseded == ("ours1", "aaaa", "bbbb", "cccc", "dddd")


def test_click_that_the_script_had_is_not_forgotten() -> None:
    """What PartnerStackJS's cookie once said stays known when two newer clicks have come."""
    second = LAST.decide(Clicks(URL, Memory(OURS, "script1")), NOON)[1]

    assert LAST.decide(Clicks(EMPTY, second, SCRIPT), NOON)[1] is None


@pytest.mark.parametrize("source", ["url", "partnerstackjs", "redirector"])
def test_expired_click_does_not_rise_again(source: str) -> None:
    """An expired click is known as expired wherever it shows up again."""
    again = Referral("ours1", "dan", source=source)
    for clicks in (
        Clicks(again, Memory(EXPIRED)),
        Clicks(EMPTY, Memory(EXPIRED), again),
        Clicks(EMPTY, Memory(EXPIRED), EMPTY, again),
    ):
        assert LAST.decide(clicks, NOON) == (EMPTY, None)
        assert FIRST.decide(clicks, NOON) == (EMPTY, None)


@pytest.mark.parametrize("clicks", [Clicks(URL, Memory(OURS)), Clicks(EMPTY, Memory(OURS), SCRIPT)])
def test_first_click_wins_over_all(clicks: Clicks) -> None:
    """With "first", an unexpired click of ours stands against every newer one."""
    assert FIRST.decide(clicks, NOON) == (OURS, None)


def test_first_click_gives_way_when_it_expired() -> None:
    """With "first", the next click after the window is the first again."""
    referral, memory = FIRST.decide(Clicks(URL, Memory(EXPIRED)), NOON)

    assert referral.xid == "url1"
    assert memory is not None
    assert memory.superseded == ("ours1",)


def test_partner_key_alone_is_a_greeting() -> None:
    """A partner key without a click is shown, and neither kept nor dated."""
    named = Referral(partner_key="ann")

    assert LAST.decide(Clicks(url=named), NOON) == (named, None)
    assert LAST.decide(Clicks(script=named), NOON) == (named, None)
    assert LAST.decide(Clicks(named, Memory(OURS), named), NOON) == (OURS, None)


def test_nobody_is_the_empty_referral() -> None:
    """Without a click there is one empty referral and nothing to remember."""
    referral, memory = LAST.decide(Clicks(), NOON)

    assert referral is EMPTY
    assert memory is None
