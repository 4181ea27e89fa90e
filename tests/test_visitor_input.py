"""Nothing that a visitor can send makes a page fail; what we write, we read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest
from flask import Flask
from flask import g
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import current_referral
from flask_partnerstack.referral import EMPTY
from flask_partnerstack.referral import Memory
from flask_partnerstack.referral import decode_partner_key
from flask_partnerstack.referral import valid_xid
from flask_partnerstack.referral.memory import LONGEST_COOKIE

OURS = "partnerstack_referral"
NAMES = ("ps_xid", "gsxid", "ps_partner_key", "gspk", "sid", "amp;ps_xid", OURS)
THEIRS = (OURS, "ps_xid", "gsxid", "ps_partner_key", "_ps_xid_Uh_Bm", "_gsxidUh", "_grsmpkUh")
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

# What a WSGI server hands on: any bytes, each as one character.
raw = st.binary(max_size=300).map(lambda octets: octets.decode("latin-1"))
printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)
xids = st.from_regex(r"[0-9A-Za-z_-]{4,128}", fullmatch=True)
moments = st.integers(1, int(NOW.timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, timezone.utc)
)
referrals = st.builds(
    Referral,
    xid=xids,
    partner_key=st.none() | printable.map(lambda key: key[:512]),
    clicked_at=moments,
    sub_ids=st.lists(printable.map(lambda sub_id: sub_id[:255]), max_size=10).map(tuple),
    source=st.just("cookie"),
)
memories = st.builds(
    Memory,
    referrals,
    script_xid=st.none() | xids,
    superseded=st.lists(xids, max_size=5).map(tuple),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    app = Flask("app", instance_path=str(tmp_path_factory.mktemp("instance")))
    app.config.update(PARTNERSTACK_ENGINE="none", SECRET_KEY="opens the session, too")
    PartnerStack(app)

    @app.get("/")
    def page() -> str:
        assert g.partnerstack == current_referral
        return f"<p>{g.partnerstack.xid} {g.partnerstack.partner_key} {g.partnerstack.sub_ids}"

    with app.test_client(use_cookies=False) as client:
        yield client


def check_page(client: FlaskClient, query: str = "", cookies: str = "") -> None:
    response = client.get("/", environ_overrides={"QUERY_STRING": query, "HTTP_COOKIE": cookies})

    assert response.status_code == 200
    for line in response.headers.getlist("Set-Cookie"):
        assert line.startswith(f"{OURS}=v=1&x=")
        assert len(line.split(";")[0]) <= LONGEST_COOKIE + len(OURS) + 1


def log_stays_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert [record for record in caplog.records if record.exc_info] == []


unhurried = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@unhurried
@given(raw)
@example("ps_xid=Kvx64pph9uhCju&utm_term=caf\xe9")
@example("ps_xid=" + "x" * 65_536)
@example("&" * 65_536 + "ps_xid=abcd")
def test_any_query_string(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    """No query string makes a page fail, or our hooks complain."""
    check_page(client, query=query)
    log_stays_empty(caplog)


@unhurried
@given(st.lists(st.tuples(st.sampled_from(NAMES), raw), max_size=8))
@example([("ps_xid", "abcd"), ("gspk", "\x00")])
def test_any_values_under_our_names(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, fields: list[tuple[str, str]]
) -> None:
    """No value under a name that we read makes a page fail."""
    check_page(client, query="&".join(f"{name}={value}" for name, value in fields))
    log_stays_empty(caplog)


@unhurried
@given(raw)
@example('ps_xid="\\777; ' + '"' * 4096)
@example("ps_xid=; ps_xid; =ps_xid; ;;;")
def test_any_cookie_header(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """No Cookie header makes a page fail, or our hooks complain."""
    check_page(client, cookies=header)
    log_stays_empty(caplog)


@unhurried
@given(st.lists(st.tuples(st.sampled_from(THEIRS), raw), max_size=8), raw)
def test_any_values_of_known_cookies(
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    cookies: list[tuple[str, str]],
    query: str,
) -> None:
    """No value of a cookie that we read makes a page fail."""
    check_page(client, query, "; ".join(f"{name}={value}" for name, value in cookies))
    log_stays_empty(caplog)


@unhurried
@given(st.integers(0, 10**13), xids, raw)
@example(253_402_300_800, "abcd", "")
@example(10**11 - 1, "abcd", "&k=%ff&s=%00")
def test_any_value_of_our_cookie(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, at: int, xid: str, rest: str
) -> None:
    """No stored cookie makes a page fail, however near it is to one that we wrote."""
    value = f"v=1&x={xid}&t={at}&{rest}"

    check_page(client, cookies=f"{OURS}={value}")
    check_page(client, "ps_xid=newer1", f'{OURS}="{value}"')
    log_stays_empty(caplog)


@unhurried
@given(memories)
def test_memory_comes_back(memory: Memory) -> None:
    """A memory is written in 2 KiB, and comes back but for what had to go."""
    value = memory.dumps()
    found = Memory.loads(value, NOW)

    assert len(value) <= LONGEST_COOKIE
    assert value.isascii()
    assert found is not None
    assert found.referral.xid == memory.referral.xid
    assert found.referral.clicked_at == memory.referral.clicked_at
    assert found.referral.partner_key in (memory.referral.partner_key, None)
    assert found.referral.sub_ids in (memory.referral.sub_ids, ())
    assert (found.script_xid, found.superseded) == (memory.script_xid, memory.superseded)


@unhurried
@given(xids, st.none() | st.text("abcdefghij-&=+% ü", min_size=1, max_size=40), moments)
def test_short_memory_comes_back_whole(
    xid: str, partner_key: str | None, clicked_at: datetime
) -> None:
    """What fits is not shortened."""
    key = partner_key.strip() or None if partner_key is not None else None
    memory = Memory(Referral(xid, key, clicked_at, ("c001", "ü&="), "cookie"), xid, (xid,))

    assert Memory.loads(memory.dumps(), NOW) == memory


@unhurried
@given(st.text(max_size=3000) | raw)
def test_garbage_is_no_memory(value: str) -> None:
    """Whatever stands in our cookie is a memory with a valid click, not of the future, or none."""
    memory = Memory.loads(value, NOW)

    if memory is not None:
        assert valid_xid(memory.referral.xid)
        assert memory.referral.clicked_at is not None
        assert memory.referral.clicked_at <= NOW + timedelta(minutes=1)


@unhurried
@given(referrals)
def test_referral_comes_back(referral: Referral) -> None:
    """A referral that is stored comes back, to the second."""
    stored = Referral.loads(referral.dumps())

    assert stored.source == "stored"
    assert (stored.xid, stored.partner_key) == (referral.xid, referral.partner_key)
    assert (stored.clicked_at, stored.sub_ids) == (referral.clicked_at, referral.sub_ids)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
contents = st.fixed_dictionaries(
    {"v": st.just(1)},
    optional=dict.fromkeys(("xid", "partner_key", "clicked_at", "sub_ids"), json_values),
)


@unhurried
@given(st.text() | json_values.map(json.dumps) | contents.map(json.dumps))
@example('{"v":1,"partner_key":"ada","clicked_at":0}')
@example('{"v":1,"partner_key":"ada","clicked_at":-0.5}')
@example('{"v":1,"partner_key":"ada","clicked_at":1e999}')
def test_garbage_is_nobody(text: str) -> None:
    """Whatever is stored is somebody's valid referral, or nobody's, and never an error."""
    referral = Referral.loads(text)

    assert referral is EMPTY or referral.source == "stored"
    assert referral.xid is None or valid_xid(referral.xid)
    assert Referral.loads(referral.dumps()) == referral


@unhurried
@given(printable.filter(lambda key: len(key.encode()) <= 300))
def test_partner_key_survives_its_link(key: str) -> None:
    """Every printable key that a link encodes is decoded, padded or not, in either alphabet."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(key.encode()).decode()
        for written in (text, text.rstrip("="), text[:-1].replace("+", " ") + text[-1]):
            assert decode_partner_key(written) == key
