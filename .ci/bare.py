"""Say whether all of the package can be imported where no extra is installed, but for the extras'.

Run with ``-W error``, from a folder that does not hold the checkout.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import flask_partnerstack

#: The modules that are an extra's, and what that extra brings.
EXTRAS = {
    "flask_partnerstack.celery": "celery",
    "flask_partnerstack.ledger._bounded_psycopg": "psycopg",
    "flask_partnerstack.ledger._bounded_pymysql": "pymysql",
    "flask_partnerstack.metrics": "prometheus_client",
    "flask_partnerstack.rq": "rq",
}


def main() -> None:
    """End with the first module that does not do what is expected of it."""
    found = pkgutil.walk_packages(flask_partnerstack.__path__, "flask_partnerstack.")
    names = sorted(module.name for module in found if not module.name.endswith("__main__"))
    for name in set(names) - set(EXTRAS):
        importlib.import_module(name)
    for name, brought in EXTRAS.items():
        _import_in_vain(name, brought)
    print(f"{len(names) - len(EXTRAS)} modules imported, and {len(EXTRAS)} that need an extra")


def _import_in_vain(name: str, brought: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name != brought:
            sys.exit(f"{name} needs {e.name}; expected {brought}, and no more")
    else:
        sys.exit(f"{name} was imported without {brought}: is this environment bare?")


if __name__ == "__main__":
    main()
