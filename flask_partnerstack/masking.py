"""What a log line may say of a customer: never a whole e-mail address."""

from __future__ import annotations

import re


def looks_like_email(text: str) -> bool:
    """Say whether a customer key seems to be an e-mail address."""
    return "@" in text and _EMAIL.fullmatch(text) is not None


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def masked(customer_key: str) -> str:
    """Return the key as logs may show it: an e-mail address only by its first letter and host.

    As :func:`printable` writes it, whatever a form was sent.
    """
    local, at, host = customer_key[:_LONGEST_SHOWN].rpartition("@")
    return printable(f"{local[:1]}***@{host}" if at else host)


_LONGEST_SHOWN = 512


def printable(text: str) -> str:
    """Return ``text`` as one line that any encoding of Unicode can write, and no terminal obeys.

    The rest is as Python escapes it: control characters, and what turns the order of letters.
    """
    if text.isprintable():  # as nearly all is, and every signup asks
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def log_extra(customer_key: str, xid: str | None, entry_id: int | None = None) -> dict[str, object]:
    """Return what a log record says beside its words, for the ``extra`` of :mod:`logging`.

    The words stay the same for each customer, so that Sentry and its like see one trouble as one.
    """
    facts = {"customer_key": masked(customer_key), "xid": xid, "entry_id": entry_id}
    return {f"partnerstack_{name}": value for name, value in facts.items() if value is not None}


def without_addresses(text: str) -> str:
    """Return somebody else's words as logs may show them: each e-mail address masked."""
    return _ADDRESS.sub(lambda found: masked(_AT.sub("@", found[0])), text)


# As people, addresses of pages, JSON and HTML write them.
_AT = re.compile(r"@|%(?:25)*40|\\+u0040|\\+x40|&#0*64;|&#x0*40;|&commat;", re.IGNORECASE)
# From the beginning of a word only, or each of its letters would be tried as one.
_ADDRESS = re.compile(rf"(?<![\w.+%-])[\w.+%-]+(?:{_AT.pattern})[\w.-]+", re.IGNORECASE)
