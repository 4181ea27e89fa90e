"""What the sandbox remembers: clicks, requests and customers. It has not heard of Flask."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .conversion import read_object
from .records import Records


@dataclass(frozen=True)
class Click:
    """One click on a partner link."""

    xid: str
    partner_key: str
    version: int
    #: Seconds since 1970.
    at: float

    def as_json(self) -> dict[str, Any]:
        """The click as the control API shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Received:
    """One request to the conversion endpoint, and what became of it."""

    #: Seconds since 1970, when it was judged.
    at: float
    #: The request's body as it came, text that need not be JSON.
    raw: str
    #: The request's headers of interest, without the credential.
    headers: tuple[tuple[str, str], ...]
    #: The status answered; nothing when the connection was left hanging or closed.
    status: int | None
    #: Whether PartnerStack took the conversion, whatever it answered.
    accepted: bool
    #: Whether it was accepted although the customer key was known.
    duplicate: bool
    #: What was wrong with it, or with PartnerStack; empty when all was well.
    note: str

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object that came; empty when there was none."""
        return read_object(self.raw)

    def as_json(self) -> dict[str, Any]:
        """The request as the control API shows it."""
        return {
            "at": self.at,
            "body": self.body,
            "raw": self.raw,
            "headers": dict(self.headers),
            "status": self.status,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "note": self.note,
        }


@dataclass(frozen=True)
class Lookup:
    """One request to REST v2 for a customer."""

    at: float
    customer_key: str
    status: int | None

    def as_json(self) -> dict[str, Any]:
        """The look-up as the control API shows it."""
        return asdict(self)


@dataclass(frozen=True)
class PageSignup:
    """One call of ``createSignup`` by a page, in the browser."""

    at: float
    public_key: str
    data: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The signup as the control API shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Customer:
    """A customer that an accepted conversion made."""

    #: Seconds since 1970, when the conversion was accepted.
    at: float
    raw: str
    #: The partner whose click it was; empty when the sandbox made no such click.
    partner_key: str

    @cached_property
    def conversion(self) -> dict[str, Any]:
        """The conversion as it was received."""
        return read_object(self.raw)

    @property
    def key(self) -> str:
        """The customer key."""
        return str(self.conversion["customer_key"])

    def as_json(self, *, test: bool) -> dict[str, Any]:
        """The customer as REST v2 shows it; times are milliseconds since 1970."""
        meta = self.conversion.get("meta", {})
        return {
            "key": _internal_key("cus", self.key),
            "customer_key": self.key,
            "name": self.conversion.get("name"),
            "email": self.conversion.get("email"),
            "provider_key": self.conversion.get("provider_key"),
            "test": test,
            "partnership_key": _internal_key("part", self.partner_key),
            "fields": [{"api_name": k, "name": k, "value": v} for k, v in meta.items()],
            "meta": {},
            "mdata": meta,
            "created_at": int(self.at * 1000),
            "updated_at": int(self.at * 1000),
        }


def _internal_key(prefix: str, name: str) -> str | None:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{prefix}_{digest[:14]}" if name else None


class Memory:
    """Clicks, requests, look-ups and customers of one sandbox; safe to use from many threads.

    :param records: a file that remembers clicks and requests for the next start.
    """

    def __init__(self, records: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._records = Records(records)
        self._forget()
        try:
            for line in self._records.read():
                self._recall(line)
        except BaseException:
            self._records.close()
            raise

    def add_click(self, click: Click) -> None:
        """Remember a click, so that its xid is known."""
        with self._lock:
            self._clicks[click.xid] = click
            self._records.append({"click": click.as_json()})

    def knows_click(self, xid: str) -> bool:
        """Whether the sandbox made this xid."""
        return xid in self._clicks

    def partner_of(self, xid: str) -> str:
        """The partner key behind an xid; empty when the sandbox did not make it."""
        click = self._clicks.get(xid)
        return click.partner_key if click else ""

    def add_customer(self, raw: str, at: float) -> bool:
        """Remember the customer of an accepted conversion; false when the key is known already.

        The first one stays as it is.
        """
        customer = Customer(at, raw, self.partner_of(str(read_object(raw).get("xid"))))
        with self._lock:
            return self._customers.setdefault(customer.key, customer) is customer

    def customer(self, customer_key: str) -> Customer | None:
        """The customer with this key, if a conversion made one."""
        return self._customers.get(customer_key)

    def add_received(self, received: Received) -> None:
        """Remember a request to the conversion endpoint."""
        with self._lock:
            self._received.append(received)
            self._records.append({"received": asdict(received)})

    def add_lookup(self, lookup: Lookup) -> None:
        """Remember a look-up; these do not survive a restart."""
        with self._lock:
            self._lookups.append(lookup)

    def add_page_signup(self, signup: PageSignup) -> None:
        """Remember a signup that a page reported; these do not survive a restart."""
        with self._lock:
            self._page_signups.append(signup)

    @property
    def page_signups(self) -> list[PageSignup]:
        """All signups that pages reported since the sandbox was started, oldest first."""
        with self._lock:
            return list(self._page_signups)

    @property
    def clicks(self) -> list[Click]:
        """All clicks, oldest first."""
        with self._lock:
            return list(self._clicks.values())

    @property
    def received(self) -> list[Received]:
        """All requests to the conversion endpoint, oldest first."""
        with self._lock:
            return list(self._received)

    @property
    def lookups(self) -> list[Lookup]:
        """All look-ups since the sandbox was started, oldest first."""
        with self._lock:
            return list(self._lookups)

    @property
    def customers(self) -> list[Customer]:
        """All customers, oldest first."""
        with self._lock:
            return list(self._customers.values())

    def clear(self) -> None:
        """Forget everything, in the records file too."""
        with self._lock:
            self._forget()
            self._records.clear()

    def close(self) -> None:
        """Let go of the records file."""
        self._records.close()

    def _forget(self) -> None:
        self._clicks: dict[str, Click] = {}
        self._received: list[Received] = []
        self._lookups: list[Lookup] = []
        self._page_signups: list[PageSignup] = []
        self._customers: dict[str, Customer] = {}

    def _recall(self, line: Mapping[str, Any]) -> None:
        if "click" in line:
            click = Click(**line["click"])
            self._clicks[click.xid] = click
        elif "received" in line:
            self._recall_received(line["received"])

    def _recall_received(self, fields: Mapping[str, Any]) -> None:
        headers = tuple((name, value) for name, value in fields["headers"])
        received = Received(**{**fields, "headers": headers})
        self._received.append(received)
        if received.accepted:
            self.add_customer(received.raw, received.at)
