"""``FakePartnerStack``: a PartnerStack in this process, with a memory. No socket is opened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from werkzeug.test import Client
from werkzeug.test import TestResponse

from ..errors import NotSent
from ..errors import Unclear
from ..sandbox import SandboxSettings
from ..sandbox import create_app
from ..sandbox.asked import AskedSandbox
from ..sandbox.state import get_state
from ..wire import Request
from ..wire import Response


class FakePartnerStack(AskedSandbox):
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

    def stop(self) -> None:
        """Be out of reach from now on: no connection comes about."""
        self.running = False

    def start(self) -> None:
        """Be back, with all that it remembers."""
        self.running = True

    # --- the seams ------------------------------------------------------------------------------

    def follow(self, link: str) -> str:
        """Make the click of a partner's link; return the landing URL that it leads to.

        :raises ValueError: it is none, in the sandbox's words.
        """
        answer = self._open("GET", link)
        if answer.status_code != 302:
            raise ValueError(answer.get_json()["message"])
        return answer.headers["Location"]

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

    def _ask(self, method: str, path: str, document: object = None) -> Any:
        body = {} if document is None else {"json": document}
        answer = self._open(method, self.url + path, **body)
        content = answer.get_json()
        if answer.status_code != 200:
            raise ValueError(content["message"])
        return content

    def _open(self, method: str, url: str, **request: Any) -> TestResponse:
        return self._browser.open(url, method=method, buffered=True, **request)
