from __future__ import annotations

import pytest

from .conftest import Visitor


def test_put_leaves_the_other_target(visitor: Visitor) -> None:
    """Only the targets that are named change, null switches one off, and the answer shows all."""
    visitor.break_(conversion={"status": 503}, api=[{"status": 502}, {"delay": 1}])
    answer = visitor.break_(conversion=None).get_json()

    assert answer == {"conversion": [], "api": [{"status": 502}, {"delay": 1}]}
    assert visitor.show("faults") == answer


def test_delete_switches_everything_off(visitor: Visitor) -> None:
    """After DELETE no fault is on."""
    visitor.break_(conversion={"status": 503}, api={"status": 503})

    assert visitor.client.delete("/_sandbox/faults").get_json() == {"conversion": [], "api": []}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "the body: expected a JSON object with conversion or api"),
        ("[]", "the body: expected a JSON object with conversion or api"),
        ("[" * 100_000, "the body: expected a JSON object with conversion or api"),
        ('{"conversions": {}}', "conversions: no such target; there are conversion and api"),
        ('{"api": {"status": 1}}', "api: status: expected an HTTP status from 200 to 599, got 1"),
        ('{"api": [7]}', "api: expected an object such as {'status': 503}, got 7"),
        ('{"conversion": {"lag": 1}}', "conversion: lag: only REST v2 has one"),
        ('{"api": {"accept": true}}', "api: accept: a look-up accepts nothing"),
        ('{"api": {"drop": "after"}}', "api: accept: a look-up accepts nothing"),
    ],
)
def test_bad_faults(visitor: Visitor, body: str, message: str) -> None:
    """Bad input is answered with 400 and the field's name, and changes nothing."""
    visitor.break_(conversion={"status": 503})
    response = visitor.client.put("/_sandbox/faults", data=body)

    assert response.status_code == 400
    assert response.get_json()["message"].startswith(message)
    assert visitor.show("faults")["conversion"] == [{"status": 503}]


def test_clear_forgets(visitor: Visitor) -> None:
    """After clear nothing is remembered, and the faults are still on."""
    visitor.click("/l/ann")
    visitor.send()
    visitor.look_up("42")
    visitor.break_(conversion={"status": 503})
    visitor.client.post("/_sandbox/clear")

    for name in ("clicks", "received", "customers", "lookups"):
        assert visitor.show(name) == []
    assert visitor.show("faults")["conversion"] == [{"status": 503}]


@pytest.mark.parametrize("host", ["acme.test", "acme.test:80", "10.0.0.1", ""])
def test_other_names_are_refused(visitor: Visitor, host: str) -> None:
    """A request for a host that is not loopback, as after DNS rebinding, gets 403."""
    assert visitor.client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost", "LOCALHOST:1", "[::1]:8787"])
def test_loopback_names_are_welcome(visitor: Visitor, host: str) -> None:
    """Loopback by name and by address is answered."""
    assert visitor.client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://acme.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_foreign_pages_give_no_orders(
    visitor: Visitor, headers: dict[str, str], status: int
) -> None:
    """A form on another site cannot clear the sandbox, our own page and a script can."""
    assert visitor.client.post("/_sandbox/clear", headers=headers).status_code == status
