"""``Rehearsal``: your app, before a PartnerStack that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any
from typing import Protocol

from flask import Flask

from .._state import EXTENSION
from .._state import State
from .._state import get_state
from ..conversion import CustomerKey
from ..conversion import text_of_key
from ..errors import ConfigurationError
from ..errors import EntryNotFound
from ..errors import LedgerUnavailable
from ..ledger import Entry
from ..ledger import Place
from ..sandbox import SandboxSettings
from ..sandbox.asked import Documents
from ..settings import KEYS
from ..settings import PREFIX
from ..settings import Settings
from ..settings import closest_key
from ..wire import Transport
from .asserting import check_fields
from .asserting import differences
from .asserting import not_converted
from .asserting import too_many
from .client import ReferredClient
from .client import referred_client
from .clock import FrozenClock
from .fake import FakePartnerStack


class StandIn(Protocol):
    """Whoever is in PartnerStack's place: :class:`FakePartnerStack`, or a ``SandboxProcess``."""

    settings: SandboxSettings

    @property
    def conversion_url(self) -> str:
        """Where conversions are posted."""

    @property
    def api_url(self) -> str:
        """Where customers are looked up."""

    def received(self) -> Documents:
        """Every request to the conversion endpoint."""

    def link(
        self, partner: str, landing: str | None = None, version: int = 2, **parameters: str
    ) -> str:
        """A partner's link."""

    def follow(self, link: str) -> str:
        """Make its click; return where it leads."""


class Rehearsal:
    """Your app, before a PartnerStack that is not there. Made by :func:`rehearse`.

    :param app: your app.
    :param partnerstack: who is in PartnerStack's place.
    :param clock: the app's time of day, as far as this extension looks at it.
    """

    def __init__(self, app: Flask, partnerstack: StandIn, clock: FrozenClock) -> None:
        self.app = app
        self.partnerstack = partnerstack
        self.clock = clock

    def client(self, **options: Any) -> ReferredClient:
        """Return a new visitor: a test client of the app that can arrive by a partner's link.

        :param options: those of your app's own test client class.
        """
        return referred_client(self.app, self.partnerstack, **options)

    def deliver(self) -> int:
        """Deal with all that is due by the clock, as a worker does; return how many.

        New conversions are delivered at once; this is for what was postponed, or is to be
        looked up.
        """
        return self._state.dispatcher.run_pass()

    def entry(self, customer_key: CustomerKey) -> Entry | None:
        """Return a customer's entry in the ledger; ``None`` when nothing was recorded."""
        try:
            return self._state.ledger.get(text_of_key(customer_key))
        except EntryNotFound:
            return None

    def entries(self) -> list[Entry]:
        """Return every entry in the ledger, newest first, the first thousand."""
        return list(self._state.ledger.entries(limit=1000))

    def assert_converted(
        self, customer_key: CustomerKey | None = None, **expected: object
    ) -> dict[str, Any]:
        """Fail unless PartnerStack took this customer's conversion, exactly once.

        Returns what was reported, and the partner key.

        :param customer_key: left out: whoever is the only one that was converted.
        :param expected: what the conversion is to say: ``email="jo@acme.com"``,
            ``partner_key="ann"``; what is not named may be anything.
        :raises AssertionError: with what was sent, answered and recorded.
        :raises TypeError: ``expected`` names what no conversion has.
        """
        __tracebackhide__ = True
        check_fields(expected)
        key = None if customer_key is None else text_of_key(customer_key)
        received = self.partnerstack.received()
        taken = [one for one in received if one["accepted"] and _is_of(one, key)]
        if not taken:
            raise AssertionError(not_converted(key, received, self.entries()))
        if len(taken) > 1:
            raise AssertionError(too_many(key, taken))
        reported = self._reported(taken[0]["body"])
        told = differences(reported["customer_key"], expected, reported)
        if told:
            raise AssertionError(told)
        return reported

    def assert_not_converted(self, customer_key: CustomerKey | None = None) -> None:
        """Fail if PartnerStack took this customer's conversion; left out: anybody's.

        :raises AssertionError: naming whose it took.
        """
        __tracebackhide__ = True
        key = None if customer_key is None else text_of_key(customer_key)
        taken = [o for o in self.partnerstack.received() if o["accepted"] and _is_of(o, key)]
        if taken:
            raise AssertionError(f"PartnerStack took the conversion of {_key_of(taken[0])!r}.")

    @property
    def _state(self) -> State:
        return get_state(self.app)

    def _reported(self, body: Mapping[str, Any]) -> dict[str, Any]:
        entry = self.entry(body["customer_key"])
        return {**body, "partner_key": entry.partner_key if entry else None}


def _key_of(one: Mapping[str, Any]) -> object:
    return one["body"].get("customer_key")


def _is_of(one: Mapping[str, Any], key: str | None) -> bool:
    return key is None or _key_of(one) == key


@contextmanager
def rehearse(
    app: Flask,
    partnerstack: StandIn | None = None,
    *,
    clock: FrozenClock | None = None,
    **config: object,
) -> Iterator[Rehearsal]:
    """Let ``app`` meet another PartnerStack than the real one, within the block.

    For as long its conversions go to ``partnerstack``, into an empty ledger in memory, and are
    delivered before the signup is answered. The app may have been made and used before; what it
    has recorded then is out of sight, and back afterwards. With ``db=`` the ledger stays in the
    app's own database, which is to be your tests', and theirs to empty: a rehearsal does not begin
    over entries that wait for a delivery or a look-up, which would be the stand-in's to answer.

    :param partnerstack: a ``SandboxProcess``; default: a new :class:`FakePartnerStack`.
    :param clock: default: one that stands still at this second.
    :param config: other configuration for the rehearsal, without the prefix:
        ``ATTRIBUTION="first"``.
    :raises TypeError: ``app`` is no Flask app.
    :raises NotInitialized: the app was never given to ``init_app``.
    :raises ConfigurationError: a key of ``config`` that is none or has a bad value, named;
        ``ENABLED=False``; or a ledger with entries that wait.
    """
    _check_app(app)
    _check_keys(config)
    before = get_state(app)
    if not before.settings.enabled:
        raise ConfigurationError(
            "PARTNERSTACK_ENABLED", "is False in this app, which captures nothing then."
        )
    stand_in = partnerstack or FakePartnerStack()
    clock = clock or FrozenClock()
    during = _rebuilt(app, before, stand_in, clock, config)
    app.extensions[EXTENSION] = during
    try:
        _check_idle(during)
        yield Rehearsal(app, stand_in, clock)
    finally:
        app.extensions[EXTENSION] = before
        before.receivers.extend(during.receivers)  # of metrics that were registered meanwhile
        during.engine.stop()
        during.ledger.close()


def _check_app(app: object) -> None:
    """Refuse what a fixture called ``app`` may be as well: an app and its db, say."""
    if not isinstance(app, Flask):
        raise TypeError(
            f"app: expected a Flask app, got {type(app).__name__}. With pytest, override the "
            "fixture partnerstack_app where your fixture app gives something else."
        )


def _check_keys(config: Mapping[str, object]) -> None:
    """Refuse what an app is only warned of: a test would pass without what it is about."""
    for name in config:
        if name not in KEYS:
            close = closest_key(name)
            hint = f" Did you mean {close}?" if close else ""
            raise ConfigurationError(
                name, f"expected a key of Flask-PartnerStack's, without {PREFIX}.{hint}"
            )


def _rebuilt(
    app: Flask,
    state: State,
    stand_in: StandIn,
    clock: FrozenClock,
    config: Mapping[str, object],
) -> State:
    told = {f"{PREFIX}{key}": value for key, value in {**_config(stand_in), **config}.items()}
    settings = Settings.from_mapping({**app.config, **told})
    in_app = state.place.url is None  # with db=, where the app's tests have theirs
    place = state.place if in_app else Place.of(settings.ledger_url, app.instance_path)
    # A sandbox is reached over its sockets, by the app's own transport.
    transport: Transport | None = stand_in if isinstance(stand_in, FakePartnerStack) else None
    return state.rebuild(settings, place, clock=clock, transport=transport)


def _check_idle(state: State) -> None:
    """Refuse a ledger with work of somebody else's, which a rehearsal would do for good."""
    try:
        idle = state.ledger.is_idle()
    except LedgerUnavailable:  # the tests make its tables yet, or find out at the first signup
        return
    if not idle:
        raise ConfigurationError(
            "db" if state.place.url is None else "PARTNERSTACK_LEDGER_URL",
            f"the ledger in {state.ledger.location} has entries that wait for a delivery or a "
            "look-up, and the rehearsal's PartnerStack would answer for the real one. Expected a "
            "database of your tests' own, emptied between them: with db=, another "
            "SQLALCHEMY_DATABASE_URI in their configuration, and db.drop_all(), db.create_all().",
        )


def _config(stand_in: StandIn) -> dict[str, object]:
    return {
        "TOKEN": stand_in.settings.token,
        "PUBLIC_KEY": stand_in.settings.public_key,
        "SECRET_KEY": stand_in.settings.secret_key,
        "CONVERSION_URL": stand_in.conversion_url,
        "API_URL": stand_in.api_url,
        "ENGINE": "inline",
        "LEDGER_URL": "sqlite://",
    }
