"""Say whether the archives hold what they should: ``contents.py SDIST WHEEL FILES_IN_GIT``.

The wheel holds the package, the pytest plugin and what describes them, and no test. The sdist holds
all that is in git, so that whoever packs this for a distribution can test it.
"""

from __future__ import annotations

import email
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

#: What only somebody with the repository needs.
OF_THE_REPOSITORY = (".ci/", ".editorconfig")
#: What a wheel says of itself, and the name of the file in which it does.
INFO = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
HEADERS = {
    "License-Expression": "MIT",
    "Requires-Python": ">=3.10",
    "Description-Content-Type": "text/markdown",
}
#: What ``pip install 'Flask-PartnerStack[...]'`` takes, as the documents say.
EXTRAS = {"celery", "dev", "docs", "examples", "mysql", "postgresql", "prometheus", "rq", "test"}
ENTRY_POINTS = {
    "partnerstack = flask_partnerstack.cli:partnerstack",
    "flask_partnerstack = pytest_flask_partnerstack",
}


def main(sdist: str, wheel: str, listing: str) -> None:
    """End with all that is missing, too much or not said."""
    in_git = set(Path(listing).read_text(encoding="utf-8").splitlines())
    complaints = [*_of_sdist(sdist, in_git), *_of_wheel(wheel, in_git)]
    sys.exit("\n".join(complaints) or None)


def _of_sdist(path: str, in_git: set[str]) -> Iterator[str]:
    with tarfile.open(path) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name for name in in_git if not name.startswith(OF_THE_REPOSITORY)}
    yield from _differences("sdist", found, wanted | {"PKG-INFO"})


def _of_wheel(path: str, in_git: set[str]) -> Iterator[str]:
    wanted = {name for name in in_git if name.startswith("flask_partnerstack/")}
    with zipfile.ZipFile(path) as archive:
        found = set(archive.namelist())
        info = next(name for name in found if name.endswith("/METADATA")).removesuffix("METADATA")
        about = {info + name for name in INFO}
        yield from _differences("wheel", found, wanted | about | {"pytest_flask_partnerstack.py"})
        yield from _of_metadata(email.message_from_bytes(archive.read(info + "METADATA")))
        entry_points = archive.read(info + "entry_points.txt").decode().splitlines()
    yield from (f"entry points: no {line!r}" for line in ENTRY_POINTS - set(entry_points))


def _differences(archive: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    print(f"{archive}: {len(found)} files")
    yield from (f"{archive}: {name} is missing" for name in sorted(wanted - found))
    yield from (f"{archive}: {name} is too much" for name in sorted(found - wanted))


def _of_metadata(metadata: Message) -> Iterator[str]:
    for name, value in HEADERS.items():
        if metadata[name] != value:
            yield f"metadata: {name} is {metadata[name]}, expected {value}"
    extras = set(metadata.get_all("Provides-Extra", []))
    if extras != EXTRAS:
        yield f"metadata: the extras are {sorted(extras)}, expected {sorted(EXTRAS)}"
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", str(metadata.get_payload())):
        yield f"metadata: the description has a link to {target}, which is not on a package index"
    for requirement in metadata.get_all("Requires-Dist", []):
        if "extra ==" not in requirement and ">=" not in requirement:
            yield f"metadata: {requirement} has no lower bound"


if __name__ == "__main__":
    main(*sys.argv[1:])
