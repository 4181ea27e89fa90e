"""PartnerStack's API: what it means, and who carries the bytes."""

from .client import Client as Client
from .messages import Request as Request
from .messages import Response as Response
from .protocol import Customer as Customer
from .protocol import Receipt as Receipt
from .protocol import pitfalls_of as pitfalls_of
from .transport import HTTPTransport as HTTPTransport
from .transport import Transport as Transport
