"""A referral, and what may stand in it."""

from __future__ import annotations

import base64
import json
import logging
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from typing import cast

import pytest

from flask_partnerstack import Referral
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.referral import EMPTY
from flask_partnerstack.referral import decode_partner_key
from flask_partnerstack.referral import valid_xid

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
FULL = Referral("Kvx64pph9uhCju", "546ab5cc34f8", NOON, ("c001", "Zürich"), "url")

DECODED = {
    "MTZlZThkOWRhMTI4": "16ee8d9da128",
    "dHJveWNvb3BlcjEzNjQ": "troycooper1364",
    "ZGlkZGx5Mjk2NQ": "diddly2965",
    "ZGlkZGx5Mjk2NQ===": "diddly2965",
    "QW5kcmV3SHVhbmc=": "AndrewHuang",
    "eGlhb2JlaWd1NDkxNA==": "xiaobeigu4914",
    "ZWJjYy10aWFnb2Zsb3Jlc2RpYXM1MzI=": "ebcc-tiagofloresdias532",
    "aHR0cHM6Ly93d3cueW91dHViZS5jb20vd2F0Y2g/dj1kUXc0dzlXZ1hjUQ==": (
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    ),
    "aHR0cHM6Ly93d3cueW91dHViZS5jb20vd2F0Y2g_dj1kUXc0dzlXZ1hjUQ": (
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    ),
    "Ym9iP3h+": "bob?x~",
    "Ym9iP3h-": "bob?x~",
    "Ym9iP3h ": "bob?x~",
}


@pytest.mark.parametrize(("given", "decoded"), DECODED.items())
def test_partner_key_is_decoded(given: str, decoded: str) -> None:
    """Padded or not, in either alphabet, a plus that became a space: the key is read."""
    assert decode_partner_key(given) == decoded


@pytest.mark.parametrize("blanks", [" {}", "{} ", "\t{}\n", " {}  "])
@pytest.mark.parametrize("key", ["546ab5cc34f8", "troycooper1364", "diddly2965"])
def test_blanks_around_a_key_do_no_harm(key: str, blanks: str) -> None:
    """White space that a copied link picked up is no part of the key."""
    text = base64.b64encode(key.encode()).decode().rstrip("=")

    assert decode_partner_key(blanks.format(text)) == key


@pytest.mark.parametrize(
    "given",
    ["Nzg0ZGsdsZWYyMWRi", "x", "=", "//79", "troy cooper", "YWJj!", "Zoë", "ZGlkZGx5Mjk2NR"],
)
def test_undecodable_key_is_kept_as_it_came(given: str) -> None:
    """What is no base64 of printable text stays what it is, so that somebody can look at it."""
    assert decode_partner_key(given) == given


@pytest.mark.parametrize("given", ["", " ", "\x00", "a\x00b\n1", "A" * 513])
def test_unusable_key_is_none(given: str) -> None:
    """What is empty, unprintable or endless is not kept."""
    assert decode_partner_key(given) is None


@pytest.mark.parametrize(
    "xid", ["Kvx64pph9uhCju", "Nh0q6z0jNfsP", "69Fe7JSSXkDs", "a-_Z", "x" * 128]
)
def test_xid_is_opaque(xid: str) -> None:
    """An xid has 4 to 128 letters, digits, dashes or underscores, whatever they mean."""
    assert valid_xid(xid) == xid


@pytest.mark.parametrize(
    "xid",
    [
        "",
        "abc",
        "x" * 129,
        "abcd\n",
        " abcd",
        "ab cd",
        "abcd;domain=x",
        "<script>",
        "äbcd",
        "٣٣٣٣",
        4,
    ],
)
def test_bad_xid_is_refused_and_not_mended(xid: object) -> None:
    """An xid with a character too many is another click's or nobody's."""
    assert valid_xid(xid) is None


def test_referral_is_true_when_somebody_referred() -> None:
    """An xid or a partner key makes a referral; a lone sub ID does not."""
    assert Referral("Kvx64pph9uhCju")
    assert Referral(partner_key="acme")
    assert not Referral(sub_ids=("c001",))
    assert not EMPTY


@pytest.mark.parametrize(("days", "expired"), [(0, False), (89.99, False), (90, True), (91, True)])
def test_click_expires_when_the_window_closes(days: float, expired: bool) -> None:
    """A click earns for the attribution window, counted from the click."""
    now = NOON + timedelta(days=days)

    assert FULL.expired(now, timedelta(days=90)) is expired


def test_unknown_time_never_expires() -> None:
    """A click of which only PartnerStack knows the time is PartnerStack's to judge."""
    assert not Referral("Kvx64pph9uhCju").expired(NOON, timedelta(days=90))


def test_stored_referral_is_read_back() -> None:
    """A referral stored on a lead row comes back whole, and says that it was stored."""
    stored = Referral.loads(FULL.dumps())

    assert stored == Referral("Kvx64pph9uhCju", "546ab5cc34f8", NOON, ("c001", "Zürich"), "stored")


def test_empty_referral_is_stored_too() -> None:
    """Nobody's referral goes to the row and back as nobody's."""
    assert Referral.loads(EMPTY.dumps()) is EMPTY


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        '"Kvx64pph9uhCju"',
        "[" * 100_000,
        "9" * 5_000,
        '{"xid":"Kvx64pph9uhCju"}',
        '{"v":2,"xid":"Kvx64pph9uhCju"}',
        '{"v":1}',
        '{"v":1,"xid":"a b","partner_key":7}',
        '{"v":1,"partner_key":"\\ud800"}',
        cast("str", b"\xff\xfe\xff"),
        cast("str", 7),
    ],
)
def test_garbage_gives_the_empty_referral(text: str | None) -> None:
    """What we did not write is nobody's referral, and no error."""
    assert Referral.loads(text) is EMPTY


@pytest.mark.parametrize(
    "stored",
    [FULL.dumps()[:40], json.dumps(FULL.dumps()), {"v": 2, "xid": "x"}, {"v": 1, "xid": 7}],
)
def test_what_cannot_be_read_is_said(
    stored: str | dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """A click that its column has cut would be lost in silence; nothing of it is shown."""
    assert Referral.loads(stored) is EMPTY
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "cannot be read" in line.getMessage()
    assert "Kvx64" not in line.getMessage()


@pytest.mark.parametrize("stored", [None, "", {}, EMPTY.dumps(), Referral(None, "ann").dumps()])
def test_nobodys_click_is_no_warning(
    stored: str | dict[str, object] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A row of a customer without a click is read in silence."""
    assert Referral.loads(stored).xid is None
    assert caplog.messages == []


def test_a_column_of_json_is_read() -> None:
    """A driver makes a mapping of such a text, and it is read as the text is."""
    text = FULL.dumps()
    assert Referral.loads(json.loads(text)) == Referral.loads(text)


@pytest.mark.parametrize(
    ("partner_key", "sub_ids", "kept"),
    [
        ("ann", ("c001",), ("ann", ("c001",))),
        ("ann", ("\U0001f389" * 255,) * 10, ("ann", ())),
        ("\U0001f389" * 512, ("c001",), (None, ())),
    ],
)
def test_a_stored_referral_is_never_long(
    partner_key: str, sub_ids: tuple[str, ...], kept: tuple[str | None, tuple[str, ...]]
) -> None:
    """A visitor chooses a link's length, and not how much a column has to hold."""
    text = Referral("x" * 128, partner_key, NOON, sub_ids).dumps()
    assert len(text.encode()) <= 2048
    stored = Referral.loads(text)
    assert (stored.xid, stored.clicked_at) == ("x" * 128, NOON)
    assert (stored.partner_key, stored.sub_ids) == kept


@pytest.mark.parametrize("at", ["noon", True, None, [], 1e400, -1e400, float("nan"), 10**30])
def test_time_that_is_none_is_left_out(at: object) -> None:
    """A stored xid counts even if its time makes no sense."""
    text = json.dumps({"v": 1, "xid": "Kvx64pph9uhCju", "clicked_at": at})

    assert Referral.loads(text) == Referral("Kvx64pph9uhCju", source="stored")


def test_bad_sub_ids_are_left_out() -> None:
    """Of stored sub IDs those are kept that can be reported, ten at most."""
    good = [f"s{n}" for n in range(20)]
    content = {"v": 1, "xid": "Kvx64pph9uhCju", "sub_ids": [7, "", "  ", "a\nb", "x" * 256, *good]}
    none = {"v": 1, "xid": "Kvx64pph9uhCju", "sub_ids": "c001"}

    assert Referral.loads(json.dumps(content)).sub_ids == tuple(good[:10])
    assert Referral.loads(json.dumps(none)).sub_ids == ()


@pytest.mark.parametrize("at", [NOON.replace(tzinfo=None), "2026-03-01", 1772366400, NOON.date()])
def test_a_moment_that_is_not_aware_is_no_moment(at: object) -> None:
    """SQLite and MySQL give a column back without its zone: an error says so, and guesses none."""
    referral = Referral("Kvx64pph9uhCju", clicked_at=cast("datetime", at))

    for use in (referral.dumps, lambda: referral.expired(NOON, timedelta(days=90))):
        with pytest.raises(InvalidConversion, match=r"^referral: clicked_at: .* aware .*tzinfo="):
            use()
