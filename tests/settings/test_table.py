"""The table: each key, its default and its meaning, and what is said of one that is not in it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from dataclasses import fields
from typing import Any

import pytest

from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.ledger import Place
from flask_partnerstack.settings import Settings
from tests.settings.reading import DEFAULTS
from tests.settings.reading import KEYS
from tests.settings.reading import SECRET
from tests.settings.reading import read
from tests.settings.reading import refused


@pytest.mark.parametrize("key", KEYS)
def test_default(key: str) -> None:
    """Each key has the documented default, when it is not in the configuration."""
    assert getattr(read(), key.lower()) == DEFAULTS[key]


@pytest.mark.parametrize("key", KEYS)
def test_default_is_a_good_value(key: str) -> None:
    """A default may be written out; nothing changes."""
    assert read(**{key: DEFAULTS[key]}) == read()


@pytest.mark.parametrize("key", KEYS)
def test_meaning(key: str) -> None:
    """Each key says what it means, in a sentence."""
    meanings = {field.name.upper(): field.metadata["meaning"] for field in fields(Settings)}
    assert meanings[key].endswith(".")


def test_half_a_pair() -> None:
    """The secret half alone names the other, which is missing."""
    with pytest.raises(ConfigurationError, match=r"^PARTNERSTACK_PUBLIC_KEY: expected both halves"):
        read(SECRET_KEY="sk_a")


def test_public_half_is_enough_for_the_snippet(caplog: pytest.LogCaptureFixture) -> None:
    """The public half alone is taken, and it is said that nothing is verified then."""
    assert not read(PUBLIC_KEY="pk_a").verifies
    assert "nothing is verified" in caplog.text


def test_verifies() -> None:
    """Both halves of the pair switch verification on."""
    assert read(PUBLIC_KEY="pk_a", SECRET_KEY="sk_a").verifies
    assert not read().verifies


def test_insecure_cross_site_cookie() -> None:
    """SameSite=None without Secure, which browsers refuse, is refused."""
    assert "browsers refuse it" in refused("COOKIE_SECURE", False, COOKIE_SAMESITE="None")
    assert read(COOKIE_SAMESITE="None").cookie_secure is None


@pytest.mark.parametrize("name", ["__Secure-ref", "__Host-ref", "__host-ref", "__Http-ref"])
def test_insecure_cookie_with_a_prefix(name: str) -> None:
    """A name that promises browsers a Secure cookie, without one, is refused as well."""
    said = refused("COOKIE_SECURE", False, COOKIE_NAME=name)
    assert said.startswith(f"PARTNERSTACK_COOKIE_NAME='{name}' needs a Secure cookie")


@pytest.mark.parametrize(("key", "value"), [("COOKIE_DOMAIN", "acme.com"), ("COOKIE_PATH", "/app")])
def test_host_cookie_elsewhere(key: str, value: str) -> None:
    """A name that binds the cookie to its host takes no domain and no path, and has ways out."""
    said = refused(key, value, COOKIE_NAME="__Host-ref")
    assert "leave this key out" in said
    assert "__Secure-" in said
    assert read(COOKIE_NAME="__Secure-ref", **{key: value}).cookie_name == "__Secure-ref"


@pytest.mark.parametrize("key", ["SESSION_COOKIE_NAME", "REMEMBER_COOKIE_NAME"])
def test_cookie_of_the_apps_own(key: str) -> None:
    """The name of the app's session, or of Flask-Login's, is refused: ours would replace it."""
    config = {key: "session", "PARTNERSTACK_COOKIE_NAME": "session"}
    with pytest.raises(ConfigurationError, match=rf"^PARTNERSTACK_COOKIE_NAME: .*{key}"):
        Settings.from_mapping(config)
    assert Settings.from_mapping({**config, key: "other"}).cookie_name == "session"


def test_one_parameter_for_click_and_partner() -> None:
    """A name of both would have each click's ID recorded as its partner's key."""
    said = refused("PARTNER_KEY_PARAMS", ["gspk", "ref"], XID_PARAMS=["ps_xid", "ref"])
    assert said.startswith("ref is one of PARTNERSTACK_XID_PARAMS, too.")


def test_secrets_are_not_shown() -> None:
    """The token, the key pair and the ledger's password are in no repr."""
    settings = read(
        TOKEN=f"{SECRET}1",
        PUBLIC_KEY=f"pk_{SECRET}2",
        SECRET_KEY=f"sk_{SECRET}3",
        LEDGER_URL=f"postgresql://user:{SECRET}4@db/app",
    )
    assert SECRET not in f"{settings} {settings!r}"
    place = Place.of(f"postgresql://user@db/app?password={SECRET}5", "instance")
    assert SECRET not in repr(place)
    assert settings.token == f"{SECRET}1"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("TOKN", "TOKEN"), ("XID_PARAM", "XID_PARAMS"), ("COOKIE_SAMSITE", "COOKIE_SAMESITE")],
)
def test_mistyped_key(typed: str, meant: str, caplog: pytest.LogCaptureFixture) -> None:
    """A key that nothing reads is warned of, with the one that was probably meant."""
    read(**{typed: SECRET})
    [record] = caplog.records
    assert record.getMessage() == (
        f"PARTNERSTACK_{typed} is not a key that Flask-PartnerStack reads. "
        f"Did you mean PARTNERSTACK_{meant}?"
    )


def test_unknown_key(caplog: pytest.LogCaptureFixture) -> None:
    """A key like no other is warned of without a guess."""
    read(ZZZ=1)
    assert caplog.messages == ["PARTNERSTACK_ZZZ is not a key that Flask-PartnerStack reads."]


def test_other_peoples_keys(caplog: pytest.LogCaptureFixture) -> None:
    """What does not start with our prefix is not ours."""
    config: dict[Any, Any] = {"TOKEN": 1, "MYPARTNERSTACK_TOKEN": 1, 7: 1}
    assert Settings.from_mapping(config) == Settings()
    assert caplog.records == []


def test_frozen() -> None:
    """Settings never change, and hold nothing that does."""
    policy = {404: "retry"}
    settings = read(STATUS_POLICY=policy, XID_PARAMS=["a"])
    policy[500] = "accept"
    assert settings.status_policy == {404: "retry"}
    assert settings.xid_params == ("a",)
    with pytest.raises(FrozenInstanceError):
        settings.token = "other"  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        settings.status_policy[500] = "accept"  # type: ignore[index]  # likewise
