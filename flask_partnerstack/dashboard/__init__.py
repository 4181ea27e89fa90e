"""The operator's page: what became of every conversion, for people who know no SQL.

Server-rendered and strict: it comes with a Content-Security-Policy under which no inline script
and no inline style runs, and nothing is fetched from anywhere else.
"""

from __future__ import annotations

from .guard import Permission as Permission
from .views import make_dashboard as make_dashboard
