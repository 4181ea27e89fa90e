"""What a person asks of the whole ledger: the same on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from math import inf

import pytest

from flask_partnerstack.conversion import Conversion
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Attempt
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Page
from flask_partnerstack.ledger import Status
from tests.kit import Clock

Make = Callable[..., Conversion]

TAKEN = Attempt(judged=Judgement.ACCEPTED, reason="HTTP 200", status=200)
REFUSED = Attempt(judged=Judgement.REFUSED, reason="HTTP 503", status=503)
A_MONTH = timedelta(days=30)


def keys(page: Page) -> list[str]:
    return [entry.customer_key for entry in page.entries]


def deliver(ledger: Ledger) -> None:
    for claim in ledger.claim(100):
        ledger.settle(claim, Status.DELIVERED, TAKEN)


def test_pages_follow_each_other(any_ledger: Ledger, conversion: Make) -> None:
    """Newest first, to the last and back to the first, and nobody is missed or seen twice."""
    for number in range(7):
        any_ledger.record(conversion(f"c{number}"))
    first = any_ledger.page(limit=3)
    second = any_ledger.page(limit=3, before_id=first.older)
    third = any_ledger.page(limit=3, before_id=second.older)
    assert [keys(first), keys(second), keys(third)] == [
        ["c6", "c5", "c4"],
        ["c3", "c2", "c1"],
        ["c0"],
    ]
    assert (first.newer, third.older) == (None, None)
    assert keys(any_ledger.page(limit=3, after_id=third.newer)) == keys(second)
    back = any_ledger.page(limit=3, after_id=second.newer)
    assert (keys(back), back.newer, back.older) == (keys(first), None, first.older)


def test_an_empty_ledger_has_one_empty_page(any_ledger: Ledger) -> None:
    """Nothing to show, and nowhere to go."""
    assert any_ledger.page() == Page([], None, None)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ACME", ["acme-1"]),
        ("jo@globex", ["globex"]),
        ("müller", ["globex"]),
        ("MÜLLER globex", ["globex"]),
        ("KvX64PPH", ["acme-1"]),
        ("bob", ["globex"]),
        ("100%", []),
        ("_", ["under_score"]),
        ("", ["under_score", "globex", "acme-1"]),
        ("acme globex", []),
    ],
)
def test_a_customer_is_found(
    any_ledger: Ledger, conversion: Make, search: str, found: list[str]
) -> None:
    """By a part of key, e-mail, name, click or partner, in whatever case; all words must fit."""
    any_ledger.record(conversion("acme-1", xid="Kvx64pph9uhCju"))
    fields = {"email": "Jo@Globex.com", "name": "Jo Müller", "partner_key": "Bob"}
    any_ledger.record(conversion("globex", user_agent="acme browser", **fields))
    any_ledger.record(conversion("under_score"))
    assert keys(any_ledger.page(search=search)) == found


def test_pages_are_of_one_state_and_partner(any_ledger: Ledger, conversion: Make) -> None:
    """What is asked for together must fit together."""
    any_ledger.record(conversion("a", partner_key="ann"))
    deliver(any_ledger)
    any_ledger.record(conversion("b", partner_key="ann"))
    any_ledger.record(conversion("c", partner_key="bob"))
    assert keys(any_ledger.page(status=Status.PENDING, partner_key="ann")) == ["b"]
    assert keys(any_ledger.page(status=Status.DELIVERED)) == ["a"]


def test_an_entry_is_found_by_its_id(any_ledger: Ledger, conversion: Make) -> None:
    """A page of its own has an address without the customer in it."""
    entry = any_ledger.record(conversion()).entry
    assert any_ledger.find(entry.id) == entry
    with pytest.raises(EntryNotFound):
        any_ledger.find(entry.id + 1)


def test_days_are_counted_in_utc(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """Each day is there, also those without anybody, with what became of its conversions."""
    clock.now = datetime(2026, 2, 27, 23, 59, 59, tzinfo=timezone.utc)
    ledger.record(conversion())
    deliver(ledger)
    ledger.record(conversion())
    clock.now = datetime(2026, 3, 1, 0, 0, tzinfo=timezone.utc)
    ledger.record(conversion())
    days = ledger.days(timedelta(days=2))
    assert [(day.day, day.total) for day in days] == [
        (date(2026, 2, 27), 2),
        (date(2026, 2, 28), 0),
        (date(2026, 3, 1), 1),
    ]
    assert days[0].counts == {Status.DELIVERED: 1, Status.PENDING: 1}


def test_days_are_counted_everywhere(any_ledger: Ledger, conversion: Make) -> None:
    """What was recorded now was recorded on the last of the days."""
    for _ in range(3):
        any_ledger.record(conversion())
    days = any_ledger.days(A_MONTH)
    assert sum(day.total for day in days[-2:]) == 3  # midnight may have passed
    assert len(days) == 31


def test_partners_are_told_apart_to_the_letter_and_the_space(
    any_ledger: Ledger, conversion: Make
) -> None:
    """Whatever the collation: each has a share of their own, and nobody else's is requeued."""
    partners = ["ada", "ADA", "adá", "ada ", None]
    for partner_key in partners:
        row = Conversion(customer_key=f"of {partner_key}", xid="abcd", partner_key=partner_key)
        any_ledger.record(row, reason="vetoed", skipped=True)
    shares = any_ledger.partners(A_MONTH)
    assert {(share.partner_key, share.total) for share in shares} == {(key, 1) for key in partners}
    assert keys(any_ledger.page(partner_key="ada")) == ["of ada"]
    assert any_ledger.requeue_all(status=Status.SKIPPED, partner_key="ada") == 1


def test_partners_are_ranked(any_ledger: Ledger, conversion: Make) -> None:
    """The busiest first, with how many of theirs PartnerStack took; nobody is one, too."""
    any_ledger.record(conversion(partner_key="ann"))
    any_ledger.record(conversion(partner_key="ann"))
    deliver(any_ledger)
    any_ledger.record(conversion(partner_key="ann"))
    any_ledger.record(conversion(partner_key="bob"))
    any_ledger.record(conversion(partner_key="bob"))
    any_ledger.record(conversion())
    shares = any_ledger.partners(A_MONTH)
    assert [(s.partner_key, s.total, s.credited) for s in shares] == [
        ("ann", 3, 2),
        ("bob", 2, 0),
        (None, 1, 0),
    ]
    assert len(any_ledger.partners(A_MONTH, limit=1)) == 1


def test_a_stretch_of_the_trails_is_read_once(any_ledger: Ledger, conversion: Make) -> None:
    """Attempts are counted by how they were judged; the next stretch begins behind them."""
    for _ in range(3):
        any_ledger.record(conversion())
    for claim in any_ledger.claim(1):
        any_ledger.postpone(claim, A_MONTH, reason="HTTP 503", attempt=REFUSED)
    deliver(any_ledger)
    ahead = -timedelta(hours=1)
    stretch = any_ledger.stretch(0, lag=ahead, steps=(60.0,))
    assert stretch.judged == {Judgement.REFUSED: 1, Judgement.ACCEPTED: 2}
    assert [(step, count) for step, count, _ in stretch.delays] == [(60.0, 2)]
    after = any_ledger.stretch(stretch.upto, lag=ahead, steps=(60.0,))
    assert (after.upto, after.judged, after.delays) == (stretch.upto, {}, ())


def test_a_delay_is_in_its_step(ledger: Ledger, clock: Clock, conversion: Make) -> None:
    """From the signup to the moment that it was taken; what took longer than all is last."""
    for seconds in (1, 60, 7200):
        ledger.record(conversion())
        clock.tick(seconds=seconds)
        deliver(ledger)
    stretch = ledger.stretch(0, lag=timedelta(0), steps=(1.0, 60.0, 3600.0))
    assert sorted(stretch.delays) == [(1.0, 1, 1.0), (60.0, 1, 60.0), (inf, 1, 7200.0)]
