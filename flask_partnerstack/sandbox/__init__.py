"""A fake PartnerStack on your own machine: partner links, conversions, look-ups, and outages.

It is a real WSGI server on loopback, so that what is tested against it crosses a socket. What it
knows of PartnerStack it has from nowhere else in the package: a mistake there is not repeated here.

Three ways to run it: :class:`SandboxProcess` from a test-suite, :func:`serve` (or
``python -m flask_partnerstack.sandbox``) by hand, :func:`create_app` where the WSGI app is enough.
"""

from __future__ import annotations

from .app import create_app
from .fault import Fault
from .process import SandboxError
from .process import SandboxProcess
from .server import SandboxServer
from .server import serve
from .settings import SandboxSettings

__all__ = [
    "Fault",
    "SandboxError",
    "SandboxProcess",
    "SandboxServer",
    "SandboxSettings",
    "create_app",
    "serve",
]
