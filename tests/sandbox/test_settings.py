from __future__ import annotations

from typing import Any

import pytest

from flask_partnerstack.sandbox import SandboxSettings


@pytest.mark.parametrize(
    "landing",
    [
        "",
        "acme.test",
        "ftp://acme.test/",
        "javascript:alert(1)",
        "http://",
        "http://[/",
        "http://a b/",
    ],
)
def test_landing_is_a_web_address(landing: str) -> None:
    """A visitor can be sent to http and https only, and the message names the field."""
    with pytest.raises(ValueError, match=r"^landing: expected an http or https URL"):
        SandboxSettings(landing=landing)


@pytest.mark.parametrize("name", ["token", "public_key", "secret_key"])
def test_credentials_are_not_empty(name: str) -> None:
    """A blank credential would let everybody in, so it is refused."""
    blank: dict[str, Any] = {name: " "}
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        SandboxSettings(**blank)


@pytest.mark.parametrize("lag", [-1, float("inf"), float("nan")])
def test_lag_is_a_number_of_seconds(lag: float) -> None:
    """A lag that never ends, or ended before it began, is refused."""
    with pytest.raises(ValueError, match=r"^lag: expected seconds"):
        SandboxSettings(lag=lag)
