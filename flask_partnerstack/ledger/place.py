"""``Place``: where the ledger lies, and whether it can be written and will last."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from sqlalchemy import URL

from ..errors import ConfigurationError
from .connecting import LEDGER_URL
from .connecting import in_memory
from .connecting import parse_url

#: The ledger's file in the instance folder.
FILE_NAME = "partnerstack.db"


@dataclass(frozen=True)
class Place:
    """Where the ledger lies.

    :param url: ``None``: in the app's own database.
    :param embedded: nobody named it: it is ours alone, and makes its own tables.
    :param home: the folder that a file without a folder of its own lies in.
    """

    url: URL | None = field(repr=False)  # it may have a password in its query
    embedded: bool
    home: Path

    @classmethod
    def of(cls, ledger_url: str | None, folder: str) -> Place:
        """Return the place that ``LEDGER_URL`` names, or a SQLite file in ``folder``.

        A relative SQLite path is one below ``folder``.

        :raises ConfigurationError: it is not a SQLAlchemy URL, or names SQLite's file by a URI.
        """
        home = Path(folder)
        if ledger_url is None:
            return cls(URL.create("sqlite", database=str(home / FILE_NAME)), True, home)
        url = parse_url(ledger_url)
        if url.get_backend_name() != "sqlite":
            return cls(url, False, home)
        _refuse_uri(url)
        if in_memory(url):
            return cls(url, True, home)
        return cls(url.set(database=str(home / (url.database or ""))), False, home)

    @classmethod
    def of_app(cls, folder: str) -> Place:
        """Return the place in the app's own database."""
        return cls(None, False, Path(folder))

    @property
    def path(self) -> Path | None:
        """The SQLite file; ``None`` for a database server, or in memory."""
        if self.url is None or self.url.get_backend_name() != "sqlite" or in_memory(self.url):
            return None
        return Path(self.url.database or "")

    @property
    def in_memory(self) -> bool:
        """Whether it lies in this process alone."""
        return self.url is not None and in_memory(self.url)

    def make_writable(self) -> None:
        """Make the file's folder, and try to write there. Opens no database.

        :raises ConfigurationError: naming the folder, or the file, and the way out.
        """
        if self.path is not None:
            _check_no_folder(self.path)
            self._make_folder(self.path)
            _check_file(self.path)

    def _make_folder(self, path: Path) -> None:
        try:
            if path.parent == self.home:
                self.home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as e:
            raise ConfigurationError(
                LEDGER_URL, _UNWRITABLE.format(folder=path.parent, why=e.strerror)
            ) from e

    def lasts(self) -> bool:
        """Say whether what is written here outlives a restart, as far as can be seen.

        In memory it does not; in a container it does only on a mount.
        """
        if self.path is None:
            return self.url is None or not in_memory(self.url)
        return not in_container() or _is_mounted(self.path.parent)


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        raise ConfigurationError(LEDGER_URL, _IS_FOLDER.format(path=path, within=path / FILE_NAME))


def _check_file(path: Path) -> None:
    # Not by opening it: its end would take another app's locks on the file, in this process, away.
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigurationError(LEDGER_URL, _IS_ANOTHERS.format(path=path))


_IS_FOLDER = (
    "the ledger's file {path} cannot be written: it is a folder. Set this key to a file in it, for "
    "instance sqlite:///{within}, or move the folder away."
)
_UNWRITABLE = (
    "the ledger's folder {folder} cannot be written ({why}). Make it writable for the app's user, "
    "give Flask(instance_path=…) another folder, or set this key, for instance to "
    "sqlite:////var/lib/app/partnerstack.db, and run flask partnerstack init-db once."
)
_IS_ANOTHERS = (
    "the ledger's file {path} cannot be written (Permission denied). Another user has made it, by "
    "a command perhaps: give it to the app's user (chown), and run flask partnerstack as that one."
)


def _refuse_uri(url: URL) -> None:
    # SQLite alone knows which file, or memory, it names: we could say nothing of the folder, and a
    # move, or another process, might look elsewhere. Without uri=true it is a file of that name.
    if "uri" in url.query or (url.database or "").startswith("file:"):
        raise ConfigurationError(
            LEDGER_URL,
            "expected a path, got a SQLite URI (file:…, uri=true). Name the file itself, "
            "sqlite:////var/lib/app/partnerstack.db, or sqlite:// for a ledger in memory.",
        )


def in_container() -> bool:
    """Say whether this process seems to run in a container."""
    marks = ("/.dockerenv", "/run/.containerenv")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(Path(mark).exists() for mark in marks)


def _is_mounted(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return existing.stat().st_dev != Path("/").stat().st_dev
