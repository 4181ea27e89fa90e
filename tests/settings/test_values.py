"""Values: what each key takes, and what is said of a value that it cannot take."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.settings import is_loopback
from tests.settings.reading import DEFAULTS
from tests.settings.reading import KEYS
from tests.settings.reading import SECRET
from tests.settings.reading import read
from tests.settings.reading import refused


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("TOKEN", " t0ken\n", "t0ken"),
        ("TOKEN", "", None),
        ("PUBLIC_KEY", "", None),
        ("LEDGER_URL", "", None),
        ("COOKIE_DOMAIN", "", None),
        ("COOKIE_DOMAIN", ".acme.com", ".acme.com"),
        ("COOKIE_DOMAIN", ".bücher.de", ".xn--bcher-kva.de"),
        ("ENABLED", "true", True),
        ("ENABLED", "False", False),
        ("ENABLED", " 0 ", False),
        ("SEND_IP", "no", False),
        ("SEND_USER_AGENT", "off", False),
        ("SEND_EMAIL", "hash", "hash"),
        ("SEND_EMAIL", "false", False),
        ("SEND_NAME", "hash", "hash"),
        ("RETENTION", 30, timedelta(days=30)),
        ("RETENTION", "30", timedelta(days=30)),
        ("RETENTION", "", None),
        ("COOKIE_SECURE", "on", True),
        ("COOKIE_SECURE", "1", True),
        ("CONVERSION_URL", "http://127.0.0.1:8787/conversion/xid/", None),
        ("API_URL", "http://localhost:8787", None),
        ("API_URL", "http://[::1]:8787", None),
        ("API_URL", "https://bücher.example", None),
        ("SCRIPT_URL", "https://try.acme.com/pr/js", "https://try.acme.com/pr/js"),
        ("SCRIPT_URL", "http://127.0.0.1:8787/pr/js", "http://127.0.0.1:8787/pr/js"),
        ("CAPTURE_PATH", "/click", "/click"),
        ("CAPTURE_PATH", "", None),
        ("TIMEOUT", 5, (5.0, 5.0)),
        ("TIMEOUT", "5", (5.0, 5.0)),
        ("TIMEOUT", "3.05, 10", (3.05, 10.0)),
        ("TIMEOUT", [1, 30], (1.0, 30.0)),
        ("CONCURRENCY", "8", 8),
        ("CONCURRENCY", 64, 64),
        ("ATTRIBUTION_WINDOW", 30, timedelta(days=30)),
        ("ATTRIBUTION_WINDOW", "30", timedelta(days=30)),
        ("ATTRIBUTION_WINDOW", timedelta(hours=1), timedelta(hours=1)),
        ("GIVE_UP_AFTER", 0.5, timedelta(hours=12)),
        ("VERIFY_AFTER", "900", timedelta(minutes=15)),
        ("LEASE", 120, timedelta(minutes=2)),
        ("XID_PARAMS", "ps_xid,click", ("ps_xid", "click")),
        ("XID_PARAMS", " ps_xid , click ", ("ps_xid", "click")),
        ("PARTNER_KEY_PARAMS", ["gspk"], ("gspk",)),
        ("STATUS_POLICY", {404: "retry", 500: "accept"}, {404: "retry", 500: "accept"}),
        ("STATUS_POLICY", {"404": "retry"}, {404: "retry"}),
        ("STATUS_POLICY", '{"404": "retry"}', {404: "retry"}),
    ],
)
def test_good_value(key: str, value: object, expected: object) -> None:
    """A value is taken as people write it, in Python or in the environment."""
    wanted = str(value).rstrip("/") if key.endswith("_URL") and value else expected
    assert getattr(read(**{key: value}), key.lower()) == wanted


TEXTS = ("TOKEN", "PUBLIC_KEY", "SECRET_KEY", "LEDGER_URL", "COOKIE_DOMAIN", "CAPTURE_PATH")
URLS = ("CONVERSION_URL", "API_URL", "SCRIPT_URL")
SWITCHES = ("ENABLED", "SEND_IP", "SEND_USER_AGENT", "COOKIE_SECURE")
DURATIONS = ("ATTRIBUTION_WINDOW", "GIVE_UP_AFTER", "VERIFY_AFTER", "LEASE")
NAMES = ("XID_PARAMS", "PARTNER_KEY_PARAMS")
CHOICES = ("ENGINE", "ATTRIBUTION", "COOKIE_SAMESITE")


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("value", [7, True, b"text", ["text"], "   ", "a\x00b", "a\nb"])
def test_bad_text(key: str, value: object) -> None:
    """A text is printable text."""
    assert refused(key, value).startswith("expected printable text, got ")


#: Longer than Python writes one, or reads one from a text.
ENDLESS = pytest.param(10**5000, id="endless")


@pytest.mark.parametrize("key", ["TOKEN", "PUBLIC_KEY", "SECRET_KEY", "LEDGER_URL"])
@pytest.mark.parametrize("value", [48151623421111, 4.8151623421111, ENDLESS])
def test_secret_of_figures(key: str, value: object) -> None:
    """A secret that was read as a number is not shown, and it is said how to write it."""
    said = refused(key, value)
    assert "4815" not in said
    assert "a number. Put it in quotes" in said
    assert f"FLASK_PARTNERSTACK_{key}='\"…\"'" in said


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", [int, float, str])
def test_mistaken_number_is_not_told(key: str, kind: type) -> None:
    """A number as long as a credential is told under no key, because it may be one."""
    figures = "48151623421111"
    for value in (kind(figures), [kind(figures)], {404: kind(figures)}):
        try:
            read(**{key: value})
        except ConfigurationError as e:
            trace = f"{e} {e.__cause__}"
            assert figures[:8] not in trace


@pytest.mark.parametrize("key", ["CONCURRENCY", "TIMEOUT", "LEASE", "ATTRIBUTION_WINDOW"])
@pytest.mark.parametrize("value", ["1" * 5000, ENDLESS])
def test_endless_number(key: str, value: object) -> None:
    """A number that Python does not take apart is a bad value like any other."""
    assert refused(key, value).endswith(("got a text of 5000 characters.", "got a long number."))


@pytest.mark.parametrize("status", ["1" * 5000, ENDLESS])
def test_endless_status(status: object) -> None:
    """So is a status."""
    assert refused("STATUS_POLICY", {status: "retry"}).startswith("expected HTTP statuses")


@pytest.mark.parametrize("key", ["TOKEN", "PUBLIC_KEY", "SECRET_KEY"])
@pytest.mark.parametrize("value", ["two words", "clé", "\N{FULLWIDTH LATIN SMALL LETTER A}"])
def test_bad_credential(key: str, value: str) -> None:
    """A credential has to go into a header as it is."""
    assert refused(key, value) == "expected a credential: ASCII characters, no white space."


@pytest.mark.parametrize("value", ["pk_live_a", "sk_live_a", " sk_a\n"])
def test_key_as_token(value: str) -> None:
    """One of the key pair as the token is refused, with the place where the token is."""
    said = refused("TOKEN", value)
    assert "Settings → Integrations" in said
    assert "PARTNERSTACK_PUBLIC_KEY and PARTNERSTACK_SECRET_KEY" in said
    assert "live" not in said


def test_keys_in_each_others_place() -> None:
    """The halves of the pair in each other's place are noticed."""
    assert "expected the key with pk_" in refused("PUBLIC_KEY", "sk_a", SECRET_KEY="sk_b")
    assert "expected the key with sk_" in refused("SECRET_KEY", "pk_a", PUBLIC_KEY="pk_b")


@pytest.mark.parametrize("key", URLS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "expected an https:// URL, got None. Leave the key out"),
        ("", "expected an https:// URL, got ''. Leave the key out"),
        (7, "expected printable text"),
        ("partnerlinks.io/conversion/xid", "expected an https:// URL"),
        ("ftp://partnerlinks.io", "expected an https:// URL"),
        ("https://", "expected an https:// URL"),
        ("https://host:port", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://exa mple.com", "without white space"),
        ("https://user:word@host", "without a user name or password"),
        ("http://partnerlinks.io", "for this machine (127.0.0.1, localhost) only"),
        ("http://localhost.evil.example", "for this machine"),
        ("http://127.0.0.1.nip.example", "for this machine"),
        ("http://10.0.0.1", "for this machine"),
        ("http://127.0.0.1\\@evil.example", "without a user name or password"),
    ],
)
def test_bad_url(key: str, value: object, said: str) -> None:
    """A URL is https and readable; plain http goes to this machine only."""
    assert said in refused(key, value)


@pytest.mark.parametrize("key", SWITCHES)
def test_switch_of_the_environment(key: str) -> None:
    """FLASK_PARTNERSTACK_…=0, which Flask reads as JSON, is off, and 1 is on."""
    assert [read(**{key: value}) for value in (0, 1)] == [
        read(**{key: value}) for value in (False, True)
    ]


@pytest.mark.parametrize(("given", "shown"), [(-1, "-1"), ("-1", "-1"), ("-0.5", "-0.5")])
def test_bad_duration_is_shown_as_it_was_typed(given: object, shown: str) -> None:
    """The error has the number that stands in the configuration, not what came of it."""
    assert refused("ATTRIBUTION_WINDOW", given).endswith(f", got {shown}.")


def test_scheme_that_sqlalchemy_does_not_know() -> None:
    """Heroku's postgres:// is refused with the scheme to write, and its password is not shown."""
    said = refused("LEDGER_URL", "postgres://u:s3cret@db.acme.com/app")
    assert "postgresql+psycopg://" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("key", SWITCHES)
@pytest.mark.parametrize(
    "value", [2, -1, pytest.param(10**5000, id="endless"), 1.0, 0.0, "maybe", "", [], b"true"]
)
def test_bad_switch(key: str, value: object) -> None:
    """A switch is True or False, or 1 or 0, which the environment has; not any other number."""
    assert refused(key, value).startswith("expected True or False, got ")


@pytest.mark.parametrize("key", CHOICES)
@pytest.mark.parametrize("value", ["threads", "", None, 1, ["thread"]])
def test_bad_choice(key: str, value: object) -> None:
    """One of a few is one of them, and they are listed."""
    assert repr(DEFAULTS[key]) in refused(key, value)


@pytest.mark.parametrize("key", DURATIONS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        "-1",
        "soon",
        "",
        timedelta(0),
        timedelta(days=-1),
        timedelta.max,
        float("nan"),
        float("inf"),
        10**30,
        10**12,
        "nan",
    ],
)
def test_bad_duration(key: str, value: object) -> None:
    """A duration is above nothing and within a lifetime."""
    assert refused(key, value).startswith("expected a timedelta or ")


def test_short_lease() -> None:
    """A lease is at least four times what one send may take."""
    assert refused("LEASE", 119).startswith("expected at least 120 seconds")


@pytest.mark.parametrize(
    "value",
    [None, 0, -1, 31, True, "soon", "", "1,2,3", (1,) * 3, (), (1, None), (1, True), float("nan")],
)
def test_bad_timeout(value: object) -> None:
    """A timeout is one number or two, of seconds, within the deadline of a send."""
    assert refused("TIMEOUT", value).startswith("expected (connect, read) in seconds")


@pytest.mark.parametrize("value", [None, 0, 65, -1, 2.0, True, "", "four", "4.0", "-4"])
def test_bad_concurrency(value: object) -> None:
    """A whole number within its bounds."""
    assert refused("CONCURRENCY", value).startswith("expected a whole number from 1 to 64, got ")


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize(
    "value", [None, "", (), [], ("a", ""), ("a", 1), {"a"}, "a,,b", "a b", "ps&xid", "naïve"]
)
def test_bad_names(key: str, value: object) -> None:
    """Parameters have names that can be in a query string, and one is needed."""
    assert refused(key, value).startswith("expected a tuple of parameter names, at least one")


@pytest.mark.parametrize("value", [None, "", "a b", "a;b", 'a"', "a=b", "a,b", "ç", 1])
def test_bad_cookie_name(value: object) -> None:
    """A cookie's name is one that browsers take."""
    assert refused("COOKIE_NAME", value).startswith("expected a cookie name, got ")


@pytest.mark.parametrize("path", ["", "/", "/api/v2", "/api/v2/"])
def test_api_as_partnerstacks_pages_write_it(path: str) -> None:
    """The version is part of their base URL, and of no host."""
    assert read(API_URL=f"https://api.example{path}").api_url == "https://api.example"


@pytest.mark.parametrize("rest", ["?key=1", "#v2"])
def test_api_is_a_host(rest: str) -> None:
    """What comes after a path would be in the middle of ours."""
    assert refused("API_URL", f"https://api.example/{rest}").startswith("expected a host, like")


@pytest.mark.parametrize(
    "value", ["ps_xid", "gsxid", "ps_partner_key", "growSumoPartnerKey", "pscd"]
)
def test_their_cookie_name(value: str) -> None:
    """The names of PartnerStack's own cookies are taken."""
    assert "PartnerStack's own cookie" in refused("COOKIE_NAME", value)


@pytest.mark.parametrize("value", ["app", "/a;b", "", None])
def test_bad_cookie_path(value: object) -> None:
    """A cookie's path starts at the root."""
    assert refused("COOKIE_PATH", value).startswith("expected ")


@pytest.mark.parametrize(
    "value", ["https://acme.com", "acme.com:80", "acme.com/", "a b", "a;b", "acme..com"]
)
def test_bad_cookie_domain(value: str) -> None:
    """A cookie's domain is a bare one."""
    assert refused("COOKIE_DOMAIN", value).startswith("expected a bare domain, like acme.com")


@pytest.mark.parametrize("value", ["click", "//a b", "/a?b", "/a#b", "/<b>", "https://acme.com/"])
def test_bad_capture_path(value: str) -> None:
    """The endpoint's path is one, and no pattern."""
    assert refused("CAPTURE_PATH", value).startswith("expected a path that starts with /")


@pytest.mark.parametrize(
    "value", [None, "404", ["retry"], {"4xx": "retry"}, {True: "retry"}, {99: "retry"}, {600: ""}]
)
def test_bad_status_policy(value: object) -> None:
    """A policy is a dict of statuses."""
    said = refused("STATUS_POLICY", value)
    assert said.startswith(("expected a dict like", "expected HTTP statuses"))


def test_bad_verdict() -> None:
    """A verdict is one of four, and the error names its status."""
    with pytest.raises(ConfigurationError, match=r"^PARTNERSTACK_STATUS_POLICY\[404\]: .*'reject'"):
        read(STATUS_POLICY={404: "ignore"})


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "secret", [SECRET, f"sk_{SECRET}", f"https://u:{SECRET}", f"a:{SECRET}@b", f"{SECRET}\x00"]
)
def test_mistaken_secret_is_not_told(key: str, secret: str) -> None:
    """A secret that was put under the wrong key is refused, if it is, without a word of it."""
    for value in (secret, (secret, secret), {secret: secret}, {404: secret}, [secret]):
        try:
            read(**{key: value})
        except ConfigurationError as e:
            trace = f"{e} {e.__cause__}"
            assert SECRET not in trace


@pytest.mark.parametrize("value", ["thraed", "", 7, None, timedelta(days=1), 1.5, True])
def test_harmless_value_is_told(value: object) -> None:
    """A word, a number or nothing is told as it was, so that it can be found."""
    assert refused("ENGINE", value).endswith(f"got {value!r}.")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://127.9.9.9", True),
        ("http://[::1]/", True),
        ("http://LOCALHOST", True),
        ("http://app.localhost", True),
        ("http://128.0.0.1", False),
        ("http://localhost.example", False),
        ("https://partnerlinks.io", False),
        ("nothing", False),
    ],
)
def test_is_loopback(url: str, expected: bool) -> None:
    """Loopback is this machine, by any of its names, and nothing that looks like one."""
    assert is_loopback(url) is expected


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=5),
    st.timedeltas(),
    st.lists(st.one_of(st.text(max_size=5), st.integers(), st.floats()), max_size=3),
    st.dictionaries(st.one_of(st.integers(), st.text(max_size=3)), st.text(max_size=6), max_size=2),
    st.just(SimpleNamespace()),
)


@given(st.sampled_from(KEYS), values)
def test_nothing_else_is_raised(key: str, value: object) -> None:
    """Whatever is configured, it is taken or it is a configuration error."""
    with suppress(ConfigurationError):
        read(**{key: value})
