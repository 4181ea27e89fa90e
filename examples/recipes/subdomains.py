"""Pages at www.acme.com, the product at app.acme.com: one cookie for both."""

from __future__ import annotations

from flask import Flask

from flask_partnerstack import PartnerStack

#: Each app has its own; what they share is the cookie.
partnerstack = PartnerStack()


def create_app(domain: str = "acme.com", **config: object) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    app.config["PARTNERSTACK_COOKIE_DOMAIN"] = domain
    partnerstack.init_app(app)
    return app
