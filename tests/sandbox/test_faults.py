from __future__ import annotations

import gzip
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_partnerstack.sandbox import Fault
from flask_partnerstack.sandbox.faults import FaultTable

from .conftest import Visitor

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


def test_faults_strike_one_after_the_other() -> None:
    """The first fault that fits strikes, and makes room once its times are over."""
    table = FaultTable()
    first = Fault(status=503, times=2)
    table.put("conversion", [first, Fault(status=500, keys=("b",)), first])

    struck = [table.take("conversion", key).fault.status for key in "aabaaa"]

    assert struck == [503, 503, 500, 503, 503, None]
    assert [fault.status for fault in table.on["conversion"]] == [500]


def test_times_count_down() -> None:
    """What is shown is what is left."""
    table = FaultTable()
    table.put("api", [Fault(status=503, times=3)])
    table.take("api", "a")

    assert table.as_json() == {"conversion": [], "api": [{"status": 503, "times": 2}]}


def test_released_table_waits_no_more() -> None:
    """Once the sandbox stops, even a fault that is put later does not wait."""
    table = FaultTable()
    table.release()
    table.put("conversion", [Fault(hang=math.inf)])

    assert table.take("conversion", "a").wait(math.inf) is True


def test_wait_for_nothing() -> None:
    """No seconds are no wait."""
    assert FaultTable().take("conversion", "a").wait(None) is False


def test_status_in_place_of_processing(visitor: Visitor) -> None:
    """The status, its headers and body are answered, and nothing is accepted."""
    visitor.break_(conversion={"status": 503, "headers": {"Retry-After": "30"}, "body": "down"})
    response = visitor.send()

    assert (response.status_code, response.text) == (503, "down")
    assert response.headers["Retry-After"] == "30"
    (received,) = visitor.show("received")
    assert (received["status"], received["accepted"]) == (503, False)
    assert received["note"].startswith("answers 503")
    assert visitor.show("customers") == []


def test_status_after_accepting(visitor: Visitor) -> None:
    """A 500 after the commit looks like any other, and the customer is there."""
    visitor.break_(conversion={"status": 500, "accept": True})

    assert visitor.send().status_code == 500
    assert visitor.show("received")[0]["accepted"] is True
    assert visitor.look_up("42").status_code == 200


def test_faults_are_for_some_customers(visitor: Visitor) -> None:
    """A fault with keys leaves everybody else alone."""
    visitor.break_(conversion={"status": 503, "keys": ["42"]})

    assert visitor.send("42").status_code == 503
    assert visitor.send("43").status_code == 200


def test_faults_of_look_ups_are_their_own(visitor: Visitor) -> None:
    """A fault on REST v2 does not touch conversions."""
    visitor.break_(api={"status": 502, "times": 1})

    assert visitor.send().status_code == 200
    assert visitor.look_up("42").status_code == 502
    assert visitor.look_up("42").status_code == 200
    assert [one["status"] for one in visitor.show("lookups")] == [502, 200]


def test_lag_as_a_fault(visitor: Visitor) -> None:
    """A customer stays invisible while the lag lasts, and appears when it is cleared."""
    visitor.send()
    visitor.break_(api={"lag": 3600})
    assert visitor.look_up("42").status_code == 404

    visitor.client.delete("/_sandbox/faults")
    assert visitor.look_up("42").status_code == 200


@pytest.mark.parametrize(("fault", "status"), [({}, 302), ({"status": 307}, 307)])
def test_redirect(visitor: Visitor, fault: dict[str, Any], status: int) -> None:
    """The client is sent elsewhere, with the address exactly as given."""
    visitor.break_(conversion={"redirect": "/elsewhere", **fault})
    response = visitor.send()

    assert (response.status_code, response.headers["Location"]) == (status, "/elsewhere")


def test_huge_body(visitor: Visitor) -> None:
    """The conversion is accepted and answered with as many bytes as asked for."""
    visitor.break_(conversion={"huge": 100_000})
    response = visitor.send()

    assert (response.status_code, response.content_length) == (200, 100_000)
    assert len(response.data) == 100_000
    assert visitor.show("received")[0]["accepted"] is True


def test_gzip_bomb(visitor: Visitor) -> None:
    """A small body says that it is gzip, and unpacks to as much as asked for."""
    visitor.break_(conversion={"gzip_bomb": 1_000_000})
    response = visitor.send()

    assert response.headers["Content-Encoding"] == "gzip"
    assert len(response.data) < 2_000
    assert len(gzip.decompress(response.data)) == 1_000_000


def test_drop_without_a_socket(visitor: Visitor) -> None:
    """Flask's test client, which has no connection to lose, sees an aborted one."""
    visitor.break_(conversion={"drop": "before"})
    with pytest.raises(ConnectionAbortedError):
        visitor.send()
