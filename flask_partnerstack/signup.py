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

from flask import Flask
from flask import has_request_context

from ._losses import is_recorded
from ._losses import key_text
from ._runs import AskCustomer
from ._runs import AskSuccess
from ._runs import Run
from ._runs import Runs
from ._visit import current_visit
from ._visit import follow
from .conversion import CustomerKey
from .errors import NotInitialized
from .masking import log_extra
from .masking import masked

log: Final = logging.getLogger("flask_partnerstack")

P = ParamSpec("P")
R = TypeVar("R")


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

    :param customer: asked after the view, for ``track_conversion``'s arguments as a mapping, all
        but ``session``, or ``None`` for nobody. Only after a POST, PUT or PATCH that was answered
        with 201 or a redirect to another path or host: 200 is a form with errors, and a redirect
        to itself is one too.
    :param success: replaces that rule; gets the finished response.
    :raises TypeError: ``customer`` or ``success`` cannot be asked, or what is decorated is no view.
    """
    _check(customer, "customer")
    _check(success, "success")

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        _check_view(view)
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
    runs = _current_runs(customer_key)
    if runs is None:
        return
    runs.name(
        {
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
    )


def fail(_app: Flask, exception: BaseException) -> None:
    """See what Flask caught and nobody handled: the views that ran are not what is answered."""
    runs = current_visit().follower
    if isinstance(runs, Runs):
        runs.fail(exception)


def _decorated(
    view: Callable[P, R], customer: AskCustomer | None, success: AskSuccess | None
) -> Callable[P, R]:
    if inspect.iscoroutinefunction(view):
        return cast("Callable[P, R]", _decorated_async(view, customer, success))

    @wraps(view)
    def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        with _begin(customer, success):
            return view(*args, **kwargs)

    return tracked


def _decorated_async(
    view: Callable[P, Awaitable[R]], customer: AskCustomer | None, success: AskSuccess | None
) -> Callable[P, Awaitable[R]]:
    @wraps(view)
    async def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        with _begin(customer, success):
            return await view(*args, **kwargs)

    return tracked


def _check(ask: object, role: str) -> None:
    if ask is not None and not callable(ask):
        raise TypeError(
            f"{role}: expected a function, def or async def, got {type(ask).__name__}. It is asked "
            "in each request, when the view has answered."
        )


def _check_view(view: object) -> None:
    if not callable(view):
        raise TypeError(
            f"track_signup: expected a view, got {type(view).__name__}. It stands below the route "
            "and takes no arguments but customer= and success=."
        )


def _begin(customer: AskCustomer | None, success: AskSuccess | None) -> Run:
    try:
        runs = _runs_here()
    except NotInitialized as e:  # the signup is worth more
        log.error("Nothing that a view under @track_signup does is recorded. %s", e)
        runs = Runs()
    return runs.begin(customer, success)


def _runs_here() -> Runs:
    runs = current_visit().follower
    if not isinstance(runs, Runs):
        runs = Runs()
        if has_request_context():
            follow(runs)
    return runs


def _current_runs(customer_key: object) -> Runs | None:
    """Return the runs of this request's decorated views; where none is, say what is lost."""
    try:
        visit = current_visit()
    except NotInitialized as e:
        log.error("set_customer() records nothing. %s", e)
        return None
    if not isinstance(visit.follower, Runs):
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
    "perhaps, or after the request had failed. Call it before the view returns"
)


def _complain(customer_key: object, xid: str | None, what: str) -> None:
    key = key_text(customer_key)
    if xid is not None and is_recorded(key):
        return
    log.error(
        "A conversion was NOT recorded: customer %s, xid %s: %s.",
        masked(key),
        xid,
        what,
        extra=log_extra(key, xid),
    )
