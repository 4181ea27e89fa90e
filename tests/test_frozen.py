"""Frozen dataclasses that are made at once are what their own ``__init__`` makes."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from dataclasses import dataclass
from dataclasses import replace

import pytest

from flask_partnerstack import Conversion
from flask_partnerstack.frozen import made


@dataclass(frozen=True)
class Click:
    xid: str
    sub_ids: tuple[str, ...] = ()


def test_it_is_what_init_makes() -> None:
    """Equal, and with the same hash, words and copies."""
    ours, theirs = made(Click, {"xid": "abcd", "sub_ids": ("a",)}), Click("abcd", ("a",))
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs)
    assert replace(ours, xid="efgh") == Click("efgh", ("a",))
    assert pickle.loads(pickle.dumps(ours)) == theirs


def test_it_is_frozen() -> None:
    """Nobody changes a field."""
    with pytest.raises(FrozenInstanceError):
        made(Click, {"xid": "abcd", "sub_ids": ()}).xid = "efgh"  # type: ignore[misc]


def test_two_conversions_share_nothing() -> None:
    """What they are made of may be changed afterwards."""
    content = {"customer_key": "7", "xid": "abcd"}
    first = Conversion.of_checked(content)
    content["xid"] = "efgh"
    assert (first.xid, Conversion.of_checked(content).xid) == ("abcd", "efgh")


def test_a_conversion_has_every_field() -> None:
    """Also those that nobody gave."""
    ours = Conversion.of(customer_key="7", xid="abcd", name="Jo")
    assert ours == Conversion(customer_key="7", xid="abcd", name="Jo")
    assert list(vars(ours)) == list(Conversion.__dataclass_fields__)
