"""Frozen dataclasses that are made at once are what their own ``__init__`` makes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import pytest

from flask_partnerstack import Conversion
from flask_partnerstack.frozen import FrozenDict
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


# --- a dict -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.__setitem__("b", 2),
        lambda it: it.__delitem__("a"),
        lambda it: it.__ior__({"b": 2}),
        lambda it: it.update(b=2),
        lambda it: it.setdefault("b", 2),
        lambda it: it.pop("a"),
        lambda it: it.popitem(),
        lambda it: it.clear(),
    ],
)
def test_a_frozen_dict_never_changes(change: Callable[[Any], object]) -> None:
    """By no method of a dict, and the way out is said."""
    it = FrozenDict(a=1)
    with pytest.raises(TypeError, match="frozen: change a copy"):
        change(it)
    assert it == {"a": 1}


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_frozen_dict_is_copied(again: Callable[[Any], Any]) -> None:
    """Each copy is as frozen; only its own copy() is there to be changed."""
    it = FrozenDict(a=FrozenDict(b=(1,)))
    twin = again(it)
    assert (twin, type(twin), hash(twin)) == (it, FrozenDict, hash(it))
    assert type(it.copy()) is dict


def test_a_frozen_dict_has_the_hash_of_its_content() -> None:
    """In whatever order it was filled; without one where a value has none."""
    assert hash(FrozenDict(a=1, b=2)) == hash(FrozenDict(b=2, a=1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(FrozenDict(a=[]))
