"""``Runs``: the decorated views that ran in one request, and who is credited when it ends.

A decorated view may call another one, raise what is an answer, or fail and be answered for by
somebody else. What becomes of a customer whom it named is decided here, and nowhere else.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from typing import Final
from urllib.parse import unquote
from urllib.parse import urljoin
from urllib.parse import urlsplit

from flask import Response
from flask import current_app
from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.urls import iri_to_uri

from ._lenient import record_leniently
from ._losses import Customer
from ._losses import click_of
from ._losses import key_of
from ._losses import regret
from ._losses import say_not_recorded
from .errors import InvalidConversion

log: Final = logging.getLogger("flask_partnerstack")

AskCustomer = Callable[[], "Customer | Awaitable[Customer | None] | None"]
AskSuccess = Callable[[Response], "bool | Awaitable[bool]"]
End = Response | BaseException
"""The finished response, or what was raised in the place of one."""
UNSAFE = ("POST", "PUT", "PATCH")


class Run:
    """One run of a decorated view, as the context that it runs in.

    :param runs: those of the same request, this one among them.
    """

    def __init__(
        self, runs: Runs, ask_customer: AskCustomer | None, ask_success: AskSuccess | None
    ) -> None:
        self._runs = runs
        self._ask_customer = ask_customer
        self._ask_success = ask_success
        self.open = True
        self.failure: str | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open = False
        if error is not None:
            self.failure = None if _is_answer(error) else type(error).__name__
            self._runs.leave(error)

    def ask(self, response: Response) -> Customer | None:
        """Return whom ``customer=`` names, where it is to be asked."""
        if self._ask_customer is None or self.failure is not None or not self._succeeded(response):
            return None
        return _check_customer(_awaited(self._ask_customer()))

    def ask_whom(self) -> Customer | None:
        """Return whom ``customer=`` names, for a line in the log. Never raises."""
        try:
            return _check_customer(_awaited(self._ask_customer())) if self._ask_customer else None
        except Exception:  # noqa: BLE001 - what is told of has raised before
            return None

    def was_to_ask(self, end: End) -> bool:
        """Say whether ``customer=`` might have named somebody, had nothing been raised.

        ``success=`` is not asked: it expects the view's own answers.
        """
        if self._ask_customer is None:
            return False
        if isinstance(end, BaseException):
            return self.failure is None and request.method in UNSAFE
        return self.failure is not None and looks_like_success(end)

    def objection(self, end: End) -> str | None:
        """Return why whom the view named is not credited, or ``None`` where they are."""
        if not isinstance(end, BaseException) and end.status_code >= 400:
            return f"the view named them, and was answered {end.status_code} in the end"
        if self.failure is not None:
            return f"the view raised {self.failure}"
        if isinstance(end, BaseException):
            return f"{type(end).__name__} was raised after the view, by a hook perhaps"
        return None

    def _succeeded(self, response: Response) -> bool:
        if self._ask_success is not None:
            return bool(_awaited(self._ask_success(response)))
        return looks_like_success(response)


class Runs:
    """The runs of decorated views in one request, and whom they named."""

    def __init__(self) -> None:
        self.ended = False
        self._asks = False
        self._runs: list[Run] = []
        self._named: dict[Run, Customer] = {}

    def begin(self, ask_customer: AskCustomer | None, ask_success: AskSuccess | None) -> Run:
        """Return one more, which is left with its view."""
        run = Run(self, ask_customer, ask_success)
        self._asks = self._asks or ask_customer is not None
        self._runs.append(run)
        return run

    def leave(self, error: BaseException) -> None:
        """See what a view raised. What Flask does not catch, a server's time-out, is the end."""
        if not isinstance(error, Exception) and not any(run.open for run in self._runs):
            self.finish(error)

    def name(self, customer: Customer) -> None:
        """Keep whom the view that is going on names. The last call wins."""
        runs = [run for run in self._runs if run.open]
        # Behind the views, in a hook perhaps, it is said of one that answered.
        runs = runs or [run for run in self._runs if run.failure is None] or self._runs
        self._named.pop(runs[-1], None)
        self._named[runs[-1]] = customer

    def follow(self, response: Response) -> None:
        """See the finished response."""
        self.finish(response)

    def fail(self, error: BaseException) -> None:
        """See what was raised and never handled. Some extensions say so of an answer, too."""
        if not _is_answer(error):
            self.finish(error)

    def finish(self, end: End) -> None:
        """Record the conversion, if there was one, and say whose is lost. Never raises.

        Only the first time: what Flask answers after an error is no other end.
        """
        if self.ended:
            return
        self.ended = True
        if not self._named and not self._asks:
            return  # a form that is shown, as most answers of a signup view are
        try:
            self._say_lost(end, self._record(end))
        except Exception:  # somebody else's objects are in it
            log.exception("A signup's conversion may not be recorded.")

    def _record(self, end: End) -> Customer | None:
        """Return who is credited, recorded or with an ERROR line that says why not."""
        customer: Customer | None = None
        try:
            customer = self._credited(end)
            if customer is not None:
                record_leniently(customer)
        except Exception as e:  # noqa: BLE001 - nothing of ours may break the signup
            self._regret(customer, e)
        return customer

    def _regret(self, customer: Customer | None, error: Exception) -> None:
        if customer is not None:
            regret(customer, error)
            return
        # The app's own success= or customer= has raised. Whom it is about, customer= may say yet.
        about = next(filter(None, (run.ask_whom() for run in reversed(self._runs))), {})
        if click_of(about) is not None:
            regret(about, error)

    def _credited(self, end: End) -> Customer | None:
        named = [who for run, who in self._named.items() if run.objection(end) is None]
        if named or isinstance(end, BaseException):
            return named[-1] if named else None
        # The inner view knows more of its own signup than the one that called it.
        asked = (run.ask(end) for run in reversed(self._runs) if run not in self._named)
        return next((customer for customer in asked if customer is not None), None)

    def _say_lost(self, end: End, credited: Customer | None) -> None:
        lost = dict(self._lost(end, credited))
        if credited is not None:
            lost.pop(key_of(credited), None)
        for customer, reason in lost.values():
            say_not_recorded(customer, reason)

    def _lost(
        self, end: End, credited: Customer | None
    ) -> Iterator[tuple[str, tuple[Customer, str]]]:
        """Yield by their keys who was named, or to be asked for, each with what is in the way."""
        for run, customer in self._named.items():
            yield key_of(customer), (customer, run.objection(end) or _SUPERSEDED)
        for run in self._runs:
            if credited is None and not self._named and run.was_to_ask(end):
                yield "", ({}, f"customer= is not asked, {run.objection(end)}")


_SUPERSEDED = "another view of the same request named somebody else after them"


def _is_answer(error: BaseException) -> bool:
    """Say whether what was raised is an answer below 400: ``abort(redirect(…))`` for one."""
    try:
        return isinstance(error, HTTPException) and error.get_response().status_code < 400
    except Exception:  # noqa: BLE001 - a class of the app's own, whose error it is to raise
        return False


def _awaited(answer: Any) -> Any:
    """Return what a function of the app's answered, ``async`` or not, whatever kind it is of."""
    if not inspect.iscoroutine(answer):  # not isawaitable(), by which each proxy is one
        return answer

    async def wait() -> Any:
        return await answer

    return current_app.ensure_sync(wait)()


def _check_customer(answer: Any) -> Customer | None:
    if answer is None or isinstance(answer, Mapping):
        return answer
    raise InvalidConversion(
        "customer",
        "expected a mapping of track_conversion's arguments, "
        '{"customer_key": user.public_id}, or None for nobody, '
        f"got {answer.__class__.__name__}.",  # a proxy's is that of what it leads to
    )


def looks_like_success(response: Response) -> bool:
    """Say whether the current request's answer is one that signup views give on success."""
    if request.method not in UNSAFE:
        return False
    return response.status_code == 201 or _leads_elsewhere(response)


def _leads_elsewhere(response: Response) -> bool:
    if response.status_code not in (301, 302, 303, 307, 308) or not response.location:
        return False
    target = urljoin(request.url, response.location)
    if _host_of(target) != _host_of(request.host_url):
        return True
    return unquote(urlsplit(target).path or "/") != request.script_root + request.path


def _host_of(url: str) -> str:
    """Return the host, by which a form is the same one over https, at another port, or at www."""
    return (urlsplit(iri_to_uri(url)).hostname or "").removeprefix("www.")
