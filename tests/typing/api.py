"""Public calls as users write them, for the type checkers; never executed.

Each line under ``type: ignore`` is one that a checker must refuse: an ignore that nothing needs
is an error, in mypy and in pyright.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from typing import Literal
from uuid import UUID

from flask import Blueprint
from flask import Flask
from flask import Response
from flask import redirect
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from typing_extensions import assert_type
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response as WerkzeugResponse

from flask_partnerstack import Conversion
from flask_partnerstack import Entry
from flask_partnerstack import PartnerStack
from flask_partnerstack import Referral
from flask_partnerstack import Status
from flask_partnerstack import current_referral
from flask_partnerstack import errors
from flask_partnerstack import is_verified
from flask_partnerstack import set_customer
from flask_partnerstack import signals
from flask_partnerstack import track_conversion
from flask_partnerstack import track_signup
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.testing import Captured
from flask_partnerstack.testing import CapturedSignals
from flask_partnerstack.testing import FakePartnerStack
from flask_partnerstack.testing import FrozenClock
from flask_partnerstack.testing import ReferredClient
from flask_partnerstack.testing import Rehearsal
from flask_partnerstack.testing import StandIn
from flask_partnerstack.testing import capture_signals
from flask_partnerstack.testing import rehearse

# --- set up -------------------------------------------------------------------------------------

app = Flask(__name__)
partnerstack = PartnerStack()
assert_type(partnerstack.init_app(app), None)
partnerstack.init_app(app, db=object())
PartnerStack(app)
PartnerStack(app, db=object())

PartnerStack("app")  # type: ignore[arg-type]
PartnerStack(app, object())  # type: ignore[call-arg]
partnerstack.init_app()  # type: ignore[call-arg]

# --- the signup view ----------------------------------------------------------------------------


def new_customer() -> dict[str, Any] | None:
    return {"customer_key": "42", "email": "jo@acme.com"}


async def new_customer_awaited() -> dict[str, Any] | None:
    return None


def was_created(response: Response) -> bool:
    return response.status_code == 200


async def was_created_awaited(response: Response) -> bool:
    return response.status_code == 200


@app.post("/bare")
@partnerstack.track_signup
def bare(plan: str) -> WerkzeugResponse:
    assert_type(partnerstack.set_customer("42", email="jo@acme.com", name=None), None)
    return redirect(f"/{plan}")


@app.post("/asked")
@partnerstack.track_signup(customer=new_customer, success=was_created)
def asked(plan: str) -> WerkzeugResponse:
    return redirect(f"/{plan}")


@app.post("/by-function")
@track_signup
def by_function() -> str:
    set_customer(UUID(int=42), sub_ids=["a", "b"], meta={"plan": "team"})
    return "welcome"


@track_signup(customer=new_customer_awaited, success=was_created_awaited)
async def awaited(user_id: int) -> str:
    return str(user_id)


@track_signup()
def with_empty_brackets() -> str:
    return "welcome"


class Signups:
    @partnerstack.track_signup
    def create(self, plan: str) -> str:
        return plan


# The view keeps its parameters and what it returns.
assert_type(bare("team"), WerkzeugResponse)
assert_type(asked("team"), WerkzeugResponse)
assert_type(by_function(), str)
assert_type(with_empty_brackets(), str)
assert_type(Signups.create(Signups(), "team"), str)


async def views_that_are_awaited() -> None:
    assert_type(await awaited(42), str)
    await awaited("42")  # type: ignore[arg-type]


bare()  # type: ignore[call-arg]
asked(42)  # type: ignore[arg-type]
partnerstack.track_signup(new_customer, success=was_created)  # type: ignore[call-overload]
partnerstack.track_signup(customer="42")  # type: ignore[call-overload]
track_signup(customer=lambda: 42)  # type: ignore[arg-type, return-value]
track_signup(success=lambda: True)  # type: ignore[misc, arg-type]
set_customer(None)  # type: ignore[arg-type]
set_customer("42", xid="Kvx64pph9uhCju")  # type: ignore[arg-type]
set_customer("42", emial="jo@acme.com")  # type: ignore[arg-type]
set_customer("42", "jo@acme.com")  # type: ignore[call-arg]

# --- by hand ------------------------------------------------------------------------------------

assert_type(track_conversion("42"), Entry | None)
assert_type(partnerstack.track_conversion(42), Entry | None)
track_conversion(
    UUID(int=42),
    email="jo@acme.com",
    name="Jo",
    provider_key="acme",
    origin="acme.com",
    ip_address="198.51.100.42",
    user_agent="Mozilla/5.0",
    external_type="team",
    sub_ids=("a", "b"),
    meta={"seats": 3},
    xid="Kvx64pph9uhCju",
)
track_conversion("42", xid=None)
track_conversion("42", referral=None)
track_conversion("42", referral=current_referral)
track_conversion("42", referral=Referral.loads("text from a user's row"))

track_conversion()  # type: ignore[call-arg]
track_conversion(None)  # type: ignore[arg-type]
track_conversion(4.2)  # type: ignore[arg-type]
track_conversion("42", "jo@acme.com")  # type: ignore[call-arg]
track_conversion("42", mail="jo@acme.com")  # type: ignore[call-arg]
track_conversion("42", referral="Kvx64pph9uhCju")  # type: ignore[arg-type]
partnerstack.track_conversion(b"42")  # type: ignore[arg-type]


def in_the_callers_transaction(
    session: Session,
    scoped: scoped_session[Session],
    connection: Connection,
    awaited_session: AsyncSession,
) -> None:
    track_conversion("42", session=session)
    track_conversion("42", session=scoped)
    track_conversion("42", session=connection)
    track_conversion("42", session=awaited_session.sync_session)

    track_conversion("42", session=awaited_session)  # type: ignore[arg-type]
    track_conversion("42", session="sqlite://")  # type: ignore[arg-type]


def what_became_of(entry: Entry) -> None:
    assert_type(entry.id, int)
    assert_type(entry.customer_key, str)
    assert_type(entry.status, Status)
    assert_type(entry.recorded_at, datetime)
    assert_type(entry.settled_at, datetime | None)

    entry.status = Status.DEAD  # type: ignore[misc]


def of_a_referral(referral: Referral) -> None:
    assert_type(referral.xid, str | None)
    assert_type(referral.partner_key, str | None)
    assert_type(referral.clicked_at, datetime | None)
    assert_type(referral.dumps(), str)
    assert_type(Referral.loads(referral.dumps()), Referral)
    assert_type(Referral.loads({"v": 1, "xid": "Kvx64pph9uhCju"}), Referral)
    assert_type(Referral.loads(None), Referral)
    assert_type(current_referral, Referral)
    assert_type(partnerstack.decorate_url("https://app.acme.com/"), str)

    referral.xid = None  # type: ignore[misc]
    partnerstack.decorate_url(None)  # type: ignore[arg-type]


assert_type(is_verified("42"), bool)
assert_type(partnerstack.is_verified(42), bool)

is_verified(None)  # type: ignore[arg-type]

# --- hooks, whose functions stay what they are --------------------------------------------------


@partnerstack.consent
def has_consented(purpose: Literal["keep", "report"], referral: Referral) -> bool | None:
    return purpose == "keep" and bool(referral)


@partnerstack.skip_if
def is_staff(conversion: Conversion) -> str | None:
    return "staff" if conversion.email == "jo@acme.com" else None


@partnerstack.skip_if
def is_trial(conversion: Conversion) -> bool:
    return conversion.meta.get("plan") == "trial"


@partnerstack.when_verified
def pay(entry: Entry) -> None:
    entry.customer_key.upper()


assert_type(has_consented("keep", Referral()), bool | None)
assert_type(is_trial(Conversion.of(customer_key="42", xid="Kvx64pph9uhCju")), bool)


@partnerstack.consent  # type: ignore[type-var]
def never_told_the_purpose(referral: Referral) -> bool:
    return bool(referral)


@partnerstack.skip_if  # type: ignore[type-var]
async def awaited_veto(conversion: Conversion) -> str | None:
    return conversion.email


@partnerstack.when_verified  # type: ignore[arg-type]
def told_a_key(customer_key: str) -> None:
    customer_key.upper()


# --- the operator's page ------------------------------------------------------------------------


def is_admin() -> bool:
    return True


async def is_admin_awaited() -> bool:
    return True


def is_admin_or_logs_in() -> bool | WerkzeugResponse:
    return redirect("/login")


assert_type(partnerstack.dashboard(permission=is_admin), Blueprint)
partnerstack.dashboard(permission=is_admin_awaited)
partnerstack.dashboard(permission=is_admin_or_logs_in)
partnerstack.dashboard(permission=lambda: True)

partnerstack.dashboard(permission=True)  # type: ignore[arg-type]
partnerstack.dashboard(permission=lambda: "admin")  # type: ignore[arg-type, return-value]
partnerstack.dashboard(is_admin)  # type: ignore[call-arg]

# --- signals ------------------------------------------------------------------------------------


@signals.conversion_delivered.connect
def count(sender: Flask, entry: Entry, **_: object) -> None:
    sender.logger.info("%s was delivered", entry.id)


@signals.delivery_paused.connect_via(app)
def page_somebody(_sender: Flask, reason: str, **_: object) -> None:
    app.logger.error(reason)


def capture(_sender: Flask, referral: Referral, **_: object) -> None:
    app.logger.info(referral.partner_key)


signals.referral_captured.connect(capture, app)
signals.conversion_delivered.connect("count")  # type: ignore[type-var]
signals.conversion_sent.connect(count)  # type: ignore[attr-defined]

# --- errors, with what they carry ---------------------------------------------------------------


def repaired(track: Callable[[], Entry | None]) -> None:
    try:
        track()
    except errors.InvalidConversion as e:
        assert_type(e.field, str)
    except errors.LedgerUnavailable as e:
        assert_type(e.reason, str)
        app.logger.error("%s: %s", e.ledger, e.evidence)  # type: ignore[attr-defined]


# --- the developer's kit ------------------------------------------------------------------------


def test_a_referred_signup_is_reported(
    partnerstack_client: ReferredClient, partnerstack_rehearsal: Rehearsal
) -> None:
    """The fixtures' values are of types that can be imported."""
    assert_type(partnerstack_client.arrive("ann"), TestResponse)
    partnerstack_client.arrive(partner="ann", landing="/pricing")
    partnerstack_rehearsal.assert_converted("42", email="jo@acme.com", partner_key="ann")
    partnerstack_rehearsal.assert_not_converted()
    assert_type(partnerstack_rehearsal.deliver(), int)
    assert_type(partnerstack_rehearsal.entry("42"), Entry | None)
    assert_type(partnerstack_rehearsal.client(), ReferredClient)

    partnerstack_client.arrive(42)  # type: ignore[arg-type]
    partnerstack_rehearsal.assert_converted(4.2)  # type: ignore[arg-type]


def test_with_all_of_the_kit(
    partnerstack_app: Flask,
    partnerstack_clock: FrozenClock,
    partnerstack_fake: FakePartnerStack,
    partnerstack_sandbox: SandboxProcess,
    partnerstack_signals: CapturedSignals,
) -> None:
    """Without the fixtures it is the same, by context managers."""
    assert_type(partnerstack_signals.of("conversion_recorded"), list[Captured])
    assert_type(partnerstack_signals[0], Captured)
    with rehearse(partnerstack_app, partnerstack_fake, clock=partnerstack_clock) as rehearsal:
        assert_type(rehearsal, Rehearsal)
        assert_type(rehearsal.partnerstack, StandIn)
    with rehearse(partnerstack_app, partnerstack_sandbox), capture_signals(app) as captured:
        assert_type(captured, CapturedSignals)

    rehearse("app")  # type: ignore[arg-type]
