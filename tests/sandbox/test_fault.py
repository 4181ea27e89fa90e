from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_partnerstack.sandbox import Fault

GOOD = [
    {"status": 503, "headers": {"Retry-After": "30"}, "body": "down"},
    {"redirect": "/elsewhere", "status": 307},
    {"delay": 0.5, "times": 2, "keys": ["a", "b"]},
    {"hang": True},
    {"hang": 2.5, "accept": True},
    {"drop": "after"},
    {"drip": 1, "huge": 10},
    {"gzip_bomb": 10},
    {"lag": 5},
]


@pytest.mark.parametrize("document", GOOD)
def test_fault_survives_json(document: dict[str, Any]) -> None:
    """A fault that is read and shown again says the same."""
    assert Fault.from_json(document).as_json() == document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"status": 99}, "status: expected an HTTP status from 200 to 599, got 99"),
        ({"status": True}, "status: expected an HTTP status"),
        ({"status": "503"}, "status: expected an HTTP status"),
        ({"headers": {}}, "headers: expected an object of header names"),
        ({"headers": ["a"]}, "headers: expected an object of header names"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers: expected an object of header names"),
        ({"headers": {"a b": "c"}}, "headers: expected an object of header names"),
        ({"headers": {"a": 1}}, "headers: expected an object of header names"),
        ({"body": 1}, "body: expected a string"),
        ({"body": "\ud800"}, "body: expected a string that UTF-8 can write"),
        ({"redirect": "http://a\n"}, "redirect: expected a URL in ASCII"),
        ({"redirect": ""}, "redirect: expected a URL in ASCII"),
        ({"delay": -1}, "delay: expected seconds, more than 0 and at most 3600, got -1"),
        ({"delay": math.nan}, "delay: expected seconds"),
        ({"delay": True}, "delay: expected seconds"),
        ({"hang": 0}, "hang: expected true, or seconds"),
        ({"hang": False}, "hang: expected true, or seconds"),
        ({"drop": "now"}, 'drop: expected "before" or "after"'),
        ({"drip": 0}, "drip: expected seconds"),
        ({"huge": 0}, "huge: expected a number of bytes from 1 to"),
        ({"gzip_bomb": 2**31}, "gzip_bomb: expected a number of bytes from 1 to"),
        ({"lag": "5"}, "lag: expected seconds"),
        ({"accept": 1}, "accept: expected true or false"),
        ({"times": 0}, "times: expected a whole number, 1 or more"),
        ({"keys": []}, "keys: expected an array of customer keys"),
        ({"keys": "42"}, "keys: expected an array of customer keys"),
        ({"keys": [42]}, "keys: expected an array of customer keys"),
        ({"statsu": 503}, "statsu: no such field; there are status, headers"),
        ({"drop": "after", "status": 500}, "drop: cannot be together with status"),
        ({"drop": "after", "accept": True}, "drop: cannot be together with accept"),
        ({"hang": True, "drip": 1}, "hang: cannot be together with drip"),
        ({"huge": 1, "gzip_bomb": 1}, "huge: cannot be together with gzip_bomb"),
        ({"body": "", "huge": 1}, "body: cannot be together with huge"),
        (503, "expected an object such as {'status': 503}, got 503"),
    ],
)
def test_bad_fault(document: object, message: str) -> None:
    """A fault that makes no sense is refused with the field's name and what was expected."""
    with pytest.raises(ValueError, match=r".") as caught:
        Fault.from_json(document)
    assert str(caught.value).startswith(message)


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.text())
NAMES = st.sampled_from(list(Fault.__dataclass_fields__)) | st.text()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, VALUES | st.dictionaries(st.text(), VALUES)))
def test_any_json_is_a_fault_or_a_message(document: dict[str, Any]) -> None:
    """Whatever JSON comes, it is read or refused with a ValueError, and nothing else."""
    try:
        fault = Fault.from_json(document)
    except ValueError:
        return
    json.dumps(fault.as_json())


@pytest.mark.parametrize(
    ("document", "accepts"),
    [
        ({}, True),
        ({"delay": 1}, True),
        ({"huge": 1}, True),
        ({"drip": 1}, True),
        ({"status": 200}, False),
        ({"redirect": "/"}, False),
        ({"hang": True}, False),
        ({"drop": "before"}, False),
        ({"drop": "after"}, True),
        ({"status": 500, "accept": True}, True),
        ({"huge": 1, "accept": False}, False),
    ],
)
def test_what_stands_in_the_way(document: dict[str, Any], accepts: bool) -> None:
    """What is answered in place of processing accepts nothing, unless told to."""
    assert Fault.from_json(document).accepts is accepts


def test_fault_in_words() -> None:
    """The page and the received list say in words what struck."""
    fault = Fault(status=429, headers=(("Retry-After", "3"),), keys=("a", "b"), accept=True)

    assert str(fault) == "answers 429 · with Retry-After: 3 · accepts all the same · only for a, b"
    assert str(Fault(hang=math.inf)) == "never answers"
    assert str(Fault(hang=2, times=3)) == "no answer for 2 s · times left: 3"
    assert str(Fault()) == ""
