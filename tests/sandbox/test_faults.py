from __future__ import annotations

import gzip
import math
from typing import Any

import pytest

from flask_partnerstack.sandbox import Fault
from flask_partnerstack.sandbox.faults import FaultTable

from .conftest import Visitor


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
