from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from .conftest import BASIC
from .conftest import BEARER
from .conftest import Visitor


def test_conversion_is_taken(visitor: Visitor) -> None:
    """A good conversion is answered with 200 and nothing else, and makes a customer."""
    response = visitor.send(email="ann@acme.test", sub_ids=["c"], meta={"phone": "1"}, new_field=1)

    assert (response.status_code, response.data) == (200, b"")
    assert "Content-Type" not in response.headers
    (received,) = visitor.show("received")
    assert (received["status"], received["accepted"], received["duplicate"]) == (200, True, False)
    assert received["body"]["new_field"] == 1
    assert received["headers"]["Content-Type"] == "application/json"
    assert [customer["customer_key"] for customer in visitor.show("customers")] == ["42"]


@pytest.mark.parametrize(
    "headers", [{}, BASIC, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}]
)
def test_conversion_wants_the_token(visitor: Visitor, headers: dict[str, str]) -> None:
    """Without the Bearer token the answer is 401 in JSON, for the other credential too."""
    response = visitor.client.post("/conversion/xid", json={}, headers=headers)

    assert response.status_code == 401
    assert response.get_json() == {
        "message": "Unauthorized: a Bearer token is expected here",
        "status": 401,
    }
    assert visitor.show("received")[0]["accepted"] is False


def test_token_may_look_like_anything(make_visitor: type[Visitor]) -> None:
    """A token is compared as text; an equals sign or an umlaut in it means nothing."""
    visitor = make_visitor(token="a=b")
    headers = {"Authorization": "bearer a=b"}
    response = visitor.client.post("/conversion/xid", data="x", headers=headers)

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("conversion", "message"),
    [
        ({"customer_key": "1"}, "'xid' is a required property"),
        ({"xid": "abcd"}, "'customer_key' is a required property"),
        ({"xid": " ", "customer_key": "1"}, "'xid': expected a string that is not empty"),
        ({"xid": "abcd", "customer_key": 7}, "'customer_key': expected a string that is not empty"),
    ],
)
def test_required_fields(visitor: Visitor, conversion: dict[str, Any], message: str) -> None:
    """A conversion without a click or a customer is answered with 400, naming the field."""
    response = visitor.client.post("/conversion/xid", json=conversion, headers=BEARER)

    assert (response.status_code, response.get_json()["message"]) == (400, message)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("email", None, "a string"),
        ("name", 1, "a string"),
        ("provider_key", [], "a string"),
        ("origin", {}, "a string"),
        ("ip_address", True, "a string"),
        ("user_agent", 1.5, "a string"),
        ("external_type", 0, "a string"),
        ("sub_ids", "c", "an array of strings"),
        ("sub_ids", ["c", 1], "an array of strings"),
        ("meta", [], "an object"),
    ],
)
def test_optional_fields(visitor: Visitor, field: str, value: object, expected: str) -> None:
    """An optional field of the wrong type is answered with 400, naming field and type."""
    response = visitor.send(**{field: value})

    assert response.status_code == 400
    assert response.get_json()["message"] == f"'{field}': expected {expected}"
    assert visitor.show("customers") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_body_is_a_json_object(visitor: Visitor, body: bytes) -> None:
    """What is no JSON object is answered with 400, however broken."""
    response = visitor.client.post("/conversion/xid", data=body, headers=BEARER)

    assert response.status_code == 400
    assert response.get_json()["message"].startswith("the body: expected a JSON object")


def test_body_has_a_bound(visitor: Visitor) -> None:
    """More than 1 MiB is answered with 413."""
    response = visitor.client.post("/conversion/xid", data=b"0" * 2**20 + b"0", headers=BEARER)

    assert response.status_code == 413


def test_repeated_customer_is_counted(visitor: Visitor) -> None:
    """A repeat is answered with 200 and flagged; the first conversion's customer stays."""
    visitor.send(name="first")
    assert visitor.send(name="second").status_code == 200

    assert [one["duplicate"] for one in visitor.show("received")] == [False, True]
    assert [one["accepted"] for one in visitor.show("received")] == [True, True]
    assert [one["name"] for one in visitor.show("customers")] == ["first"]


def test_repeated_customer_may_be_a_conflict(make_visitor: type[Visitor]) -> None:
    """With conflict_on_repeat a repeat is answered with 409 and not accepted."""
    visitor = make_visitor(conflict_on_repeat=True)
    visitor.send()

    assert visitor.send().status_code == 409
    assert [one["accepted"] for one in visitor.show("received")] == [True, False]


def test_unknown_click_is_taken(visitor: Visitor) -> None:
    """Unless told otherwise the sandbox takes any xid, and knows no partner for it."""
    assert visitor.send(xid="never").status_code == 200
    assert visitor.show("customers")[0]["partnership_key"] is None


def test_strict_clicks(make_visitor: type[Visitor]) -> None:
    """With strict_clicks an xid that no click made is answered with 404, a real one is taken."""
    visitor = make_visitor(strict_clicks=True)
    xid = parse_qs(visitor.click("/l/ann"))["ps_xid"][0]

    assert visitor.send(xid="never").status_code == 404
    assert visitor.send(xid=xid).status_code == 200


def test_customer_is_looked_up(make_visitor: type[Visitor]) -> None:
    """A customer is shown in the envelope, with its partner, its fields and times in ms."""
    visitor = make_visitor(test=True)
    xid = parse_qs(visitor.click("/l/ann"))["ps_xid"][0]
    visitor.send(xid=xid, email="a@acme.test", name="Ann", provider_key="cus_1", meta={"p": "1"})
    answer = visitor.look_up("42").get_json()
    data = answer.pop("data")

    assert answer == {"message": "Customer found", "status": 200}
    assert (data["customer_key"], data["email"], data["name"]) == ("42", "a@acme.test", "Ann")
    assert (data["provider_key"], data["test"], data["mdata"]) == ("cus_1", True, {"p": "1"})
    assert data["fields"] == [{"api_name": "p", "name": "p", "value": "1"}]
    assert data["key"].startswith("cus_")
    assert data["partnership_key"].startswith("part_")
    assert data["created_at"] == data["updated_at"] > 1_700_000_000_000


@pytest.mark.parametrize(
    "key",
    ["a/b", "/a//b/", "100%", "%2F", "a b", "a+b", "é€", "a?b#c", "x\ny", "..", "ann@acme.test"],
)
def test_customer_key_may_be_anything(visitor: Visitor, key: str) -> None:
    """Slashes, per cent signs, spaces and other scripts in a key are no obstacle."""
    visitor.send(key)

    assert visitor.look_up(key).get_json()["data"]["customer_key"] == key


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("42", 200),
        ("a b", 200),
        ("50%", 200),
        ("a/b", 404),
        ("%2F", 404),
        ("a\\b", 404),
        ("%41", 404),
    ],
)
def test_customer_keys_may_be_decoded(make_visitor: type[Visitor], key: str, status: int) -> None:
    """With decode_keys a slash leads elsewhere, and %41 is an A, however they were quoted."""
    visitor = make_visitor(decode_keys=True)
    visitor.send(key)

    assert visitor.look_up(key).status_code == status


def test_unknown_customer(visitor: Visitor) -> None:
    """Nobody of that name is a 404 in the envelope, and the look-up is remembered."""
    response = visitor.look_up("nobody")

    assert response.get_json() == {"message": "Customer not found", "status": 404}
    (lookup,) = visitor.show("lookups")
    assert (lookup["customer_key"], lookup["status"]) == ("nobody", 404)


@pytest.mark.parametrize(
    "headers", [{}, BEARER, {"Authorization": "Basic cGs6c2s="}, {"Authorization": "Basic é"}]
)
def test_look_up_wants_the_key_pair(visitor: Visitor, headers: dict[str, str]) -> None:
    """Without the key pair a look-up is answered with 401, for the Bearer token too."""
    response = visitor.client.get("/api/v2/customers/42", headers=headers)

    assert response.status_code == 401


def test_read_back_lag(make_visitor: type[Visitor]) -> None:
    """Until the configured lag is over, an accepted conversion cannot be looked up."""
    visitor = make_visitor(lag=3600)
    visitor.send()

    assert visitor.look_up("42").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/conversion/xid", 405), ("GET", "/x", 404)]
)
def test_refusals_are_json(visitor: Visitor, method: str, path: str, status: int) -> None:
    """A wrong method or path is answered in the envelope too."""
    assert visitor.client.open(path, method=method).get_json()["status"] == status
