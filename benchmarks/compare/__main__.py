"""Compares the extension with what else is used, and writes the tables of ``docs/compare.md``.

``python -m benchmarks.compare`` takes a quarter of an hour. ``--quick`` shows in a minute or two
that all of it works; it and ``--only`` print the tables and write nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks import pairs
from benchmarks.compare import draining
from benchmarks.compare import hooks
from benchmarks.compare import importing
from benchmarks.compare import signup
from benchmarks.compare import survival
from benchmarks.compare.tables import Table
from benchmarks.compare.tables import write
from benchmarks.loopback import Vendor

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent.parent / "docs" / "compare.md"
REQUIREMENTS: Final = HERE / "requirements.txt"


def _hooks(*, quick: bool) -> Table:
    with Vendor() as vendor:
        return hooks.measure(vendor.url, quick=quick)


PARTS: Final[dict[str, Callable[..., Table]]] = {
    "hooks": _hooks,
    "signup": signup.measure,
    "draining": draining.measure,
    "importing": importing.measure,
    "survival": survival.measure,
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small; writes nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts; writes nothing")
    given = parser.parse_args()
    _stay_on_this_machine()
    machine = pairs.machine(*peers())
    print(machine)
    tables = [_measured(name, quick=given.quick) for name in given.only or PARTS]
    if not given.quick and given.only is None:
        write(PAGE, f"{machine}.", tables)
        print(f"\nWritten: {PAGE.relative_to(Path.cwd())}")


def peers() -> list[str]:
    """Return the installed packages that the requirements name.

    :raises SystemExit: one is missing; with the command that installs it.
    """
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    names = [line.partition(">=")[0].partition("[")[0] for line in lines if ">=" in line]
    try:
        for name in names:
            version(name)
    except PackageNotFoundError as e:
        raise SystemExit(f"{e.name} is not installed: pip install -r {REQUIREMENTS}") from e
    return names


def _stay_on_this_machine() -> None:
    """Let no proxy of the environment, and no log line, have a say here or in what is started."""
    logging.disable()
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]


def _measured(name: str, *, quick: bool) -> Table:
    started = time.monotonic()
    table = PARTS[name](quick=quick)
    print(f"\n## {name} ({time.monotonic() - started:.0f} s)\n\n{table.markdown()}", flush=True)
    return table


if __name__ == "__main__":
    main()
