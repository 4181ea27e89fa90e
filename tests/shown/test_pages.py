"""The examples of docs/pages.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask import abort
from flask import render_template_string

from tests.kit import LANDING

MakeApp = Callable[..., Flask]

WITH_SNIPPET = """
<head>
  <script nonce="{{ csp_nonce() }}">function growsumoInit() { /* yours */ }</script>
  {{ partnerstack_snippet(nonce=csp_nonce) }}
</head>
"""

WITH_CAPTURE = """
{{ partnerstack_capture(nonce=csp_nonce) }}
"""


class Limiter:
    """Refuses all that it was put on, as Flask-Limiter does when there was too much."""

    def limit(self, _limit: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return lambda _view: lambda **_arguments: abort(429)


def test_both_scripts_carry_the_nonce(make_app: MakeApp) -> None:
    """What the page's policy allows is what the page is given."""
    app = make_app(PUBLIC_KEY="pk_public")
    for template, scripts in ((WITH_SNIPPET, 2), (WITH_CAPTURE, 1)):
        with app.test_request_context("/", query_string=LANDING):
            page = render_template_string(template, csp_nonce=lambda: "n0nce")
        assert page.count('<script nonce="n0nce"') == scripts == page.count("</script>")


def test_the_endpoint_can_be_limited(app: Flask) -> None:
    """A limit is put on the view like on any other, and what is refused keeps nothing."""
    limiter = Limiter()

    view = app.view_functions["partnerstack_click"]
    app.view_functions["partnerstack_click"] = limiter.limit("30/minute")(view)

    refused = app.test_client().post("/_partnerstack/click", query_string=LANDING)
    assert refused.status_code == 429
