"""A disk that is full: signups answer, it is said, and what was recorded is delivered."""

from __future__ import annotations

import resource
import subprocess
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Protocol

import pytest
from flask import Flask

from flask_partnerstack import track_conversion
from flask_partnerstack._state import get_state
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING
from tests.kit import XID

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

Eventually = Callable[[Callable[[], bool]], None]

SLOW = "customer-25"


class Disk(Protocol):
    """Where the site's instance folder is."""

    def fill(self, site: Site) -> None:
        """Leave no room to write in."""

    def clear(self, site: Site) -> None:
        """Give the room back."""


class SmallDisk:
    """A file system of 8 MiB."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self, _site: Site | None = None) -> None:
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(512))

    def clear(self, _site: Site | None = None) -> None:
        self._filler.unlink()


class Quota:
    """No file of the site's may grow beyond what the largest is now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, site: Site) -> None:
        largest = max(file.stat().st_size for file in self._folder.glob("*.db*"))
        self._limit(site, largest)

    def clear(self, site: Site) -> None:
        self._limit(site, resource.RLIM_INFINITY)

    def _limit(self, site: Site, size: int) -> None:
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(site._process.pid, resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], SmallDisk]]:
    """Return what puts a small file system in a folder's place; not everybody may mount one.

    It is skipped in CI too, because the quota is always tried.
    """
    mounted: list[Path] = []

    def small_disk(name: str) -> SmallDisk:
        folder = tmp_path / name
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as e:
            pytest.skip(f"no file system can be mounted here: {getattr(e, 'stderr', e)}")
        mounted.append(folder)
        return SmallDisk(folder)

    yield small_disk
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=["tmpfs", "quota"])
def disk(
    request: pytest.FixtureRequest, tmp_path: Path, small_disk: Callable[[str], SmallDisk]
) -> Disk:
    return small_disk("instance") if request.param == "tmpfs" else Quota(tmp_path / "instance")


def test_a_full_disk_costs_nothing_that_was_recorded(
    disk: Disk,
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    sandbox: SandboxProcess,
    ledger: Ledger,
    eventually: Eventually,
    keys: dict[str, str],
    count_entries: Callable[..., int],
    restart_at: Callable[..., None],
    sends: Callable[[], Counter[str]],
    taken: Callable[[], Counter[str]],
    say: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Signups answer, each that cannot be recorded is an ERROR line, and the rest is delivered.

    A send that is under way when the disk fills cannot be settled: it is looked up. So is an
    attempt that could be counted in the log's last room and not settled.
    """
    site = open_site(**keys)
    visitor = visit(site, LANDING)
    for number in range(25):
        visitor.sign_up(f"customer-{number}")
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 25)
    sandbox.script({"keys": [SLOW], "delay": 2.0}, {"status": 503})
    for number in range(25, 35):
        visitor.sign_up(f"customer-{number}")
    eventually(lambda: ledger.get(SLOW).attempts == 1)

    disk.fill(site)
    slowest = max(visitor.sign_up(f"unlucky-{number}") for number in range(10))
    eventually(lambda: sends()[SLOW] == 1)
    sandbox.clear_faults()
    visitor.arrive("")
    assert sum(ledger.counts().values()) == 35
    disk.clear(site)
    for number in range(35, 40):
        visitor.sign_up(f"customer-{number}")
    eventually(lambda: count_entries("status = 'pending' AND lease IS NULL") == 0)
    site.stop()
    for hours in range(1, 5):
        restart_at(hours, **keys)

    said, delivered = capfd.readouterr().err, taken()
    unrecorded = sum(f"NOT recorded: customer unlucky-{n}, xid {XID}: " in said for n in range(10))
    say(
        f"disk full: 50 answered (slowest {1000 * slowest:.0f} ms), 40 recorded and "
        f"{len(delivered)} delivered, {delivered.total() - len(delivered)} twice, "
        f"{unrecorded} said at ERROR"
    )
    assert delivered == {f"customer-{number}": 1 for number in range(40)}
    assert ledger.counts()[Status.VERIFIED] == 40
    assert unrecorded == 10
    assert slowest < 5.0


def test_a_full_disk_is_an_error_where_it_is_asked_for(
    small_disk: Callable[[str], SmallDisk], make_app: Callable[..., Flask]
) -> None:
    """``track_conversion`` raises ``LedgerUnavailable``; with room again it records."""
    disk, app = small_disk("app0"), make_app()
    with app.test_request_context():
        track_conversion("early", xid=XID)
        disk.fill()
        with pytest.raises(LedgerUnavailable, match="full"):
            track_conversion("acme", xid=XID)
        disk.clear()
        track_conversion("acme", xid=XID)
    assert get_state(app).ledger.counts()[Status.PENDING] == 2


def test_a_site_starts_on_a_full_disk(
    small_disk: Callable[[str], SmallDisk],
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    sandbox: SandboxProcess,
    ledger: Ledger,
    eventually: Eventually,
    count_entries: Callable[..., int],
    restart_at: Callable[..., None],
    say: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A deploy in the middle of it: pages and signups answer, and with room again it delivers."""
    disk = small_disk("instance")
    sandbox.fault(status=503)
    before = open_site()
    visit(before, LANDING).sign_up("early")
    before.stop()
    disk.fill()
    visitor = visit(open_site(), LANDING)
    visitor.sign_up("unlucky")
    disk.clear()
    sandbox.clear_faults()
    visitor.sign_up("late")
    eventually(lambda: count_entries("status = 'pending' AND lease IS NULL") == 0)
    restart_at(1)
    restart_at(3)  # for an attempt that could be counted in the log's last room, not settled
    assert ledger.counts()[Status.DELIVERED] == 2
    assert "NOT recorded: customer unlucky" in capfd.readouterr().err
    say("restarted on a full disk: 2 answered, 1 recorded, 1 said at ERROR, the earlier delivered")
