"""``python -m flask_partnerstack.sandbox``: a sandbox in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from argparse import ArgumentParser
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from .server import serve
from .settings import SandboxSettings

#: What the line on standard output begins with, once the sandbox listens; its URL follows.
READY = "Sandbox listening on "


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sandbox as the command line says."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        serve(
            options.host,
            options.port,
            settings=_settings(options),
            verbose=options.verbose,
            ready=_say_ready_and_watch if options.until_eof else _say_ready,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m flask_partnerstack.sandbox",
        description="A fake PartnerStack on this machine. Ctrl-C ends it.",
    )
    default = SandboxSettings()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    add("--port", type=int, default=8787, help="0 picks a free one (%(default)s)")
    add("--token", default=default.token, help="the Bearer token (%(default)s)")
    add("--public-key", default=default.public_key, help="of REST v2 (%(default)s)")
    add("--secret-key", default=default.secret_key, help="of REST v2 (%(default)s)")
    add("--landing", default=default.landing, help="where links lead (%(default)s)")
    add("--test", action="store_true", help="customers are test customers")
    add("--strict-clicks", action="store_true", help="404 for an xid of no click made here")
    add("--conflict-on-repeat", action="store_true", help="409 for a known customer key")
    add("--lag", type=float, default=0.0, help="seconds until a customer shows up (%(default)s)")
    add("--decode-keys", action="store_true", help="404 for a customer key with a slash in it")
    add("--records", type=Path, help="a file that remembers for the next start")
    add("--verbose", action="store_true", help="log a line for each request")
    add("--until-eof", action="store_true", help="end when standard input does")
    return parser


def _settings(options: Namespace) -> SandboxSettings:
    named = {field.name: getattr(options, field.name) for field in fields(SandboxSettings)}
    return SandboxSettings(**named)


def _say_ready(url: str) -> None:
    sys.stdout.write(f"{READY}{url}\n")
    sys.stdout.flush()


def _say_ready_and_watch(url: str) -> None:
    # Not earlier: the signal that the watch sends would find nobody prepared for it.
    _say_ready(url)
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
