"""``track_signup`` and ``set_customer``: a signup view that reports its conversion."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from functools import wraps
from typing import Any
from typing import Final
from typing import NoReturn
from typing import ParamSpec
from typing import TypeVar
from typing import cast
from typing import overload
from urllib.parse import unquote
from urllib.parse import urljoin
from urllib.parse import urlsplit

from flask import Response
from flask import current_app
from flask import has_request_context
from flask import request

from . import signals
from ._state import this_app
from ._visit import current_visit
from ._visit import follow
from .conversion import CustomerKey
from .errors import InvalidConversion
from .errors import NotInitialized
from .masking import log_extra
from .masking import masked
from .tracking import click_of
from .tracking import record_leniently

log: Final = logging.getLogger("flask_partnerstack")

P = ParamSpec("P")
R = TypeVar("R")

Customer = Mapping[str, Any]
"""``track_conversion``'s arguments, by name."""
AskCustomer = Callable[[], "Customer | Awaitable[Customer | None] | None"]
AskSuccess = Callable[[Response], "bool | Awaitable[bool]"]


@overload
def track_signup(view: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def track_signup(
    *, customer: AskCustomer | None = None, success: AskSuccess | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def track_signup(
    view: Callable[P, R] | None = None,
    /,
    *,
    customer: AskCustomer | None = None,
    success: AskSuccess | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a signup view, ``def`` or ``async def``: its new customer is reported.

    The sure way is to call :func:`set_customer` in the view; then it counts when the view
    answered below 400. Whatever goes wrong in tracking is logged and never reaches the signup.

    :param customer: asked after the view, for ``track_conversion``'s arguments as a mapping, or
        ``None`` for nobody. Only after a POST, PUT or PATCH that was answered with 201 or a
        redirect to another path: 200 is a form with errors, and a redirect to itself is one too.
    :param success: replaces that rule; gets the finished response.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        return _decorated(view, customer, success)

    return decorate if view is None else decorate(view)


def set_customer(
    customer_key: CustomerKey,
    *,
    email: str | None = None,
    name: str | None = None,
    provider_key: str | None = None,
    origin: str | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    external_type: str | None = None,
    sub_ids: Iterable[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    **unknown: NoReturn,  # refused by type checkers; a signup must not fail for a slip of the pen
) -> None:
    """Say, inside a view under :func:`track_signup`, who signed up. The last call wins.

    Takes the fields that ``track_conversion`` takes, of this request's click; a click that you
    have stored is for ``track_conversion``. No field raises: a bad key is logged and signalled, a
    bad optional field is logged and left out.

    :param unknown: names that are no field's, which a type checker refuses. Where none looked,
        they are taken as from ``customer=``: what is not known is logged and left out.
    """
    signup = _current_signup(customer_key)
    if signup is None:
        return
    signup.customer = {
        "customer_key": customer_key,
        "email": email,
        "name": name,
        "provider_key": provider_key,
        "origin": origin,
        "ip_address": ip_address,
        "user_agent": user_agent,
        "external_type": external_type,
        "sub_ids": sub_ids,
        "meta": meta,
        **unknown,
    }


def _decorated(
    view: Callable[P, R], customer: AskCustomer | None, success: AskSuccess | None
) -> Callable[P, R]:
    if inspect.iscoroutinefunction(view):
        return cast("Callable[P, R]", _decorated_async(view, customer, success))

    @wraps(view)
    def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        signup = _begin(customer, success)
        answer = view(*args, **kwargs)
        signup.answered = True
        return answer

    return tracked


def _decorated_async(
    view: Callable[P, Awaitable[R]], customer: AskCustomer | None, success: AskSuccess | None
) -> Callable[P, Awaitable[R]]:
    @wraps(view)
    async def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        signup = _begin(customer, success)
        answer = await view(*args, **kwargs)
        signup.answered = True
        return answer

    return tracked


def _begin(customer: AskCustomer | None, success: AskSuccess | None) -> _Signup:
    signup = _Signup(customer, success)
    try:
        if has_request_context():
            follow(signup)
    except NotInitialized as e:  # the signup is worth more
        log.error("Nothing that a view under @track_signup does is recorded. %s", e)
    return signup


def _current_signup(customer_key: object) -> _Signup | None:
    """Return the run of the decorated view that is going on; where none is, say what is lost."""
    try:
        visit = current_visit()
    except NotInitialized as e:
        log.error("set_customer() records nothing. %s", e)
        return None
    if not isinstance(visit.follower, _Signup):
        _complain(customer_key, visit.referral.xid, _OUTSIDE)
    elif visit.follower.ended:
        _complain(customer_key, visit.referral.xid, _LATE)
    else:
        return visit.follower
    return None


_OUTSIDE = (
    "set_customer() was called outside a view decorated with @track_signup. Decorate the view, "
    "below its route, or call track_conversion()"
)
_LATE = (
    "set_customer() was called after the response was finished, in a generator that streams it "
    "perhaps. Call it before the view returns"
)


def _complain(customer_key: object, xid: str | None, what: str) -> None:
    key = str(customer_key)
    log.error(
        "A conversion was NOT recorded: customer %s, xid %s: %s.",
        masked(key),
        xid,
        what,
        extra=log_extra(key, xid),
    )


class _Signup:
    """One run of a decorated view: who signed up, if anybody, and how the view ended."""

    def __init__(self, ask_customer: AskCustomer | None, ask_success: AskSuccess | None) -> None:
        self._ask_customer = ask_customer
        self._ask_success = ask_success
        self.customer: Customer | None = None
        self.answered = False
        self.ended = False

    def follow(self, response: Response) -> None:
        """Record the conversion, if there was one. Never raises."""
        self.ended = True
        customer: Customer | None = None
        try:
            customer = self._new_customer(response)
            if customer is not None:
                fields = dict(customer)
                record_leniently(fields.pop("customer_key", None), fields)
        except Exception as e:  # noqa: BLE001 - nothing of ours may break the signup
            _regret(customer or {}, e)

    def _new_customer(self, response: Response) -> Customer | None:
        """Return who signed up, now that the response is finished."""
        if not self.answered:
            return None
        if self.customer is not None and response.status_code >= 400:
            _note_error(self.customer, response.status_code)
            return None
        if self.customer is not None:
            return self.customer
        if self._ask_customer is None or not self._succeeded(response):
            return None
        return _check_customer(_awaited(self._ask_customer()))

    def _succeeded(self, response: Response) -> bool:
        if self._ask_success is not None:
            return bool(_awaited(self._ask_success(response)))
        return looks_like_success(response)


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
    if request.method not in ("POST", "PUT", "PATCH"):
        return False
    return response.status_code == 201 or _leads_elsewhere(response)


def _leads_elsewhere(response: Response) -> bool:
    if response.status_code not in (301, 302, 303, 307, 308) or not response.location:
        return False
    target = urlsplit(urljoin(request.url, response.location))
    return unquote(target.path) != request.script_root + request.path


def _note_error(customer: Customer, status: int) -> None:
    """Say what became of a customer whom a partner referred, and whose signup failed."""
    key, xid = str(customer.get("customer_key")), click_of(customer)
    if xid is not None:
        log.warning(
            "Nothing is recorded of customer %s, xid %s: the view named them, and was answered %s "
            "in the end.",
            masked(key),
            xid,
            status,
            extra=log_extra(key, xid),
        )


def _regret(customer: Customer, error: Exception) -> None:
    """Log what is needed to record by hand what could not be recorded, and tell the app."""
    key, xid = str(customer.get("customer_key")), click_of(customer)
    log.error(
        "A conversion was NOT recorded: customer %s, xid %s: %s. "
        "Record it with: flask partnerstack track CUSTOMER_KEY --xid XID, or "
        "track_conversion(customer_key, xid=…).",
        masked(key),
        xid,
        str(error).rstrip("."),
        exc_info=error,
        extra=log_extra(key, xid),
    )
    signals.send(signals.conversion_skipped, this_app(), entry=None, reason=str(error))
