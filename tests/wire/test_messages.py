"""A request and a response as plain values, and what a response's headers say."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_partnerstack.backoff import LONGEST_WISH
from flask_partnerstack.wire import Response
from flask_partnerstack.wire.messages import LONGEST_ANSWER
from flask_partnerstack.wire.messages import date_of
from flask_partnerstack.wire.messages import retry_after


def test_answer_is_kept_short_and_printable() -> None:
    """Of a body one printable line is kept, whatever bytes it is made of."""
    text = Response(500, body=b"\x1b[31mno\r\n\xff\x00 way \xe2\x80\xae" + b"x" * 9999).text
    assert text.startswith("[31mno \N{REPLACEMENT CHARACTER} way x")
    assert len(text) == LONGEST_ANSWER
    assert text.isprintable()


@pytest.mark.parametrize("before", ["", "x" * 485, "x" * 490, "x" * 495])
def test_answer_is_kept_without_addresses(before: str) -> None:
    """An address that is quoted is masked, also where a NUL breaks it or the answer is cut."""
    text = Response(400, body=f"{before}: no jo.doe\0@acme.com".encode()).text
    assert text == f"{before}: no j***@acme.com"[:LONGEST_ANSWER]


# --- Retry-After --------------------------------------------------------------------------------


def wish(value: str) -> timedelta | None:
    return retry_after(Response(429, {"retry-AFTER": value}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        (" 7 ", timedelta(seconds=7)),
        ("86400", timedelta(days=1)),
        ("86401", LONGEST_WISH),
        ("9" * 60, LONGEST_WISH),
        ("Fri, 31 Dec 9998 23:59:59 GMT", LONGEST_WISH),
        ("Sun, 06 Nov 1994 08:49:37 GMT", timedelta(0)),
        ("5, 5", timedelta(seconds=5)),
        ("120,7", timedelta(minutes=2)),
        ("7, 120, soon", timedelta(minutes=2)),
        ("Sun, 06 Nov 1994 08:49:37 GMT, 7", timedelta(seconds=7)),
        ("7, Fri, 31 Dec 9998 23:59:59 GMT", LONGEST_WISH),
    ],
)
def test_retry_after(value: str, expected: timedelta) -> None:
    """Seconds and dates are read; the past means now, and nobody is obeyed beyond a day."""
    assert wish(value) == expected


def test_retry_after_a_date() -> None:
    """A date is the time that is left until then."""
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    left = wish(format_datetime(soon, usegmt=True))
    assert left is not None
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "5; 5", "1e3", "9" * 65, "Fri, 31 Dec 99999 23:59:59 GMT"]
)
def test_garbage_in_retry_after(value: str) -> None:
    """Garbage is forgiven: no wish."""
    assert wish(value) is None


@settings(deadline=None)
@given(st.text(max_size=70))
def test_retry_after_never_raises(value: str) -> None:
    """Whatever a server writes there, a wish is none or of a day at most."""
    found = wish(value)
    assert found is None or timedelta(0) <= found <= LONGEST_WISH


def test_no_retry_after() -> None:
    """Without the header there is no wish."""
    assert retry_after(Response(429)) is None


# --- Date ---------------------------------------------------------------------------------------


def date(value: str) -> datetime | None:
    return date_of(Response(200, {"DATE": value}))


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_date(zone: str) -> None:
    """The time where an answer came from is told, and it is one with a zone."""
    expected = datetime(1994, 11, 6, 8, 49, 37, tzinfo=timezone.utc)
    assert date(f"Sun, 06 Nov 1994 08:49:37 {zone}") == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "Mon, 99 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +9999999999",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1200",
    ],
)
def test_garbage_in_date(value: str) -> None:
    """A time that cannot be is none."""
    assert date(value) is None


@settings(deadline=None)
@given(st.text("0123456789 :,+-JanMonGT", max_size=40))
def test_date_never_raises(value: str) -> None:
    """Whatever a server writes there, it is a moment or none."""
    found = date(value)
    assert found is None or found.tzinfo is not None
