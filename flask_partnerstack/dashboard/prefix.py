"""The variables of the prefix that the page is registered under: ``url_prefix="/<team>/ps"``.

They are the app's, and no view of the page knows their names. The links on a page lead to pages
below the same prefix.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask import g
from flask import request

#: What the page's own rules have for variables.
OWN = ("entry_id", "filename")
_PREFIX = "_partnerstack_dashboard_prefix"


def follow(blueprint: Blueprint) -> None:
    """Let ``blueprint`` be registered under a prefix with variables, and links keep their values.

    After the hooks that ask for permission, which may want to see them in ``request.view_args``.
    """
    blueprint.url_value_preprocessor(_note)
    blueprint.url_defaults(_repeat)
    blueprint.before_request(_take_away)


def _note(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    found = (values or {}).items()
    setattr(g, _PREFIX, {name: value for name, value in found if name not in OWN})


def _repeat(_endpoint: str, values: dict[str, Any]) -> None:
    for name, value in g.get(_PREFIX, {}).items():
        values.setdefault(name, value)


def _take_away() -> None:
    for name in g.get(_PREFIX, {}):
        (request.view_args or {}).pop(name, None)
