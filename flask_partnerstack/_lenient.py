"""``record_leniently``: records what a decorated view named, without what cannot be reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

from ._losses import Customer
from ._losses import say_left_out
from .conversion import without_invalid
from .errors import InvalidConversion
from .referral import Referral
from .referral import check_clicked_at
from .tracking import track_conversion


def record_leniently(customer: Customer) -> None:
    """Record what a decorated view said, leaving out optional fields that cannot be reported.

    :raises InvalidConversion: a bad customer key or xid.
    :raises LedgerUnavailable: it could not be written down.
    """
    fields = {name: value for name, value in customer.items() if name != "customer_key"}
    click, complaints = _click_in(fields)
    kept, amiss = _optional_in(fields)
    for complaint in (*amiss, *complaints):
        say_left_out(customer, complaint)
    track_conversion(customer.get("customer_key"), **click, **kept)  # type: ignore[arg-type]


#: What says which click it is. ``None`` says something, too.
_CLICK = ("xid", "referral")
_REFUSED = {
    "partner_key": "it comes with the click; expected referral= or none.",
    "session": "the view is over, and its transaction with it; expected none, or a call of "
    "track_conversion(session=…) in the view.",
}
_ARGUMENTS = [name for name in signature(track_conversion).parameters if name not in _REFUSED]
_OPTIONAL = frozenset(_ARGUMENTS) - {"customer_key", *_CLICK}
_EXPECTED = f"expected one of {', '.join(_ARGUMENTS)}."


def _click_in(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    click = {name: fields[name] for name in _CLICK if name in fields}
    if not isinstance(click.get("referral"), Referral):
        return click, []
    click["referral"], complaints = _without_amiss(click["referral"])
    return click, complaints


def _optional_in(fields: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    given = {
        name: value
        for name, value in fields.items()
        if name not in _CLICK and value is not None  # not given, so the request's
    }
    unknown = [name for name in given if name not in _OPTIONAL]
    kept, complaints = without_invalid({n: v for n, v in given.items() if n in _OPTIONAL})
    return kept, [*complaints, *(f"{name}: {_REFUSED.get(name, _EXPECTED)}" for name in unknown)]


def _without_amiss(referral: Referral) -> tuple[Referral, list[str]]:
    """Return a referral that can be reported, and for what is left out of it what is wrong."""
    said = {"partner_key": referral.partner_key, "sub_ids": referral.sub_ids}
    kept, complaints = without_invalid(said)
    clicked_at = None
    try:
        clicked_at = check_clicked_at(referral.clicked_at)
    except InvalidConversion as e:  # of an unknown moment none is too old
        complaints.append(str(e))
    if not complaints:
        return referral, []
    given: dict[str, Any] = {"partner_key": None, "sub_ids": (), **kept}
    return replace(referral, clicked_at=clicked_at, **given), complaints
