"""What our own cookie remembers of a visitor's clicks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest

from flask_partnerstack import Referral
from flask_partnerstack.referral import Memory
from flask_partnerstack.referral.memory import LONGEST_COOKIE

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CLICK = Referral("Kvx64pph9uhCju", "546ab5cc34f8", NOON, ("c001", "Zürich & more"), "cookie")
FULL = Memory(CLICK, "gksjvzF7XyPbh4", ("aaaa", "bbbb"))
LEAST = "v=1&x=Kvx64pph9uhCju&t=1772366400"


def test_cookie_is_readable() -> None:
    """Somebody who looks at the cookie reads the click, its time, and what went before."""
    assert FULL.dumps() == (
        f"{LEAST}&k=546ab5cc34f8&s=c001&s=Z%C3%BCrich%20%26%20more&j=gksjvzF7XyPbh4&o=aaaa&o=bbbb"
    )


@pytest.mark.parametrize(
    "memory", [FULL, Memory(CLICK), Memory(Referral("abcd", None, NOON, (), "cookie"))]
)
def test_what_was_written_is_read(memory: Memory) -> None:
    """A memory comes back from its cookie as it went."""
    assert Memory.loads(memory.dumps(), NOON) == memory


def test_sub_ids_go_first() -> None:
    """When 2 KiB are not enough, the sub IDs go, and nothing else."""
    long = replace(CLICK, sub_ids=("ü" * 200,) * 10)

    assert Memory.loads(replace(FULL, referral=long).dumps(), NOON) == replace(
        FULL, referral=replace(CLICK, sub_ids=())
    )


def test_partner_key_goes_second_and_the_xid_never() -> None:
    """A partner key that does not fit goes, too; the click and the earlier ones stay."""
    long = replace(CLICK, xid="x" * 128, partner_key="ü" * 512)
    value = Memory(long, "y" * 128, tuple(str(n) * 128 for n in range(5))).dumps()
    found = Memory.loads(value, NOON)

    assert len(value) <= LONGEST_COOKIE
    assert found is not None
    assert (found.referral.xid, found.referral.partner_key) == ("x" * 128, None)
    assert (found.script_xid, len(found.superseded)) == ("y" * 128, 5)


def test_unknown_time_is_long_ago() -> None:
    """A click without a time is written as one that cannot earn any more."""
    memory = Memory.loads(Memory(replace(CLICK, clicked_at=None)).dumps(), NOON)

    assert memory is not None
    assert memory.referral.expired(NOON, timedelta(days=90))


@pytest.mark.parametrize(
    ("ahead", "known"), [(60, True), (86_399, True), (86_400, False), (10**7, False)]
)
def test_time_to_come_is_refused(ahead: int, known: bool) -> None:
    """Another machine's clock may run ahead; a visitor prolongs their click by a day at most."""
    value = FULL.dumps()

    assert (Memory.loads(value, NOON - timedelta(seconds=ahead)) is not None) is known


@pytest.mark.parametrize(
    "value",
    [
        "",
        "v",
        "v=1",
        "v=2&x=Kvx64pph9uhCju&t=1772366400",
        "v=1&x=abc&t=1772366400",
        "v=1&x=a%20b%20&t=1772366400",
        "v=1&x=Kvx64pph9uhCju",
        "v=1&x=Kvx64pph9uhCju&t=-1",
        "v=1&x=Kvx64pph9uhCju&t=٣",
        "v=1&x=Kvx64pph9uhCju&t=999999999999",
        "v=1&t=1772366400&x=Kvx64pph9uhCju",
        LEAST + "\n",
        LEAST + "&k=a b",
        LEAST + "&k=" + "x" * LONGEST_COOKIE,
        LEAST + "&" * 33,
    ],
)
def test_what_we_did_not_write_is_nothing(value: str) -> None:
    """A value that is not ours is as good as none."""
    assert Memory.loads(value, datetime(9999, 1, 1, tzinfo=timezone.utc)) is None


def test_year_that_no_calendar_knows_is_nothing() -> None:
    """A time of eleven digits is read, and refused as one to come."""
    assert Memory.loads("v=1&x=abcd&t=99999999999", NOON) is None


@pytest.mark.parametrize(
    "rest", ["&", "&k=", "&k=%00", "&k=%20x", "&s=%0A", "&j=a%20b", "&o=%3Cx%3E", "&z=1", "&%zz"]
)
def test_bad_optional_part_costs_only_itself(rest: str) -> None:
    """What is invalid beside the click and its time is left out."""
    assert Memory.loads(LEAST + rest, NOON) == Memory(Referral(CLICK.xid, None, NOON, (), "cookie"))


def test_what_is_remembered_is_bounded() -> None:
    """A visitor who writes more superseded clicks into the cookie than we do has only five."""
    value = LEAST + "".join(f"&o=xid{n}" for n in range(20)) + "&j=aaaa&j=bbbb"
    memory = Memory.loads(value, NOON)

    assert memory is not None
    assert memory.superseded == ("xid0", "xid1", "xid2", "xid3", "xid4")
    assert memory.script_xid == "aaaa"


@pytest.mark.parametrize(
    ("xid", "known"),
    [("Kvx64pph9uhCju", True), ("gksjvzF7XyPbh4", True), ("bbbb", True), ("cccc", False)],
)
def test_memory_knows_old_clicks(xid: str, known: bool) -> None:
    """What counts, what PartnerStackJS said and what counted before is no news."""
    assert FULL.knows(xid) is known
