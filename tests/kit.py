"""What many tests need: a clock that stands still, a PartnerStack that says what it is told."""

from __future__ import annotations

import inspect
import json
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from typing import Any

from click.testing import CliRunner
from click.testing import Result
from flask import Flask
from flask.cli import FlaskGroup

from flask_partnerstack import PartnerStack
from flask_partnerstack.dispatcher import Dispatcher
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.settings import Settings
from flask_partnerstack.testing import FrozenClock
from flask_partnerstack.wire import Request
from flask_partnerstack.wire import Response
from flask_partnerstack.wire import Transport

#: A landing page's query string, as real links have it: xid Kvx64pph9uhCju, key 546ab5cc34f8.
LANDING = (
    "utm_source=partnerstack&ps_partner_key=NTQ2YWI1Y2MzNGY4&ps_xid=Kvx64pph9uhCju"
    "&gsxid=Kvx64pph9uhCju&gspk=NTQ2YWI1Y2MzNGY4"
)
XID = "Kvx64pph9uhCju"
PARTNER_KEY = "546ab5cc34f8"


class Clock(FrozenClock):
    """The kit's clock, at a moment that tests can name."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 3, 1, 12, tzinfo=timezone.utc))


Answer = Response | DeliveryError | Callable[[Request], Response]


class ScriptedTransport:
    """Answers what it is told to, 200 when nothing is left, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Request] = []

    def send(self, request: Request, *, within: timedelta) -> Response:
        assert within > timedelta(0)
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else Response(200)
        if isinstance(answer, DeliveryError):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)

    @property
    def conversions(self) -> list[dict[str, Any]]:
        return [json.loads(r.body) for r in self.requests if r.method == "POST"]


def let_time_pass(dispatcher: Dispatcher, clock: Clock, time: timedelta, step: timedelta) -> None:
    """Let time pass, with a pass of the dispatcher at each step of it that has something to do.

    The first and the last step have one anyhow. Of those between them are left out, as an engine
    leaves them out, those before the moment at which the dispatcher says that there is something
    to do: months of a clock are thousands of looks that find nothing. Of what RETENTION removes
    it says nothing, so that is removed later.
    """
    steps = time // step
    while steps > 0:
        dispatcher.run_pass()
        passed = min(_steps_until(dispatcher.next_due(), step), max(steps - 1, 1))
        clock.now += passed * step
        steps -= passed


def _steps_until(due_in: float | None, step: timedelta) -> int:
    if due_in is None:
        return sys.maxsize
    return max(-(-timedelta(seconds=due_in) // step), 1)


class TravellingPartnerStack(PartnerStack):
    """The extension with another clock, and, when given, another transport."""

    def __init__(self, clock: Clock, transport: Transport | None = None) -> None:
        self._clock = clock
        self._transport = transport
        super().__init__()

    def clock(self) -> datetime:
        return self._clock()

    def make_transport(self, settings: Settings) -> Transport:
        return self._transport or super().make_transport(settings)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def run(app: Flask, *arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command as ``flask`` does: found by its entry point, the app loaded by the group."""
    group = FlaskGroup(create_app=lambda: app)
    return _runner().invoke(group, ["partnerstack", *arguments], input=stdin)


def _runner() -> CliRunner:
    # Until click 8.2 a runner mixed the two streams unless it was told not to.
    options: dict[str, Any] = {"mix_stderr": False}
    mixing = options.keys() <= inspect.signature(CliRunner).parameters.keys()
    return OldRunner(**options) if mixing else CliRunner()


class OldRunner(CliRunner):
    """The runner of click 8.1, whose results are those of later ones."""

    def invoke(self, *args: Any, **kwargs: Any) -> Result:
        return OldResult(**vars(super().invoke(*args, **kwargs)))


class OldResult(Result):
    @property
    def output(self) -> str:
        return self.stdout + self.stderr
