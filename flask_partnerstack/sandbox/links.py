"""Partner links: the click they make and the landing URL they lead to."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote
from urllib.parse import quote_plus
from urllib.parse import urlencode
from urllib.parse import urlsplit

BASE62 = string.digits + string.ascii_letters

#: Characters in a click ID, by the version of the link that made it.
XID_LENGTHS = {1: 12, 2: 14}

#: How an old (V1) link writes the ``=`` at the end of its partner key.
PADDINGS = ("encoded", "plain", "none")


def base62(length: int) -> str:
    """A random text of so many digits and letters, as PartnerStack's IDs are."""
    return "".join(secrets.choice(BASE62) for _ in range(length))


def make_xid(version: int) -> str:
    """A new click ID, of the length that links of this version give."""
    return base62(XID_LENGTHS[version])


def encode_partner_key(partner_key: str) -> str:
    """A partner key as it stands in a landing URL: base64, padded."""
    return base64.b64encode(partner_key.encode()).decode()


@dataclass(frozen=True)
class Link:
    """Everything that decides how one click's landing URL is written."""

    landing: str
    partner_key: str
    xid: str
    version: int = 2
    padding: str = "encoded"
    link_domain: str = ""
    #: Sub IDs and campaign parameters that the partner appended to the link.
    forwarded: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """The landing URL; its own query and fragment are kept."""
        parts = urlsplit(self._fill(self.landing))
        query = "&".join(filter(None, (parts.query, self._parameters())))
        return parts._replace(path=parts.path or "/", query=query).geturl()

    def _fill(self, landing: str) -> str:
        # A programme may ask for both values by name, in parameters of its own choice.
        filled = landing.replace("{partner_key}", quote_plus(self.partner_key))
        return filled.replace("{xid}", self.xid)

    def _parameters(self) -> str:
        return self._old_parameters() if self.version == 1 else self._new_parameters()

    def _old_parameters(self) -> str:
        # The key is spliced in by hand, because urlencode knows one way to write a "=".
        own = f"gspk={self._old_key()}&gsxid={self.xid}"
        return "&".join(filter(None, (own, urlencode(self.forwarded))))

    def _old_key(self) -> str:
        key = encode_partner_key(self.partner_key)
        written = {"encoded": quote(key, safe=""), "plain": key, "none": key.rstrip("=")}
        return written[self.padding]

    def _new_parameters(self) -> str:
        key = encode_partner_key(self.partner_key).rstrip("=")
        return urlencode(
            [
                *self._named(campaign=True),
                ("pscd", self.link_domain),
                ("ps_partner_key", key),
                *self._named(campaign=False),
                ("ps_xid", self.xid),
                ("gsxid", self.xid),
                ("gspk", key),
            ]
        )

    def _named(self, *, campaign: bool) -> Iterable[tuple[str, str]]:
        return (pair for pair in self.forwarded if pair[0].startswith("utm_") is campaign)


def is_forwarded(name: str) -> bool:
    """Whether a parameter of the partner link reaches the landing URL: sub IDs and ``utm_*``."""
    is_sub_id = name == "sid" or (name.startswith("sid") and name[3:].isdecimal())
    return is_sub_id or name.startswith("utm_")


@dataclass(frozen=True)
class Program:
    """The redirector's own mark in the names of its cookies: one per programme."""

    mark: str

    def cookies(self, partner_key: str, xid: str) -> dict[str, str]:
        """The redirector's cookies for one click. The two suffixes differ from click to click."""
        return {
            f"_ps_xid_{self.mark}_{base62(4)}": xid,
            f"_ps_partner_key_{self.mark}": partner_key,
            f"_gsxid{self.mark}{base62(4)}": xid,
            f"_grsmpk{self.mark}": partner_key,
        }
