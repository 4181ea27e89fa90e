"""``mark_of``: tells one set-up from another, for a pause that a deploy may be the cure of."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version

from ..settings import Settings

#: Figures of the digest: enough to see a change by, and too few to prove a guess at the token.
LENGTH = 8


def mark_of(settings: Settings) -> str:
    """Return what changes with the token, the address and the version of this package."""
    setup = (settings.token, settings.conversion_url, _version())
    return hashlib.sha256(json.dumps(setup).encode()).hexdigest()[:LENGTH]


@cache  # it is read from a file
def _version() -> str:
    try:
        return version("Flask-PartnerStack")
    except PackageNotFoundError:  # copied into the app's own tree
        return ""
