"""What a request pays for the extension: the difference to the bare app, in the same run.

``python -m benchmarks.hook`` prints a table of microseconds.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_login import LoginManager

from benchmarks import pairs
from flask_partnerstack import PartnerStack

ROUNDS, LOOPS = 41, 400

FOREIGN_QUERY = "page=2&sort=price&utm_source=news&gclid=Cj0KCQjw0JnRBhDJARIsALob&lang=en"
FOREIGN_COOKIES = "; ".join(f"_cookie{number}={'v' * 24}{number}" for number in range(10))
LANDING = (
    "utm_medium=affiliate&ps_partner_key=a2VlZ2FubGVhcnk4Njcy&ps_xid=h8pb9E7TZK6YMO"
    "&gsxid=h8pb9E7TZK6YMO&gspk=a2VlZ2FubGVhcnk4Njcy"
)
OURS = f"partnerstack_referral=v=1&x=h8pb9E7TZK6YMO&t={int(time.time())}&k=keeganleary8672"

#: Each kind of request: query string, Cookie header, more headers.
REQUESTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "nothing of ours": ("", "", {}),
    "10 foreign cookies, 5 parameters": (FOREIGN_QUERY, FOREIGN_COOKIES, {}),
    "our cookie": ("", OURS, {}),
    "our cookie among 10 foreign": ("", f"{FOREIGN_COOKIES}; {OURS}", {}),
    # Setting a cookie costs what Werkzeug's set_cookie costs; a prefetch captures without it.
    "landing, without its Set-Cookie": (LANDING, "", {"Sec-Purpose": "prefetch"}),
    "landing, with it": (LANDING, "", {}),
}


def bare() -> Flask:
    app = Flask("bench", instance_path=tempfile.mkdtemp())
    app.add_url_rule("/", view_func=lambda: "hello")
    return app


def empty_hook() -> Flask:
    app = bare()
    app.before_request(lambda: None)
    return app


def with_partnerstack() -> Flask:
    app = bare()
    app.config.update(PARTNERSTACK_TOKEN="token", PARTNERSTACK_ENGINE="none")
    PartnerStack(app)
    return app


def with_login() -> Flask:
    app = bare()
    app.secret_key = "secret"
    LoginManager(app).user_loader(lambda _id: None)
    return app


APPS: dict[str, Callable[[], Flask]] = {
    "bare": bare,
    "empty hook": empty_hook,
    "PartnerStack": with_partnerstack,
    "Flask-Login": with_login,
}


def start_response(*_answer: Any) -> Callable[[bytes], object]:
    """Take the status and the headers, and do nothing with them."""
    return len


def calling(app: Flask, query: str, cookies: str, headers: dict[str, str]) -> pairs.Variant:
    """Return what sends one request through the whole WSGI app, as a server calls it."""
    if cookies:
        headers = {**headers, "Cookie": cookies}
    with app.test_request_context(f"/?{query}", headers=headers) as context:
        environ = dict(context.request.environ)

    def call() -> None:
        answer: Any = app(dict(environ), start_response)
        with contextlib.closing(answer):
            b"".join(answer)

    return call


def main() -> None:
    logging.disable()
    print(pairs.machine())
    others = [name for name in APPS if name != "bare"]
    print(f"{'µs over the bare app':34} {'bare':>8} " + " ".join(f"{n:>13}" for n in others))
    for name, (query, cookies, headers) in REQUESTS.items():
        variants = {n: calling(make(), query, cookies, headers) for n, make in APPS.items()}
        found = pairs.compare(variants, rounds=pairs.rounds(ROUNDS), loops=LOOPS)
        differences = " ".join(f"{pairs.over(found[n], found['bare']):13.1f}" for n in others)
        print(f"{name:34} {pairs.micros(found['bare']):8.1f} {differences}")


if __name__ == "__main__":
    main()
