"""Whether somebody is here: no image or script asked for, no page ahead of time."""

from __future__ import annotations

from ._origin import is_linked_from_elsewhere
from ._visit import Environ

#: Requests that only look, or ask what they may.
LOOKING = ("HEAD", "OPTIONS")
#: What a browser says when it loads a page that nobody may ever see. ``preview`` is Safari's word.
AHEAD_OF_TIME = ("prefetch", "prerender", "preview")
_PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")


def is_visit(environ: Environ) -> bool:
    """Say whether somebody is here: no ``HEAD``, no page ahead of time, no image or script.

    A page ahead of time is one all the same where the browser takes its cookie with the visit.
    """
    return (
        environ.get("REQUEST_METHOD") not in LOOKING
        and _shows_a_page(environ)
        and (not _is_ahead_of_time(environ) or _waits_for_the_visit(environ))
    )


def _shows_a_page(environ: Environ) -> bool:
    """Say whether what is asked for is a page, not a part of one.

    A script of ours may call for it, and a page of ours frame it; another site's may not, or it
    could give its visitors clicks that they never made. https://www.w3.org/TR/fetch-metadata/
    """
    told = environ.get
    fetched, site = told("HTTP_SEC_FETCH_DEST", ""), told("HTTP_SEC_FETCH_SITE")
    if fetched == "empty":
        # A service worker that fetches the page somebody opens: no script can call it navigation.
        return site != "cross-site" or told("HTTP_SEC_FETCH_MODE") == "navigate"
    if fetched == "iframe":
        # One of the same origin shares its cookies with the page, which had the click before.
        return site == "same-site"
    return fetched in ("document", "")


def _is_ahead_of_time(environ: Environ) -> bool:
    # https://fetch.spec.whatwg.org/#sec-purpose-header
    purpose = " ".join(environ.get(name, "") for name in _PURPOSES).lower()
    return any(word in purpose for word in AHEAD_OF_TIME)


def _waits_for_the_visit(environ: Environ) -> bool:
    """Say whether the browser takes the answer's cookies when its page is shown, and only then.

    Chromium asks for another site's page apart from its cookies, and takes over what came when
    somebody follows the link; it does not ask again. A page of its own site it asks for with
    them, and would keep at once a click that nobody may ever make. Sec-Fetch-Site says "none" of
    both. https://wicg.github.io/nav-speculation/prefetch.html
    """
    told = environ.get
    return (
        told("HTTP_SEC_PURPOSE", "").startswith("prefetch")
        and told("HTTP_SEC_FETCH_MODE") == "navigate"
        and told("HTTP_SEC_FETCH_DEST") == "document"
        and told("HTTP_SEC_FETCH_SITE") in ("none", "cross-site")
        and is_linked_from_elsewhere()
    )
