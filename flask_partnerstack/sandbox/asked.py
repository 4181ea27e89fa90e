"""``AskedSandbox``: the words in which a test speaks to a sandbox, wherever that one runs."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from urllib.parse import urlencode

from .links import XID_LENGTHS

Documents = list[dict[str, Any]]


class AskedSandbox(ABC):
    """A sandbox that is asked what it was told, and told what shall go wrong."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is, without a slash at the end."""

    @abstractmethod
    def _ask(self, method: str, path: str, document: object = None) -> Any:
        """Put one question, and return its answer.

        :raises ValueError: it is refused; the message says why.
        """

    @property
    def conversion_url(self) -> str:
        """The value of ``PARTNERSTACK_CONVERSION_URL``."""
        return f"{self.url}/conversion/xid"

    @property
    def api_url(self) -> str:
        """The value of ``PARTNERSTACK_API_URL``: a customer is at ``/api/v2/customers/<key>``."""
        return self.url

    # --- links ----------------------------------------------------------------------------------

    def link(
        self, partner: str, landing: str | None = None, version: int = 2, **parameters: str
    ) -> str:
        """A partner link; visiting it makes a click.

        :param landing: where it leads, if not where the settings say.
        :param version: 2, or 1 for links of the old kind.
        :param parameters: what the partner appended, ``sid`` for example.
        :raises ValueError: nobody has that partner key, or no link is of that kind.
        """
        if not partner:
            raise ValueError(f"partner: expected a partner's key, like 'ann', got {partner!r}")
        if version not in XID_LENGTHS:
            raise ValueError(f"version: expected 1 or 2, got {version!r}")
        query = {"v": str(version), **({"to": landing} if landing else {}), **parameters}
        return f"{self.url}/l/{quote(partner, safe='')}?{urlencode(query)}"

    # --- what it was told -----------------------------------------------------------------------

    def received(self) -> Documents:
        """Every request to the conversion endpoint and what was answered, oldest first."""
        return self._list("received")

    def customers(self) -> Documents:
        """Every customer that an accepted conversion made, oldest first."""
        return self._list("customers")

    def clicks(self) -> Documents:
        """Every click, oldest first."""
        return self._list("clicks")

    def lookups(self) -> Documents:
        """Every request to REST v2 for a customer, oldest first."""
        return self._list("lookups")

    # --- what goes wrong ------------------------------------------------------------------------

    def faults(self) -> dict[str, Documents]:
        """The faults that are on, by target."""
        faults: dict[str, Documents] = self._ask("GET", "/_sandbox/faults")
        return faults

    def fault(self, *, on: str = "conversion", **fields: object) -> None:
        """Let one thing go wrong, in place of what went wrong on this target before.

        :param on: ``"conversion"``, or ``"api"`` for REST v2.
        :param fields: those of :class:`.Fault`, in their JSON form: ``status=503``, ``times=2``,
            ``drop="after"``.
        :raises ValueError: when a field makes no sense; the message names it.
        """
        self.script(fields, on=on)

    def script(self, *faults: Mapping[str, object], on: str = "conversion") -> None:
        """Let one thing after the other go wrong: of the faults given, the first that fits strikes.

        Give each a ``times``, so that it makes room for the next.

        :raises ValueError: when a field makes no sense; the message names it.
        """
        self._ask("PUT", "/_sandbox/faults", {on: faults})

    def clear_faults(self) -> None:
        """Let all be well; whoever hangs in a fault is let go."""
        self._ask("DELETE", "/_sandbox/faults")

    def clear(self) -> None:
        """Forget clicks, requests and customers; faults stay."""
        self._ask("POST", "/_sandbox/clear")

    def _list(self, name: str) -> Documents:
        documents: Documents = self._ask("GET", f"/_sandbox/{name}")
        return documents
