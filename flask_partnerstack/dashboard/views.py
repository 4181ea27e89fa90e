"""The page's views: the overview, the figures, one entry, and what may be done with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint
from flask import Response
from flask import abort
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from .._state import get_state
from ..erasing import erase_customer
from ..errors import EntryClaimed
from ..errors import EntryNotFound
from ..errors import IllegalTransition
from ..errors import LedgerMoved
from ..errors import LedgerUnavailable
from ..errors import PartnerStackError
from ..ledger import Entry
from ..ledger import Ledger
from ..ledger import Page
from ..ledger import Status
from ..ledger import is_erased
from . import guard
from . import prefix
from . import said

NAME = "partnerstack_dashboard"
PER_PAGE = 50
#: For how many days back the figures can be asked.
PERIODS = (7, 30, 90)
USUAL_PERIOD = 30
MOST_PARTNERS = 10
#: No database counts its rows higher, or takes a higher number to look one up.
HIGHEST_ID = 2**63 - 1


def make_dashboard(permission: object = None) -> Blueprint:
    """Return the page, to be registered on an app. See :meth:`.extension.PartnerStack.dashboard`.

    :raises TypeError: nobody says who may see it.
    """
    asked = guard.check_permission(permission)
    blueprint = Blueprint(NAME, __name__, template_folder="templates", static_folder="static")
    blueprint.before_request(lambda: guard.ask_permission(asked))
    blueprint.before_request(guard.refuse_foreign_orders)
    prefix.follow(blueprint)
    blueprint.after_request(_seal)
    blueprint.register_error_handler(HTTPException, _say_refusal)
    blueprint.register_error_handler(LedgerUnavailable, _say_trouble)
    blueprint.add_url_rule("/", "home", home)
    blueprint.add_url_rule("/chart", "chart", chart)
    blueprint.add_url_rule("/entry/<int:entry_id>", "entry", show_entry)
    blueprint.add_url_rule("/entry/<int:entry_id>/requeue", "requeue", requeue, methods=["POST"])
    blueprint.add_url_rule("/entry/<int:entry_id>/erase", "erase", erase, methods=["POST"])
    return blueprint


# --- looking ------------------------------------------------------------------------------------


def home() -> str:
    """Show the totals, and the entries that were asked for."""
    state = get_state()
    ledger = state.ledger
    status, partner, search = _wanted()
    kept = {"q": search or None, "status": status and status.value, "partner": partner}
    outlook = ledger.outlook()
    return _page(
        "home",
        enabled=state.settings.enabled,
        now=outlook.now,
        pause=outlook.pause,
        oldest=ledger.oldest_pending(),
        counts=ledger.counts(),
        page=_entries_page(ledger, status, partner, search),
        kept=kept,
        filtered=any(kept.values()),
        period=USUAL_PERIOD,
    )


def _entries_page(ledger: Ledger, status: Status | None, partner: str | None, search: str) -> Page:
    before, after = _number("before"), _number("after")
    return ledger.page(
        status=status,
        partner_key=partner,
        search=search,
        before_id=before,
        after_id=after,
        limit=PER_PAGE,
    )


def _wanted() -> tuple[Status | None, str | None, str]:
    # A name has no NUL, and PostgreSQL takes none.
    told = {name: value.replace("\0", "") for name, value in request.args.items()}
    known = {status.value: status for status in Status}
    if told.get("status") and told["status"] not in known:
        abort(400, f"status: expected one of {', '.join(known)}.")
    return known.get(told.get("status", "")), told.get("partner") or None, told.get("q", "").strip()


def _number(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        abort(400, f"{name}: expected the number of an entry.")
    return int(text)


def chart() -> str:
    """Show the conversions by day and by partner; the overview fetches this, and draws it."""
    period = _number("days") or USUAL_PERIOD
    if period not in PERIODS:
        abort(400, f"days: expected one of {', '.join(map(str, PERIODS))}.")
    ledger, last = get_state().ledger, timedelta(days=period - 1)
    return _page(
        "chart",
        days=ledger.days(last),
        partners=ledger.partners(last, limit=MOST_PARTNERS),
        period=period,
        periods=PERIODS,
    )


def show_entry(entry_id: int) -> str:
    """Show one entry with its trail."""
    return _entry_page(_find(entry_id))


def _find(entry_id: int) -> Entry:
    try:
        if entry_id > HIGHEST_ID:
            raise EntryNotFound(str(entry_id))
        return get_state().ledger.find(entry_id)
    except EntryNotFound:
        abort(404, "There is no such entry.")


def _entry_page(entry: Entry, complaint: str | None = None) -> str:
    state = get_state()
    ledger = state.ledger
    return _page(
        "entry",
        enabled=state.settings.enabled,
        now=ledger.now(),
        entry=entry,
        reported=ledger.conversion_of(entry),
        trail=ledger.trail(entry),
        erased=is_erased(entry),
        requeuable=said.may_be_requeued(entry),
        verifies=state.settings.verifies,
        done=_DONE.get(request.args.get("done", "")),
        complaint=complaint,
        token=guard.token(),
        field=guard.FIELD,
    )


# --- orders -------------------------------------------------------------------------------------

_DONE = {
    "requeued": "It is pending again, and due now.",
    "erased": "What named the customer is gone for good.",
}


def requeue(entry_id: int) -> ResponseReturnValue:
    """Make an entry due again."""
    state, entry = get_state(), _find(entry_id)
    try:
        if is_erased(entry):
            raise IllegalTransition("erased", Status.PENDING.value)
        state.ledger.requeue(entry.customer_key)
    except (IllegalTransition, LedgerMoved) as e:
        return _refused(entry, e)
    state.engine.nudge()
    return _back_to(entry, "requeued")


def erase(entry_id: int) -> ResponseReturnValue:
    """Erase an entry's customer."""
    entry = _find(entry_id)
    try:
        if not is_erased(entry):
            erase_customer(entry.customer_key)
    except (EntryClaimed, LedgerMoved) as e:  # of the second it is erased here all the same
        return _refused(entry, e)
    return _back_to(entry, "erased")


def _back_to(entry: Entry, done: str) -> WerkzeugResponse:
    return redirect(url_for(".entry", entry_id=entry.id, done=done), 303)


def _refused(entry: Entry, error: PartnerStackError) -> ResponseReturnValue:
    return _entry_page(_find(entry.id), str(error)), 409


# --- the frame ----------------------------------------------------------------------------------


def _page(template: str, **facts: Any) -> str:
    return render_template(
        f"flask_partnerstack_dashboard/{template}.html", said=said, statuses=Status, **facts
    )


def _seal(response: Response) -> Response:
    return guard.seal(response, path=url_for(".home"))


def _say_refusal(error: HTTPException) -> WerkzeugResponse:
    if error.response is not None:
        return error.get_response()
    title, told = f"{error.code} {error.name}", error.description
    return _problem(title, told or "", error.code or 500)


def _say_trouble(error: LedgerUnavailable) -> WerkzeugResponse:
    return _problem("The ledger cannot be read", error.reason, 503)


def _problem(title: str, told: str, status: int) -> WerkzeugResponse:
    return make_response(_page("problem", title=title, told=told), status)
