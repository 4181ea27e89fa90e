"""``FakePartnerStack``: a PartnerStack in this process, with a memory. No socket is opened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from urllib.parse import urlencode

from werkzeug.test import Client
from werkzeug.test import TestResponse

from ..errors import NotSent
from ..errors import Unclear
from ..sandbox import SandboxSettings
from ..sandbox import create_app
from ..sandbox.state import get_state
from ..wire import Request
from ..wire import Response

Documents = list[dict[str, Any]]


class FakePartnerStack:
    """A PartnerStack in this process: the sandbox without its sockets, and with the same words.

    It takes what the real one takes, refuses what that refuses, remembers both, and breaks down
    on demand. A fault that would keep its client waiting does not: the test has no time for it.

    :param settings: the sandbox's, when its defaults do not suit.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings: SandboxSettings = settings or SandboxSettings()
        self.running: bool = True
        app = create_app(self.settings)
        get_state(app).faults.release()
        self._browser = Client(app)

    @property
    def url(self) -> str:
        """Where it seems to be: nothing listens there."""
        return "http://localhost"

    @property
    def conversion_url(self) -> str:
        """The value of ``PARTNERSTACK_CONVERSION_URL``."""
        return f"{self.url}/conversion/xid"

    @property
    def api_url(self) -> str:
        """The value of ``PARTNERSTACK_API_URL``."""
        return self.url

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

    def clear(self) -> None:
        """Forget all of it; the faults stay on."""
        self._ask("POST", "/_sandbox/clear")

    # --- what goes wrong ------------------------------------------------------------------------

    def fault(self, *, on: str = "conversion", **fields: object) -> None:
        """Let one thing go wrong, in place of what went wrong on this target before.

        :param on: ``"conversion"``, or ``"api"`` for REST v2.
        :param fields: those of the sandbox's ``Fault``, in their JSON form: ``status=503``,
            ``times=2``, ``drop="after"``.
        :raises ValueError: when a field makes no sense; the message names it.
        """
        self.script(fields, on=on)

    def script(self, *faults: Mapping[str, object], on: str = "conversion") -> None:
        """Let one thing after the other go wrong: of the faults given, the first that fits strikes.

        Give each a ``times``, so that it makes room for the next.

        :raises ValueError: when a field makes no sense; the message names it.
        """
        self._ask("PUT", "/_sandbox/faults", json={on: faults})

    def clear_faults(self) -> None:
        """Let all be well."""
        self._ask("DELETE", "/_sandbox/faults")

    def stop(self) -> None:
        """Be out of reach from now on: no connection comes about."""
        self.running = False

    def start(self) -> None:
        """Be back, with all that it remembers."""
        self.running = True

    # --- the seams ------------------------------------------------------------------------------

    def link(
        self, partner: str, landing: str | None = None, version: int = 2, **parameters: str
    ) -> str:
        """A partner's link, for :meth:`follow`. See ``SandboxProcess.link``."""
        query = {"v": str(version), **({"to": landing} if landing else {}), **parameters}
        return f"{self.url}/l/{quote(partner, safe='')}?{urlencode(query)}"

    def follow(self, link: str) -> str:
        """Make the click of a partner's link; return the landing URL that it leads to."""
        return self._open("GET", link).headers["Location"]

    def send(self, request: Request, *, within: timedelta) -> Response:
        """Answer one request of ours: this is a ``Transport``.

        :raises NotSent: it is stopped.
        :raises Unclear: a fault says that no answer comes.
        """
        del within
        if not self.running:
            raise NotSent("no connection: the fake PartnerStack is stopped")
        try:
            answer = self._open(
                request.method, request.url, headers=dict(request.headers), data=request.body
            )
        except OSError:
            raise Unclear("no answer: a fault of the fake PartnerStack") from None
        return Response(answer.status_code, dict(answer.headers), answer.data)

    def _list(self, name: str) -> Documents:
        documents: Documents = self._ask("GET", f"/_sandbox/{name}")
        return documents

    def _ask(self, method: str, path: str, **body: object) -> Any:
        answer = self._open(method, self.url + path, **body)
        content = answer.get_json()
        if answer.status_code != 200:
            raise ValueError(content["message"])
        return content

    def _open(self, method: str, url: str, **request: Any) -> TestResponse:
        return self._browser.open(url, method=method, buffered=True, **request)
