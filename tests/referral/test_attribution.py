"""Which of a visitor's clicks counts, and whether it is new to us."""

from __future__ import annotations

from dataclasses import replace
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


def seen(
    url: Referral = EMPTY,
    memory: Memory | None = None,
    script: Referral = EMPTY,
    redirector: Referral = EMPTY,
) -> Clicks:
    """Return the clicks of a browser that has one cookie of each name."""
    memories = (memory,) if memory is not None else ()
    return Clicks(url, memories, (script,) if script else (), redirector)


@pytest.mark.parametrize(
    ("clicks", "winner"),
    [
        (seen(URL, Memory(OURS, "old1"), SCRIPT, REDIRECTOR), "url1"),
        (seen(EMPTY, Memory(OURS, "old1"), SCRIPT, REDIRECTOR), "script1"),
        (seen(EMPTY, Memory(OURS), SCRIPT, REDIRECTOR), "script1"),
        (seen(EMPTY, Memory(OURS, "script1"), SCRIPT, REDIRECTOR), "ours1"),
        (seen(EMPTY, Memory(OURS), EMPTY, REDIRECTOR), "ours1"),
        (seen(EMPTY, None, SCRIPT, REDIRECTOR), "script1"),
        (seen(EMPTY, None, EMPTY, REDIRECTOR), "redir1"),
        (seen(EMPTY, Memory(EXPIRED), EMPTY, REDIRECTOR), "redir1"),
        (seen(URL, Memory(EXPIRED), EMPTY, EMPTY), "url1"),
    ],
)
def test_last_click_wins(clicks: Clicks, winner: str) -> None:
    """URL, then a changed PartnerStackJS cookie, then ours, then the redirector's."""
    assert LAST.decide(clicks, NOON)[0].xid == winner


def test_new_click_is_remembered_with_what_went_before() -> None:
    """A new click's time is our first sight of it, and the one before is superseded."""
    referral, memory = LAST.decide(seen(URL, Memory(OURS, None, ("aaaa",)), SCRIPT), NOON)

    assert referral == Referral("url1", "ann", NOON, (), "url")
    assert memory == Memory(referral, "script1", ("ours1", "aaaa"))


def test_first_click_of_all_supersedes_none() -> None:
    """A visitor's first click has nothing before it."""
    referral, memory = LAST.decide(seen(URL), NOON)

    assert memory == Memory(referral, None, ())


@pytest.mark.parametrize("policy", [LAST, FIRST])
@pytest.mark.parametrize("xid", ["ours1", "aaaa", "script1"])
def test_known_click_is_not_new(policy: Attribution, xid: str) -> None:
    """The Back button reloads an old landing URL: what counts goes on counting from its click."""
    memory = Memory(OURS, "script1", ("aaaa", "bbbb"))

    assert policy.decide(seen(Referral(xid, source="url"), memory), NOON) == (OURS, None)


def test_superseded_clicks_are_bounded_and_distinct() -> None:
    """Five earlier clicks are remembered, newest first, each once, the new one not among them."""
    memory = Memory(OURS, "ours1", ("aaaa", "bbbb", "cccc", "dddd", "eeee"))
    remembered = LAST.decide(seen(URL, memory), NOON)[1]

    assert remembered is not None
    assert remembered.superseded == ("ours1", "aaaa", "bbbb", "cccc", "dddd")


def test_click_that_the_script_had_is_not_forgotten() -> None:
    """What PartnerStackJS's cookie once said stays known when two newer clicks have come."""
    second = LAST.decide(seen(URL, Memory(OURS, "script1")), NOON)[1]

    assert LAST.decide(seen(EMPTY, second, SCRIPT), NOON)[1] is None


@pytest.mark.parametrize("source", ["url", "partnerstackjs", "redirector"])
def test_expired_click_does_not_rise_again(source: str) -> None:
    """An expired click is known as expired wherever it shows up again."""
    again = Referral("ours1", "dan", source=source)
    for clicks in (
        seen(again, Memory(EXPIRED)),
        seen(EMPTY, Memory(EXPIRED), again),
        seen(EMPTY, Memory(EXPIRED), EMPTY, again),
    ):
        assert LAST.decide(clicks, NOON) == (EMPTY, None)
        assert FIRST.decide(clicks, NOON) == (EMPTY, None)


@pytest.mark.parametrize(
    ("clicks", "memory"),
    [
        (seen(URL, Memory(OURS)), Memory(OURS, None, ("url1",))),
        (seen(EMPTY, Memory(OURS), SCRIPT), Memory(OURS, "script1")),
        (seen(URL, Memory(OURS), SCRIPT), Memory(OURS, "script1", ("url1",))),
        (seen(SCRIPT, Memory(OURS), SCRIPT), Memory(OURS, "script1")),
        (seen(URL, Memory(OURS, "old1", ("aaaa",))), Memory(OURS, None, ("url1", "old1", "aaaa"))),
    ],
)
def test_first_click_wins_over_all(clicks: Clicks, memory: Memory) -> None:
    """With "first", an unexpired click of ours stands against every newer one, and knows it."""
    assert FIRST.decide(clicks, NOON) == (OURS, memory)


@pytest.mark.parametrize("clicks", [seen(URL, Memory(OURS)), seen(EMPTY, Memory(OURS), SCRIPT)])
def test_loser_is_remembered_once(clicks: Clicks) -> None:
    """With "first", a click that lost is no news the next time."""
    memory = FIRST.decide(clicks, NOON)[1]

    assert memory is not None
    assert FIRST.decide(clicks._replace(memories=(memory,)), NOON) == (OURS, None)


@pytest.mark.parametrize("clicks", [seen(URL, Memory(OURS)), seen(EMPTY, Memory(OURS), SCRIPT)])
def test_loser_does_not_rise_when_the_first_expires(clicks: Clicks) -> None:
    """With "first", PartnerStackJS's copy of a click that lost is as old as the click."""
    memory = FIRST.decide(clicks, NOON)[1]
    loser = replace(clicks.url or SCRIPT, source="partnerstackjs")

    assert memory is not None
    assert FIRST.decide(seen(EMPTY, memory, loser), NOON + WINDOW)[0] is EMPTY


def test_first_click_gives_way_when_it_expired() -> None:
    """With "first", the next click after the window is the first again."""
    referral, memory = FIRST.decide(seen(URL, Memory(EXPIRED)), NOON)

    assert referral.xid == "url1"
    assert memory is not None
    assert memory.superseded == ("ours1",)


def test_partner_key_alone_is_a_greeting() -> None:
    """A partner key without a click is shown, and neither kept nor dated."""
    named = Referral(partner_key="ann")

    assert LAST.decide(seen(named), NOON) == (named, None)
    assert LAST.decide(seen(script=named), NOON) == (named, None)
    assert LAST.decide(seen(named, Memory(OURS), named), NOON) == (OURS, None)


def test_nobody_is_the_empty_referral() -> None:
    """Without a click there is one empty referral and nothing to remember."""
    referral, memory = LAST.decide(seen(), NOON)

    assert referral is EMPTY
    assert memory is None


def test_changed_copy_is_the_newer_click() -> None:
    """Of two copies of PartnerStackJS's cookie, the one that we have not seen is the newer."""
    for copies in ((SCRIPT, URL), (URL, SCRIPT)):
        clicks = Clicks(memories=(Memory(OURS, "script1"),), scripts=copies)
        assert LAST.decide(clicks, NOON)[0].xid == "url1"


def test_copies_that_were_there_are_no_change() -> None:
    """A copy that lost to another is no news when the other is gone."""
    memory = LAST.decide(Clicks(scripts=(SCRIPT, URL)), NOON)[1]

    assert memory == Memory(replace(SCRIPT, clicked_at=NOON), "script1", ("url1",))
    assert LAST.decide(Clicks(memories=(memory,), scripts=(URL,)), NOON)[1] is None


@pytest.mark.parametrize(("policy", "xid"), [(LAST, "newer1"), (FIRST, "ours1")])
def test_copies_of_our_own_cookie(policy: Attribution, xid: str) -> None:
    """Where a host and its domain both have our cookie, the last click counts, or the first."""
    newer = Memory(Referral("newer1", clicked_at=NOON), None, ("aaaa",))
    for memories in ((newer, Memory(OURS)), (Memory(OURS), newer)):
        assert policy.decide(Clicks(memories=memories), NOON)[0].xid == xid
        for known in ("newer1", "ours1", "aaaa"):
            again = Clicks(Referral(known, source="url"), memories)
            assert policy.decide(again, NOON)[1] is None


def test_expired_copy_gives_way() -> None:
    """An expired copy of our cookie stands in nobody's way."""
    alive = Memory(Referral("newer1", clicked_at=NOON - timedelta(days=1)))
    clicks = Clicks(memories=(Memory(EXPIRED), alive))

    assert FIRST.decide(clicks, NOON)[0].xid == "newer1"


@pytest.mark.parametrize("days", [134, 135, 400, 4000])
def test_expired_click_is_remembered_while_the_script_has_it(days: int) -> None:
    """Our cookie is written again before it goes, as long as PartnerStackJS renews its own."""
    memory = Memory(replace(OURS, clicked_at=NOON - timedelta(days=days)))
    copy = Referral("ours1", source="partnerstackjs")

    assert LAST.decide(seen(memory=memory, script=copy), NOON) == (
        EMPTY,
        memory if days >= 135 else None,
    )
    assert LAST.decide(seen(memory=memory), NOON) == (EMPTY, None)


@pytest.mark.parametrize(("days", "lifetime"), [(1, 2), (90, 180), (200, 400), (365, 400)])
def test_lifetime(days: int, lifetime: int) -> None:
    """Our cookie outlives the window twice, and no cookie lives for more than 400 days."""
    assert Attribution("last", timedelta(days=days)).lifetime == timedelta(days=lifetime)
