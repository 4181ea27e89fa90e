"""Conversions that are not to be reported, each with its reason."""

from __future__ import annotations

from flask_partnerstack import Conversion
from flask_partnerstack import PartnerStack

partnerstack = PartnerStack()


@partnerstack.skip_if
def own_staff(conversion: Conversion) -> str | None:
    # The whole domain: notacme.com is somebody else's.
    domain = (conversion.email or "").rpartition("@")[2].lower()
    return "our own staff" if domain == "acme.com" else None


@partnerstack.skip_if
def test_address(conversion: Conversion) -> str | None:
    return "a test address" if "+test@" in (conversion.email or "") else None


@partnerstack.skip_if
def paid_search(conversion: Conversion) -> str | None:
    # PartnerStack fills the sub ID with the ad's click where a partner advertises.
    paid = any(sub_id.startswith(("1-g-", "1-b-")) for sub_id in conversion.sub_ids or ())
    return "a paid-search click" if paid else None
