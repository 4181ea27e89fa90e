"""``track_conversion``: what is recorded, from where, and what it refuses."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask import g
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from flask_partnerstack import Entry
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack._state import this_app
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.errors import NotInitialized
from tests.kit import LANDING
from tests.kit import PARTNER_KEY
from tests.kit import XID
from tests.kit import Clock

MakeApp = Callable[..., Flask]

STORED = Referral(xid="StoredClick123", partner_key="stored-partner", sub_ids=("one",))


def arrive(app: Flask, query: str = LANDING, **request: Any) -> Any:
    return app.test_request_context(f"/signup?{query}", **request)


def recorded(app: Flask, entry: Entry | None) -> dict[str, Any]:
    assert entry is not None
    conversion = get_state(app).ledger.conversion_of(entry)
    return {name: getattr(conversion, name) for name in conversion.__dataclass_fields__}


def test_a_referred_signup_is_recorded_with_what_the_request_knows(app: Flask) -> None:
    """Click, partner, host, address and browser are filled in from the visitor's own request."""
    with arrive(
        app,
        f"{LANDING}&sid=news&sid1=top",
        base_url="https://acme.com",
        headers={"User-Agent": "Firefox"},
        environ_base={"REMOTE_ADDR": "198.51.100.42"},
    ):
        entry = track_conversion("acme", email="jo@acme.com")
    assert entry is not None
    assert (entry.status, entry.xid, entry.partner_key) == (Status.PENDING, XID, PARTNER_KEY)
    facts = recorded(app, entry)
    assert facts["email"] == "jo@acme.com"
    assert facts["origin"] == "acme.com"
    assert facts["ip_address"] == "198.51.100.42"
    assert facts["user_agent"] == "Firefox"
    assert facts["sub_ids"] == ("news", "top")


def test_what_the_caller_says_wins(app: Flask) -> None:
    """An argument given is taken before what the request would have said."""
    with arrive(app, f"{LANDING}&sid=news"):
        entry = track_conversion(
            "acme", origin="shop.acme.com", ip_address="192.0.2.7", user_agent="x", sub_ids=["mine"]
        )
    facts = recorded(app, entry)
    assert (facts["origin"], facts["ip_address"]) == ("shop.acme.com", "192.0.2.7")
    assert (facts["user_agent"], facts["sub_ids"]) == ("x", ("mine",))


def test_nobody_referred_is_nobody_recorded(app: Flask) -> None:
    """Without a click there is nothing to report, and ``None`` says so."""
    with app.test_request_context("/signup"):
        assert track_conversion("acme") is None
    assert sum(get_state(app).ledger.counts().values()) == 0


def test_a_partner_key_alone_converts_nobody(app: Flask) -> None:
    """Only a click can be reported: a partner's name is no click."""
    with arrive(app, "ps_partner_key=NTQ2YWI1Y2MzNGY4"):
        assert track_conversion("acme") is None


def test_a_second_call_returns_the_first_entry(app: Flask) -> None:
    """One customer key is recorded once, whatever the second click was."""
    with arrive(app):
        first = track_conversion("acme")
    with arrive(app, "ps_xid=AnotherClick12"):
        second = track_conversion("acme")
    assert first == second


def test_a_stored_xid_takes_nothing_from_the_request(app: Flask) -> None:
    """An admin's own click, address and browser never become a customer's."""
    with arrive(app, headers={"User-Agent": "the admin's"}):
        entry = track_conversion("acme", xid="StoredClick123")
    assert entry is not None
    assert (entry.xid, entry.partner_key) == ("StoredClick123", None)
    facts = recorded(app, entry)
    assert [facts[n] for n in ("ip_address", "user_agent", "origin")] == [None, None, None]
    assert facts["sub_ids"] == ()


def test_a_stored_referral_takes_nothing_from_the_request(app: Flask) -> None:
    """The stored referral's own partner and sub IDs are reported, and nothing of the admin's."""
    with arrive(app, headers={"User-Agent": "the admin's"}):
        entry = track_conversion("acme", referral=STORED)
    facts = recorded(app, entry)
    assert (facts["xid"], facts["partner_key"]) == ("StoredClick123", "stored-partner")
    assert (facts["sub_ids"], facts["user_agent"]) == (("one",), None)


def test_a_referral_that_is_none_says_what_makes_one(app: Flask) -> None:
    """The text that was stored is not the referral yet, and the error names what reads it."""
    with arrive(app), pytest.raises(InvalidConversion, match=r"referral: .*Referral\.loads"):
        track_conversion("acme", referral=STORED.dumps())  # type: ignore[arg-type]


@pytest.mark.parametrize("none", [None, Referral(), Referral(partner_key="ann")])
def test_an_explicitly_empty_referral_means_none(app: Flask, none: Referral | None) -> None:
    """A lead that nobody referred converts for nobody, although the admin was referred."""
    with arrive(app):
        assert track_conversion("acme", referral=none) is None


def test_an_explicitly_empty_xid_means_none(app: Flask) -> None:
    """A customer whose column is empty came by no click, although the admin did."""
    with arrive(app):
        assert track_conversion("acme", xid=None) is None
    assert sum(get_state(app).ledger.counts().values()) == 0


def test_a_stored_referral_beside_an_empty_xid_counts(app: Flask) -> None:
    """Of two columns the one that is filled says which click it was."""
    with arrive(app):
        entry = track_conversion("acme", xid=None, referral=STORED)
    assert recorded(app, entry)["xid"] == STORED.xid


def test_a_stored_referral_too_old_earns_nothing(
    app: Flask, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The attribution window holds for a stored click, too, and the log says so."""
    stored = Referral(xid="StoredClick123", clicked_at=clock())
    clock.tick(days=90)
    with app.app_context():
        assert track_conversion("acme", referral=stored) is None
    assert "StoredClick123: it is older than PARTNERSTACK_ATTRIBUTION_WINDOW" in caplog.text


@pytest.mark.parametrize(("ahead", "reported"), [({"hours": 24}, True), ({"hours": 25}, False)])
def test_a_stored_click_of_the_future_earns_nothing(
    app: Flask,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    ahead: dict[str, int],
    reported: bool,
) -> None:
    """It would never be too old: a clock may be a day ahead, and no more, or the log says so."""
    stored = Referral(xid="StoredClick123", clicked_at=clock() + timedelta(**ahead))
    with app.app_context():
        assert (track_conversion("acme", referral=stored) is not None) == reported
    assert ("StoredClick123: its clicked_at is in the future" in caplog.text) != reported


@pytest.mark.parametrize("xid", ["StoredClick123", None])
def test_a_stored_moment_without_a_zone_is_refused(
    app: Flask, clock: Clock, xid: str | None
) -> None:
    """It shows at the first signup, whoever it is, and not at the first that was referred."""
    stored = Referral(xid=xid, partner_key="ann", clicked_at=clock().replace(tzinfo=None))
    with app.app_context(), pytest.raises(InvalidConversion, match=r"^referral: clicked_at: "):
        track_conversion("acme", referral=stored)


def test_it_works_outside_a_request(app: Flask) -> None:
    """A job or a shell records a stored click; without one there is none."""
    with app.app_context():
        assert track_conversion("acme") is None
        assert track_conversion("acme", xid="StoredClick123") is not None


def test_two_sources_at_once_are_refused(app: Flask) -> None:
    """``xid=`` and ``referral=`` together is a mistake, and said."""
    with app.app_context(), pytest.raises(InvalidConversion, match=r"xid.*not both"):
        track_conversion("acme", xid="StoredClick123", referral=STORED)


@pytest.mark.parametrize("key", [None, True, "", "  ", 1.5, "a\nb", "x" * 513])
@pytest.mark.parametrize("query", [LANDING, ""])
def test_a_bad_customer_key_is_refused_for_everybody(app: Flask, key: Any, query: str) -> None:
    """The mistake shows at the first signup, not at the first that was referred."""
    with arrive(app, query), pytest.raises(InvalidConversion) as raised:
        track_conversion(key)
    assert raised.value.field == "customer_key"
    assert sum(get_state(app).ledger.counts().values()) == 0


@pytest.mark.parametrize("query", [LANDING, ""])
def test_a_bad_optional_field_is_refused_by_name(app: Flask, query: str) -> None:
    """Called by hand, it names the field that cannot be reported, referred or not."""
    with arrive(app, query), pytest.raises(InvalidConversion, match=r"^email: "):
        track_conversion("acme", email="a\x00b")


def test_keys_may_be_numbers_and_uuids(app: Flask) -> None:
    """An int and a UUID are stored as their text."""
    key = uuid.uuid4()
    with arrive(app):
        entries = [track_conversion(7), track_conversion(key)]
    assert [entry and entry.customer_key for entry in entries] == ["7", str(key)]


def test_what_the_visitor_sends_is_cleaned_or_left_out(app: Flask) -> None:
    """A monstrous browser and an address that is none cost nobody the conversion."""
    environ = {"REMOTE_ADDR": "unix:", "HTTP_USER_AGENT": "Bad\x07Bot/1.0 " + "x" * 9000}
    with arrive(app, environ_overrides=environ):
        facts = recorded(app, track_conversion("acme"))
    assert facts["ip_address"] is None
    assert facts["user_agent"].startswith("BadBot/1.0")
    assert len(facts["user_agent"]) <= 1024


def test_address_and_browser_can_be_kept_private(make_app: MakeApp) -> None:
    """SEND_IP and SEND_USER_AGENT off: neither is recorded."""
    app = make_app(SEND_IP=False, SEND_USER_AGENT=False)
    with arrive(app, headers={"User-Agent": "Firefox"}):
        facts = recorded(app, track_conversion("acme"))
    assert (facts["ip_address"], facts["user_agent"]) == (None, None)


def test_switched_off_records_nothing(make_app: MakeApp) -> None:
    """ENABLED=False: no entry, and ``None``."""
    app = make_app(ENABLED=False)
    with arrive(app):
        assert track_conversion("acme") is None
        assert track_conversion("acme", xid="StoredClick123") is None


def test_without_a_token_it_is_recorded_and_parked_loudly(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """No token loses nothing: the entry is there, with the reason, and the log says so."""
    app = make_app(TOKEN=None)
    with arrive(app):
        entry = track_conversion("acme")
    assert entry is not None
    assert (entry.status, entry.reason) == (Status.PENDING, "no token")
    assert "PARTNERSTACK_TOKEN" in caplog.records[-1].getMessage()
    assert caplog.records[-1].levelno == logging.WARNING


def test_an_email_address_as_key_is_warned_of_once(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """People change their address: said once a process, and the address itself is not logged."""
    caplog.set_level(logging.INFO)
    with arrive(app):
        track_conversion("jo@acme.com")
        track_conversion("al@acme.com")
    assert caplog.text.count("e-mail address") == 1
    assert "jo@acme.com" not in caplog.text


def test_recorded_is_signalled_once(app: Flask) -> None:
    """``conversion_recorded`` is sent with the entry, and not again for a second call."""
    heard: list[Entry] = []

    def receive(sender: Flask, entry: Entry) -> None:
        assert sender is app
        heard.append(entry)

    with signals.conversion_recorded.connected_to(receive), arrive(app):
        entry = track_conversion("acme")
        track_conversion("acme")
    assert heard == [entry]


def test_a_receiver_that_raises_changes_nothing(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else's receiver is logged; the others hear, and the caller gets the entry."""
    heard: list[Entry] = []

    def broken(_sender: Flask, **_facts: object) -> None:
        raise ValueError("receiver's own")

    def receive(_sender: Flask, entry: Entry) -> None:
        heard.append(entry)

    with (
        signals.conversion_recorded.connected_to(broken),
        signals.conversion_recorded.connected_to(receive),
        arrive(app),
    ):
        entry = track_conversion("acme")
    assert heard == [entry]
    assert "receiver's own" in caplog.text


def test_a_receiver_that_is_async_is_named(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits it, which would otherwise be said by the interpreter alone, if at all."""

    async def tell(_app: Flask, **_facts: object) -> None:
        raise AssertionError("it was told")

    with signals.conversion_recorded.connected_to(tell, app), app.app_context():
        assert track_conversion("acme", xid=XID) is not None
    assert "partnerstack-conversion-recorded is async, and was told nothing" in caplog.text


@pytest.mark.parametrize("joined", [True, False])
def test_a_receiver_does_not_end_the_signups_own_context(
    make_app: MakeApp, tmp_path: Path, joined: bool
) -> None:
    """What the app takes down at the end of a request is not taken down in the middle of it."""
    app = make_app(LEDGER_URL=f"sqlite:///{tmp_path}/both.db")
    get_state(app).ledger.init()
    taken_down: list[object] = []
    heard_on_g: list[object] = []
    app.teardown_appcontext(taken_down.append)

    def receive(_sender: Flask, **_facts: object) -> None:
        heard_on_g.append(g.get("user"))

    engine = create_engine(f"sqlite:///{tmp_path}/both.db")
    with signals.conversion_recorded.connected_to(receive), arrive(app), Session(engine) as session:
        g.user = "jo"
        track_conversion("acme", session=session if joined else None)
        session.commit()
        assert (heard_on_g, taken_down) == (["jo"], [])
    engine.dispose()


def test_a_receiver_is_told_in_a_context_of_its_sender(app: Flask) -> None:
    """Where none is current, or another app's, the sender's own is made for the receivers."""
    heard: list[Flask] = []

    def receive(_sender: Flask, **_facts: object) -> None:
        heard.append(this_app())

    with signals.delivery_paused.connected_to(receive):
        signals.send(signals.delivery_paused, app, reason="it rains")
        with Flask("another").app_context():
            signals.send(signals.delivery_paused, app, reason="it rains")
    assert heard == [app, app]


def test_what_an_app_takes_down_in_vain_goes_no_further(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Its teardown may count on what only a request has: logged, and every entry is sent."""
    with app.app_context():
        for key in ("acme", "globex"):
            track_conversion(key, xid="StoredClick123")
    app.teardown_appcontext(lambda _error: g.session.close())
    state = get_state(app)
    with signals.conversion_delivered.connected_to(lambda _sender, **_facts: None):
        (job,) = state.dispatcher.take(1)
        job(lambda: True)
    assert [entry.status for entry in state.ledger.entries()] == [Status.DELIVERED] * 2
    assert "conversion-delivered" in caplog.text


def test_a_ledger_that_cannot_be_written_raises(make_app: MakeApp) -> None:
    """Called by hand, a conversion that is not recorded is never passed over."""
    app = make_app(LEDGER_URL="sqlite:///unfurnished.db")
    with arrive(app), pytest.raises(LedgerUnavailable, match="flask partnerstack init-db"):
        track_conversion("acme")


def test_an_app_that_was_never_registered_is_said() -> None:
    """The error lists the two mistakes that lead there."""
    with Flask("bare").app_context(), pytest.raises(NotInitialized, match="init_app"):
        track_conversion("acme", xid="StoredClick123")


def test_no_request_and_no_click_is_said_once(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """In a task or a command nobody's click is known: a WARNING names the way out, once."""
    with app.app_context():
        assert [track_conversion(key) for key in ("acme", "zen")] == [None, None]
    said = [r.getMessage() for r in caplog.records if "outside of a request" in r.getMessage()]
    assert len(said) == 1
    assert "referral=Referral.loads(text)" in said[0]


def test_who_was_never_referred_is_not_warned_of(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is a click that is known to be none, outside of a request or within one."""
    with app.app_context():
        track_conversion("acme", xid=None)
    with app.test_request_context("/"):
        track_conversion("acme")
    assert "outside of a request" not in caplog.text
