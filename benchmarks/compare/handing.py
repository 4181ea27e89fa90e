"""How a signup hands a conversion over: a function for each contender, which makes another.

Each takes an app and where things are, sets the contender up in the app as its manual shows, with
its defaults, and returns what hands over the conversion of one customer key. Nothing leaves the
machine: every address is the vendor's on loopback. SDKs that patch what they find are imported by
their function only.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from benchmarks.compare import queues
from benchmarks.compare.place import FACTS
from benchmarks.compare.place import PERSON
from benchmarks.compare.place import Place
from flask_partnerstack import PartnerStack
from flask_partnerstack import track_conversion

HandOver = Callable[[str], object]
Handing = Callable[[Flask, Place], HandOver]

EVENT = "signed up"


# --- ours -----------------------------------------------------------------------------------------


def partnerstack(app: Flask, place: Place, engine: str = "thread") -> HandOver:
    """Return ``track_conversion`` as a signup view calls it; the ledger is SQLite's file."""
    app.config.update(
        PARTNERSTACK_TOKEN="token",
        PARTNERSTACK_ENGINE=engine,
        PARTNERSTACK_CONVERSION_URL=f"{place.vendor}/conversion/xid",
    )
    PartnerStack(app)
    return lambda key: track_conversion(key, email=PERSON["email"], name=PERSON["name"])


def partnerstack_on_celery(app: Flask, place: Place) -> HandOver:
    """Return the same, delivered by a Celery worker."""
    queues.give_celery(app, place)
    return partnerstack(app, place, engine="celery")


# --- posted in the signup -------------------------------------------------------------------------


def inline(_app: Flask, place: Place) -> HandOver:
    """Return what most people write: ``requests.post`` in the view."""
    import requests

    def hand_over(key: str) -> None:
        url, json = f"{place.vendor}/conversion/xid", {"customer_key": key, **FACTS}
        headers = {"Authorization": "Bearer token"}
        requests.post(url, json=json, headers=headers, timeout=10).raise_for_status()

    return hand_over


def mixpanel(_app: Flask, place: Place) -> HandOver:
    from mixpanel import Consumer
    from mixpanel import Mixpanel

    client = Mixpanel("token", consumer=Consumer(events_url=f"{place.vendor}/track"))
    return lambda key: client.track(key, EVENT, FACTS)


def mbuzz(app: Flask, place: Place) -> HandOver:
    import mbuzz
    from mbuzz.middleware.flask import init_app

    mbuzz.init(api_key="sk_test_key")
    mbuzz.config.api_url = place.vendor
    init_app(app)
    return lambda key: mbuzz.conversion(EVENT, user_id=key, properties=FACTS)


# --- kept in memory, and sent by a thread ---------------------------------------------------------


def posthog(_app: Flask, place: Place) -> HandOver:
    from posthog import Posthog

    client = Posthog("phc_key", host=place.vendor)
    return lambda key: client.capture(EVENT, distinct_id=key, properties=FACTS)


def segment(_app: Flask, place: Place) -> HandOver:
    from segment.analytics.client import Client

    client = Client("key", host=place.vendor)
    return lambda key: client.track(key, EVENT, FACTS)


def rudder(_app: Flask, place: Place) -> HandOver:
    from rudderstack.analytics.client import Client

    client = Client("key", host=place.vendor)
    return lambda key: client.track(key, EVENT, FACTS)


def amplitude(_app: Flask, place: Place) -> HandOver:
    from amplitude import Amplitude
    from amplitude import BaseEvent
    from amplitude import Config

    client = Amplitude("key", Config(server_url=f"{place.vendor}/2/httpapi"))
    return lambda key: client.track(BaseEvent(EVENT, user_id=key, event_properties=FACTS))


def snowplow(_app: Flask, place: Place) -> HandOver:
    from snowplow_tracker.emitters import AsyncEmitter
    from snowplow_tracker.events.structured_event import StructuredEvent
    from snowplow_tracker.tracker import Tracker

    tracker = Tracker("site", emitters=AsyncEmitter(place.vendor))
    return lambda key: tracker.track(StructuredEvent(category=EVENT, action=EVENT, label=key))


def sentry(_app: Flask, place: Place) -> HandOver:
    import sentry_sdk

    sentry_sdk.init(sentry_dsn(place.vendor))
    return lambda key: sentry_sdk.capture_message(f"{EVENT}: {key}")


def sentry_dsn(vendor: str) -> str:
    return vendor.replace("://", "://public@") + "/1"


# --- queued on Redis ------------------------------------------------------------------------------


def celery(_app: Flask, place: Place) -> HandOver:
    report = queues.celery_app(place).tasks[queues.CELERY_TASK]
    return lambda key: report.delay(key)


def huey(_app: Flask, place: Place) -> HandOver:
    return queues.huey_task(place)


def rq(_app: Flask, place: Place) -> HandOver:
    queue = queues.rq_queue(place)
    retry = queues.rq_retry()
    return lambda key: queue.enqueue(queues.report, place.vendor, key, retry=retry)
