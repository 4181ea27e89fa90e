from __future__ import annotations

import pytest

from flask_partnerstack.sandbox.loopback import hostname
from flask_partnerstack.sandbox.loopback import is_loopback
from flask_partnerstack.sandbox.loopback import is_this_machine


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost"]
)
def test_this_machine(host: str) -> None:
    """Loopback is 127.0.0.0/8, ::1 and localhost."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.acme.test", "127.1"])
def test_another_machine(host: str) -> None:
    """Nothing else is, however similar it looks."""
    assert not is_loopback(host)


def test_names_that_no_dns_is_asked_for() -> None:
    """A name under localhost is this machine, and nothing that only begins or ends like one."""
    assert is_this_machine("www.shop.localhost")
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("localhost.acme.test")
    assert not is_this_machine("notlocalhost")


@pytest.mark.parametrize(
    ("authority", "host"), [("[::1]:80", "::1"), ("Acme.test:80", "acme.test"), ("[", ""), ("", "")]
)
def test_host_without_its_port(authority: str, host: str) -> None:
    """What cannot be read is nobody."""
    assert hostname(authority) == host
