"""A site in prometheus_client's multiprocess mode, as docs/metrics shows it. A process of its own.

``python -m tests.metrics_site FOLDER`` lands one visitor there and prints what is served.
"""

from __future__ import annotations

import sys

from flask import Flask
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from flask_partnerstack import PartnerStack
from flask_partnerstack.metrics import register_metrics
from tests.kit import LANDING

app = Flask("site", instance_path=sys.argv[1])
app.config.update(PARTNERSTACK_TOKEN="t0ken", PARTNERSTACK_ENGINE="none")
PartnerStack(app)

collector = register_metrics(app)  # once, when the app is made


@app.get("/metrics")
def metrics() -> Response:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(collector)
    return Response(generate_latest(registry), mimetype=CONTENT_TYPE_LATEST)


if __name__ == "__main__":
    visitor = app.test_client()
    visitor.get(f"/?{LANDING}")
    sys.stdout.write(visitor.get("/metrics").text)
