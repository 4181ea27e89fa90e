"""From a partner's link to a reported customer, on this machine, explained at each step.

Starts a fake PartnerStack and the example ``saas``, and is a visitor there; then both are yours to
click through. ``--once`` ends instead, with exit code 0 only when the conversion has arrived
exactly once. What is kept lies in a temporary folder and goes with the demo.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl
from urllib.parse import urlencode
from urllib.parse import urljoin
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor
from urllib.request import HTTPRedirectHandler
from urllib.request import ProxyHandler
from urllib.request import Request
from urllib.request import build_opener

if TYPE_CHECKING:
    from flask_partnerstack.sandbox import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PARTNER = "ada"
ADMIN = "admin@kettle.example"
PASSWORD = "correct horse battery"

#: Seconds to wait for anything that is to happen.
PATIENCE = 30.0


class DemoError(Exception):
    """When the demo cannot go on; the message says why, and the way out."""


def main() -> int:
    """Run the demo as the command line says."""
    options = _options()
    if options.serve is not None:
        return serve(options.serve)
    _end_when_told()
    try:
        with tempfile.TemporaryDirectory(prefix="partnerstack-demo-") as folder:
            return run(options, Path(folder))
    except DemoError as e:
        print(f"\nThe demo ends here. {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A guided tour of Flask-PartnerStack.")
    add = parser.add_argument
    add("--once", action="store_true", help="end after the walk instead of staying up")
    add("--port", type=int, default=0, help="of the site (default: a free one)")
    add("--sandbox-port", type=int, default=0, help="of the sandbox (default: a free one)")
    add("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _end_when_told() -> None:
    # Said for Ctrl-C, too: a shell lets what it starts in the background ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def run(options: argparse.Namespace, folder: Path) -> int:
    """Start both, walk through, and stay or end."""
    try:
        # The site's packages are asked for here, where their absence can be explained.
        import flask_login  # noqa: F401 - only whether it is there
        import flask_wtf  # noqa: F401 - only whether it is there

        from flask_partnerstack.sandbox import SandboxProcess
        from flask_partnerstack.sandbox import SandboxSettings
    except ModuleNotFoundError as e:
        raise DemoError(
            f"It needs the package {e.name}, which this Python does not have. Where it is there:\n"
            f"  cd {ROOT} && python3 -m venv .venv && .venv/bin/pip install '.[examples]' "
            "&& .venv/bin/python examples/demo.py"
        ) from e

    port = free_port(options.port, "--port")
    sandbox_port = free_port(options.sandbox_port, "--sandbox-port")
    settings = SandboxSettings(landing=f"http://{HOST}:{port}/")
    with SandboxProcess(settings, port=sandbox_port) as sandbox:
        environment = {
            "KETTLE_FOLDER": str(folder),
            "SECRET_KEY": secrets.token_hex(),
            "PARTNERSTACK_TOKEN": settings.token,
            "PARTNERSTACK_CONVERSION_URL": sandbox.conversion_url,
        }
        with Site(port, environment, folder / "site.log") as site:
            say("From a partner's link to a reported customer")
            say("============================================")
            say()
            say("Two servers were started on this machine:")
            say(f"  {sandbox.url}/  a fake PartnerStack, the sandbox")
            say(f"  {site.url}/  Kettle, a SaaS that uses Flask-PartnerStack")
            Walk(sandbox, site).through()
            return 0 if options.once else stay(sandbox, site)


def stay(sandbox: SandboxProcess, site: Site) -> int:
    """Leave both up until Ctrl-C."""
    password = secrets.token_urlsafe(9)
    site.flask("add-admin", ADMIN, "--password", password)
    say()
    say("Both servers stay up. Now it is your turn:")
    say(f"  {sandbox.link(PARTNER)}  a partner's link")
    say(f"  {sandbox.url}/  what the sandbox has received, and ways to break it")
    say(f"  {site.url}/admin/  approve who chose the plan Team: {ADMIN}, {password}")
    say()
    say(f"The ledger, from another terminal in {ROOT}:")
    say(f"  {site.shell_line('partnerstack', 'list')}")
    with suppress(KeyboardInterrupt):
        say()
        say("Ctrl-C ends both.")
        code = site.process.wait()
        raise DemoError(f"The site ended by itself (exit code {code}).{site.last_words()}")
    say("\nBoth have ended.")
    return 0


class Walk:
    """One visitor's way, told step by step."""

    def __init__(self, sandbox: SandboxProcess, site: Site) -> None:
        self.sandbox = sandbox
        self.site = site
        self.browser = Browser()

    def through(self) -> None:
        """Walk it.

        :raises DemoError: when the conversion did not arrive exactly once.
        """
        landing = self.click()
        self.land(landing)
        self.browse()
        customer_key = self.sign_up()
        self.await_delivery(customer_key)
        self.send_form_again()
        self.show_ledger(customer_key)
        self.judge(customer_key)

    def click(self) -> str:
        step("A visitor clicks a partner's link")
        link = self.sandbox.link(PARTNER, sid1="newsletter")
        say(f"The partner {PARTNER} put this link into a newsletter:")
        say(f"  {link}")
        landing = self.browser.get(link).location
        say("PartnerStack remembers the click and redirects to the landing URL of the site:")
        say(f"  {landing}")
        for name, value in parse_qsl(urlsplit(landing).query):
            say(f"    {name:15} {value:15} {MEANINGS.get(name, '')}".rstrip())
        return landing

    def land(self, landing: str) -> None:
        step("The landing page greets, and keeps the click")
        page = self.browser.get(landing)
        say(f"The page says: {found(GREETING, page.text, 'greeting')}")
        say("The answer sets one first-party cookie, out of reach of scripts:")
        say(f"  Set-Cookie: {page.headers['Set-Cookie']}")
        say("and no shared cache may give this page to somebody else:")
        say(f"  Cache-Control: {page.headers['Cache-Control']}")
        say(f"  Vary: {page.headers['Vary']}")

    def browse(self) -> None:
        step("The visitor looks around")
        page = self.browser.get(f"{self.site.url}/pricing")
        say("GET /pricing has no parameters any more; the cookie knows:")
        say(f"  {found(GREETING, page.text, 'greeting')}")
        if "partnerstack" in (page.headers["Set-Cookie"] or ""):
            raise DemoError("The cookie was set again by a mere page view.")
        say("The cookie is not set again: looking around does not make a click younger.")

    def sign_up(self) -> str:
        step("The visitor signs up while PartnerStack is down")
        self.sandbox.fault(status=503, delay=0.5, times=1)
        say("The sandbox will answer the next conversion with 503, half a second late.")
        answer = self.send_form()
        if urlsplit(answer.location).path != "/account":
            raise DemoError(f"The signup was answered with {answer.status}.")
        say(
            f"POST /signup was answered after {answer.milliseconds:.0f} ms: {answer.status}, on to "
            "/account."
        )
        say(f"Hashing a password alone takes {hashing():.0f} ms. Nobody waited for PartnerStack.")
        page = self.browser.get(f"{self.site.url}/account").text
        customer_key = found(CUSTOMER_KEY, page, "customer key")
        say(f"The new customer's public ID, which is the customer key: {customer_key}")
        return customer_key

    def await_delivery(self, customer_key: str) -> None:
        step("The conversion is delivered")
        await_(self.site, lambda: self.conversions(customer_key), "No conversion was accepted")
        requests = self.sandbox.received()
        for number, request in enumerate(requests):
            waited = request["at"] - requests[0]["at"]
            when = f"{waited:.1f} s later" if number else "the first time"
            verdict = "accepted" if request["accepted"] else "refused, so it is tried again"
            say(f"  {when}: {request['status']}, {verdict}")
        say("What the sandbox was sent:")
        say(indent(json.dumps(requests[-1]["body"], indent=2), "  "))

    def send_form_again(self) -> None:
        step("An impatient visitor sends the form again")
        answer = self.send_form()
        say(f"It is answered with {answer.status}, on to {urlsplit(answer.location).path}.")
        say("They are a customer already, so there is nothing to report.")

    def show_ledger(self, customer_key: str) -> None:
        step("The ledger has the whole story")
        say(f"$ flask --app examples.saas partnerstack show {customer_key}")
        # The answer is in the ledger a moment after the sandbox gave it.
        shown = await_(self.site, lambda: self.delivered(customer_key), "It is not delivered")
        say(indent(shown.rstrip(), "  "))

    def judge(self, customer_key: str) -> None:
        conversions = self.conversions(customer_key)
        if len(conversions) != 1 or len(self.sandbox.customers()) != 1:
            raise DemoError(f"The conversion has arrived {len(conversions)} times.")
        say()
        say("Refused once, delivered once, credited once.")

    def send_form(self) -> Answer:
        form = {
            "csrf_token": self._csrf_token,
            "name": "Grace Hopper",
            "email": "grace@example.com",
            "password": PASSWORD,
            "plan": "starter",
        }
        return self.browser.post(f"{self.site.url}/signup", form)

    @cached_property
    def _csrf_token(self) -> str:
        page = self.browser.get(f"{self.site.url}/signup").text
        return found(CSRF_TOKEN, page, "CSRF token")

    def conversions(self, customer_key: str) -> list[Any]:
        """What the sandbox has accepted of this customer."""
        return [
            request
            for request in self.sandbox.received()
            if request["accepted"] and request["body"]["customer_key"] == customer_key
        ]

    def delivered(self, customer_key: str) -> str | None:
        shown = self.site.flask("partnerstack", "show", customer_key)
        return shown if "delivered" in shown else None


#: What the parameters of a landing URL say.
MEANINGS = {
    "pscd": "the link's domain",
    "ps_partner_key": f"the partner key {PARTNER}, in base64",
    "ps_xid": "the click ID, called xid",
    "gsxid": "the same, by its old name",
    "gspk": "the partner key, by its old name",
    "sid1": "a sub ID: what the partner noted on the link",
}
GREETING = r'class="greeting">(.+?)</p>'
CSRF_TOKEN = r'name="csrf_token"[^>]*value="([^"]+)"'
CUSTOMER_KEY = r'id="customer-key">([^<]+)<'


class Site:
    """The example ``saas`` in a process of its own, which ends with this one."""

    def __init__(self, port: int, environment: Mapping[str, str], log: Path) -> None:
        self.url = f"http://{HOST}:{port}"
        self._settings = environment
        self._environment = {**os.environ, **environment, **_no_proxy()}
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(  # noqa: S603 - this very file
                [sys.executable, "-m", "examples.demo", f"--serve={port}"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
            )

    def __enter__(self) -> Site:
        try:
            await_(self, lambda: _listens(self.url), "The site does not answer")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, unless it has ended."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def flask(self, *arguments: str) -> str:
        """Run a ``flask`` command of the site; what it prints."""
        done = subprocess.run(  # noqa: S603 - our own command, with words of our own
            [sys.executable, "-m", "flask", "--app", "examples.saas", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"flask {arguments[0]} failed:\n{indent(done.stderr.strip(), '  ')}")
        return done.stdout

    def shell_line(self, *arguments: str) -> str:
        """The same as a line to paste."""
        flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
        words = (f"KETTLE_FOLDER={self._settings['KETTLE_FOLDER']}", flask, "--app examples.saas")
        return " ".join((*words, *arguments))

    def last_words(self) -> str:
        """The end of what it logged."""
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return "\nThe last lines of its log:\n" + indent("\n".join(lines), "  ")


def serve(port: int) -> int:
    """Be the site, until Ctrl-C, SIGTERM or the end of standard input."""
    from werkzeug.serving import make_server

    from examples.saas import create_app

    logging.basicConfig(level=logging.INFO)
    _end_when_told()
    server = make_server(HOST, port, create_app(), threaded=True)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class Answer:
    """What a server answered, and how soon."""

    status: int
    headers: Message
    text: str
    url: str
    milliseconds: float

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return urljoin(self.url, self.headers.get("Location", ""))


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """Follow nothing, so that each step can be shown."""


class Browser:
    """One visitor's browser: keeps cookies, and goes where it is told."""

    def __init__(self) -> None:
        # Both servers are on this machine, whatever proxy the environment names.
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(), _NoRedirect())

    def get(self, url: str) -> Answer:
        return self._send(Request(url))  # noqa: S310 - http, to this machine

    def post(self, url: str, form: Mapping[str, str]) -> Answer:
        body = urlencode(form).encode()
        return self._send(Request(url, body))  # noqa: S310 - http, to this machine

    def _send(self, request: Request) -> Answer:
        request.add_header("User-Agent", "Mozilla/5.0 (demo)")
        started = time.perf_counter()
        try:
            response = self._opener.open(request, timeout=PATIENCE)
        except HTTPError as e:  # an answer all the same; redirects are among them
            response = e
        with response:
            text = response.read().decode()
        elapsed = 1000 * (time.perf_counter() - started)
        return Answer(response.status, response.headers, text, request.full_url, elapsed)


def free_port(wanted: int, option: str) -> int:
    """Return the port, or a free one for 0.

    :raises DemoError: somebody else has it.
    """
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, wanted))
        except (OSError, OverflowError) as e:
            raise DemoError(
                f"Port {wanted} cannot be used: {getattr(e, 'strerror', None) or e}. "
                f"Leave {option} out and a free one is found."
            ) from e
        port: int = candidate.getsockname()[1]
        return port


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    with suppress(OSError), socket.create_connection((HOST, parts.port or 0), timeout=1):
        return True
    return False


def _no_proxy() -> dict[str, str]:
    known = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    bypassed = ",".join(filter(None, (known, HOST)))
    return {"NO_PROXY": bypassed, "no_proxy": bypassed}


def await_(site: Site, condition: Callable[[], Any], failure: str) -> Any:
    """Wait until ``condition`` gives something true, and return that."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        if site.process.poll() is not None:
            raise DemoError(
                f"The site has ended (exit code {site.process.returncode}).{site.last_words()}"
            )
        if time.monotonic() > deadline:
            raise DemoError(f"{failure} within {PATIENCE:.0f} s.{site.last_words()}")
        time.sleep(0.02)
    return answer


def hashing() -> float:
    """Return the milliseconds that hashing a password takes on this machine."""
    from werkzeug.security import generate_password_hash

    started = time.perf_counter()
    generate_password_hash(PASSWORD)
    return 1000 * (time.perf_counter() - started)


def found(pattern: str, page: str, what: str) -> str:
    """Return the first group of ``pattern`` in ``page``, without its tags."""
    match = re.search(pattern, page)
    if match is None:
        raise DemoError(f"The page has no {what}.")
    return re.sub(r"<[^>]+>", "", match[1])


_steps = iter(range(1, 100))


def step(title: str) -> None:
    """Begin a step."""
    say()
    say(f"{next(_steps)}. {title}")
    say()


def say(line: str = "") -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
