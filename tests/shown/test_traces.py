"""The example of docs/metrics.md for traces, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from opentelemetry import trace
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flask_partnerstack import PartnerStack
from flask_partnerstack._state import get_state
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.testing import Rehearsal

CUSTOMER = "jo@acme.com"
partnerstack = PartnerStack()


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask(__name__, instance_path=str(tmp_path))
    partnerstack.init_app(app)

    @app.post("/signup")
    @partnerstack.track_signup
    def signup() -> ResponseReturnValue:
        partnerstack.set_customer(CUSTOMER)
        return "Welcome"

    return app


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where spans go; OpenTelemetry has one provider for the life of a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    def without_customers(url: str) -> str:
        return url.partition("/customers/")[0]

    URLLib3Instrumentor().instrument(url_filter=without_customers)

    exporter.clear()
    yield exporter
    URLLib3Instrumentor().uninstrument()


def urls(spans: InMemorySpanExporter) -> list[str]:
    return [str((span.attributes or {})["http.url"]) for span in spans.get_finished_spans()]


def all_said(span: ReadableSpan) -> str:
    return str(span.to_json())


def test_a_conversion_is_a_span(
    spans: InMemorySpanExporter,
    partnerstack_sandbox: SandboxProcess,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """Each send is seen, with what it asked for."""
    visitor = partnerstack_rehearsal.client()
    visitor.arrive("ann")
    visitor.post("/signup")
    partnerstack_rehearsal.assert_converted(CUSTOMER)
    assert partnerstack_sandbox.conversion_url in urls(spans)


def test_a_look_up_names_no_customer(
    spans: InMemorySpanExporter,
    partnerstack_sandbox: SandboxProcess,
    partnerstack_rehearsal: Rehearsal,
) -> None:
    """The path of a look-up ends with the customer key, which is nobody's business there."""
    client = get_state(partnerstack_rehearsal.app).dispatcher.client
    client.look_up(CUSTOMER, within=timedelta(seconds=10))
    (span,) = spans.get_finished_spans()
    assert urls(spans) == [f"{partnerstack_sandbox.api_url}/api/v2"]
    assert "acme" not in all_said(span)
