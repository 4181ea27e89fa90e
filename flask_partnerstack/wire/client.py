"""``Client``: what we want from PartnerStack, said and carried."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..conversion import Conversion
from ..settings import Settings
from .credentials import secrets_of
from .messages import Request
from .messages import Response
from .messages import date_of
from .protocol import Answer
from .protocol import Customer
from .protocol import Receipt
from .protocol import conversion_request
from .protocol import lookup_request
from .protocol import read_customer
from .protocol import read_receipt
from .transport import Transport


class Client:
    """Reports conversions and looks customers up, over any transport.

    Its credentials stay with it: an answer that echoes them is kept without.
    """

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._secrets = secrets_of(settings.token, settings.public_key, settings.secret_key)

    def deliver(self, conversion: Conversion, *, within: timedelta) -> Receipt:
        """Report one conversion.

        :param within: the time for the whole exchange.
        :raises DeliveryError: anything but a receipt, as the kind that says how it is judged.
        """
        settings = self._settings
        request = conversion_request(settings.conversion_url, settings.token or "", conversion)
        return read_receipt(self._exchange(request, within), settings.status_policy)

    def look_up(self, customer_key: str, *, within: timedelta) -> Customer | None:
        """Ask for one customer; ``None`` is a clean "no such customer".

        :raises DeliveryError: it cannot be told.
        """
        return read_customer(self._fetch(customer_key, within), customer_key)

    def ask(self, customer_key: str, *, within: timedelta) -> Answer:
        """Ask for one customer, and return when it was answered as well.

        :raises DeliveryError: as :meth:`look_up`.
        """
        response = self._fetch(customer_key, within)
        return Answer(read_customer(response, customer_key), date_of(response))

    def _fetch(self, customer_key: str, within: timedelta) -> Response:
        settings = self._settings
        request = lookup_request(
            settings.api_url, settings.public_key or "", settings.secret_key or "", customer_key
        )
        return self._exchange(request, within)

    def _exchange(self, request: Request, within: timedelta) -> Response:
        response = self._transport.send(request, within=within)
        return replace(response, secrets=self._secrets)
