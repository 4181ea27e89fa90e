"""Print the lowest versions that pyproject.toml allows here, one requirement a line for pip.

Run by the Python they are for, with the package installed in it: the markers are judged there.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.version import Version


def main() -> None:
    """Print the floor of each dependency: the highest of its lower bounds."""
    floors: dict[str, Version] = {}
    for name, version in _lower_bounds():
        floors[name] = max(version, floors.get(name, version))
    for name, version in sorted(floors.items()):
        print(f"{name}=={version}")


def _lower_bounds() -> Iterator[tuple[str, Version]]:
    for line in requires("Flask-PartnerStack") or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            for bound in requirement.specifier:
                if bound.operator == ">=":
                    yield requirement.name, Version(bound.version)


if __name__ == "__main__":
    main()
