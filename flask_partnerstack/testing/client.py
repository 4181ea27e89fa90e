"""``ReferredClient``: a Flask test client that arrives by a partner's link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from typing import Protocol
from urllib.parse import urlencode
from urllib.parse import urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .._state import get_state
from ..referral import encode_partner_key
from ..referral import read_query


class LeadsHere(Protocol):
    """Whoever has partner links: the fake, or the sandbox."""

    def link(self, partner: str, landing: str | None, version: int, **parameters: str) -> str:
        """A partner's link."""

    def follow(self, link: str) -> str:
        """Make its click; return where it leads."""


class ReferredClient(FlaskClient):
    """Your app's test client, whom a partner's link can bring."""

    partnerstack: LeadsHere

    def arrive(
        self,
        partner: str = "ann",
        landing: str = "/",
        *,
        version: int = 2,
        request: Mapping[str, Any] | None = None,
        **parameters: str,
    ) -> TestResponse:
        """Come by a partner's link, as a new click; return the landing page's response.

        Where your app has other ``XID_PARAMS`` or ``PARTNER_KEY_PARAMS``, the click is in the
        first of them as well.

        :param partner: the partner key.
        :param landing: the path that the link leads to.
        :param version: 2, or 1 for links of the old kind.
        :param request: how the landing page is asked for, as the client's ``get`` takes it:
            ``{"headers": {"Accept-Language": "de"}, "base_url": "https://shop.acme.com"}``.
        :param parameters: what the partner appended to the link: ``sid="newsletter"``, or a
            ``utm_…``.
        :raises TypeError: for any other; it would be lost in the link.
        :raises ValueError: ``partner`` is empty, ``landing`` no path of your app, or ``version``
            another.
        """
        return arrive(
            self,
            self.partnerstack,
            partner,
            landing,
            version=version,
            request=request,
            **parameters,
        )


def arrive(
    client: FlaskClient,
    partnerstack: LeadsHere,
    partner: str = "ann",
    landing: str = "/",
    *,
    version: int = 2,
    request: Mapping[str, Any] | None = None,
    **parameters: str,
) -> TestResponse:
    """Let any test client of yours come by a partner's link. See :meth:`ReferredClient.arrive`."""
    _check(parameters)
    link = partnerstack.link(partner, f"http://localhost{_path(landing)}", version, **parameters)
    target = urlsplit(_read_by(client.application, partnerstack.follow(link)))
    return client.get(f"{target.path}?{target.query}", **(request or {}))


#: What partners append to a link: sub IDs, and what campaigns are told apart by.
_APPENDED = re.compile(r"sid\d{0,2}|utm_\w+", re.ASCII)


def _check(parameters: Mapping[str, str]) -> None:
    for name in parameters:
        if not _APPENDED.fullmatch(name):
            raise TypeError(
                f"{name}: expected a sub ID, sid to sid99, or a utm_… that the partner appended to "
                'the link. How the page is asked for is said by request={"headers": {…}}.'
            )


_THEIR_PARAMS = (("ps_xid", "gsxid"), ("ps_partner_key", "gspk"))


def _read_by(app: Flask, landing: str) -> str:
    """Return the landing URL as a programme writes it that uses the app's own parameters."""
    settings = get_state(app).settings
    params = settings.xid_params, settings.partner_key_params
    query = urlsplit(landing).query
    click = read_query(query, *_THEIR_PARAMS)
    if click.xid is None or read_query(query, *params) == click:
        return landing
    ours = {params[0][0]: click.xid, params[1][0]: encode_partner_key(click.partner_key or "")}
    return f"{landing}&{urlencode(ours)}"


def _path(landing: str) -> str:
    if not landing.startswith("/") or " " in landing or not landing.isprintable():
        raise ValueError(
            f"landing: expected a path of your app as a URL has it, like '/', got {landing!r}"
        )
    return landing


def referred_client(app: Flask, partnerstack: LeadsHere, **options: Any) -> ReferredClient:
    """Return a test client of ``app``, of its own class when it has one, that can arrive."""
    own = app.test_client_class
    kind = ReferredClient if own is None else type("ReferredClient", (ReferredClient, own), {})
    client: ReferredClient = kind(app, app.response_class, use_cookies=True, **options)
    client.partnerstack = partnerstack
    return client
