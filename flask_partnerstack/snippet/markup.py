"""The Jinja functions. What they render is inline, so it needs a nonce where there is a policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from typing import Final
from urllib.parse import quote

from flask import current_app
from flask import has_request_context
from flask import json
from flask import request
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from .._state import State
from .._state import get_state
from .._visit import current_visit
from ..errors import ConfigurationError
from ..settings import PREFIX

log: Final = logging.getLogger("flask_partnerstack")

#: What a path has as it is: https://www.rfc-editor.org/rfc/rfc3986#section-3.3
_SAFE_IN_PATH = "!$&'()*+,/:;=@"

Nonce = str | Callable[[], str] | None


def partnerstack_snippet(*, nonce: Nonce = None, referral: bool = False) -> Markup:
    """Return the ``<script>`` that loads PartnerStackJS and starts it.

    The script is loaded from ``SCRIPT_URL``, without holding up the page, and started with
    ``PUBLIC_KEY``; then ``growsumoInit()`` is called, where the page has one. What fails is an
    error in the browser's console. ``growsumo.data`` has the partner key by both of its names.
    Twice on a page it loads once. Empty with ``ENABLED=False``.

    :param nonce: of the page's Content-Security-Policy, or what returns it, so that
        Flask-Talisman's ``csp_nonce`` can be given as it is.
    :param referral: give the page our referral, as ``growsumo.data.xid`` and ``.partner_key``.
    :raises ConfigurationError: there is no ``PUBLIC_KEY``; in debug mode and in tests. In
        production that is an ERROR in the log, and no page fails for it.
    """
    state = get_state()
    settings = state.settings
    if not settings.enabled:
        return Markup()
    if settings.public_key is None:
        return _without_key(state)
    options: dict[str, Any] = {"src": settings.script_url, "key": settings.public_key}
    if current_app.debug:
        options["debug"] = True
    if referral:
        options["referral"] = _referral()
    return _script("loader.js", options, nonce)


def partnerstack_capture(*, nonce: Nonce = None) -> Markup:
    """Return the ``<script>`` that has a click kept on pages that a shared cache serves.

    Only where the URL with which the page was opened carries a click does it call
    ``CAPTURE_PATH``. It waits for a page that was loaded ahead of time to be shown, calls again on
    the event ``partnerstack:consent`` of ``document``, and three times more when the endpoint
    fails; then the tab's next page with the script does, for which the click is in
    ``sessionStorage`` meanwhile. Empty with ``ENABLED=False`` or without a ``CAPTURE_PATH``.

    :param nonce: as for :func:`partnerstack_snippet`.
    """
    state = get_state()
    settings = state.settings
    if not settings.enabled or settings.capture_path is None:
        return Markup()
    options: dict[str, Any] = {
        "path": _mounted(settings.capture_path),
        "names": settings.xid_params,
    }
    if state.hooks.asks_for_consent:  # the script stores nothing before it was given
        options["consent"] = True
    return _script("capture.js", options, nonce)


def _mounted(path: str) -> str:
    """Return ``path`` with the prefix under which the app is mounted, as browsers write it."""
    # Not by url_for(): where hosts are matched its URL has one, and another than the page's.
    root = request.script_root if has_request_context() else current_app.config["APPLICATION_ROOT"]
    return quote(root.rstrip("/") + path, safe=_SAFE_IN_PATH)


def _without_key(state: State) -> Markup:
    error = ConfigurationError(
        f"{PREFIX}PUBLIC_KEY",
        "partnerstack_snippet() starts PartnerStackJS with it: expected the key that begins "
        "with pk_, from PartnerStack's Settings → Integrations.",
    )
    if current_app.debug or current_app.testing:
        raise error
    if state.once.first("snippet without a key"):
        log.error("%s", error)
    return Markup()


def _referral() -> dict[str, str]:
    referral = current_visit().referral
    known = {"xid": referral.xid, "partner_key": referral.partner_key}
    return {name: value for name, value in known.items() if value is not None}


def _script(name: str, options: dict[str, Any], nonce: Nonce) -> Markup:
    value = nonce() if callable(nonce) else nonce
    attribute = Markup(' nonce="{}"').format(value) if value else Markup()
    call = Markup("{}({});").format(_source(name), htmlsafe_json_dumps(options, dumps=json.dumps))
    return Markup("<script{}>{}</script>").format(attribute, call)


@cache
def _source(name: str) -> Markup:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return Markup("\n".join(line.strip() for line in lines))  # noqa: S704 - a file of our own
