"""Print the lowest versions that pyproject.toml allows here: ``lowest.py EXTRA,EXTRA``.

One constraint a line, for pip. Run by the Python they are for, with the package installed in it:
the markers are judged there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.version import Version


def main(extras: str) -> None:
    """Print the floor of each dependency: the highest of its lower bounds."""
    floors: dict[str, Version] = {}
    for name, version in _lower_bounds(["", *extras.split(",")]):
        floors[name] = max(version, floors.get(name, version))
    for name, version in sorted(floors.items()):
        print(f"{name}=={version}")


def _lower_bounds(extras: list[str]) -> Iterator[tuple[str, Version]]:
    for line in requires("Flask-PartnerStack") or []:
        requirement = Requirement(line)
        if _is_wanted(requirement, extras):
            for bound in requirement.specifier:
                if bound.operator == ">=":
                    yield requirement.name, Version(bound.version)


def _is_wanted(requirement: Requirement, extras: list[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


if __name__ == "__main__":
    main(sys.argv[1])
