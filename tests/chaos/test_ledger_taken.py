"""The ledger's file taken away under a running site: signups answer, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.kit import LANDING

if TYPE_CHECKING:
    from flask_partnerstack.ledger import Ledger
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

GARBAGE = b"these are not the tables you are looking for" * 100


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.glob("partnerstack.db*"):
        file.unlink()


def replace(path: Path) -> None:
    other = path.with_suffix(".garbage")
    other.write_bytes(GARBAGE)
    other.replace(path)


@pytest.mark.parametrize("take", [delete, delete_all, replace], ids=lambda take: take.__name__)
def test_a_ledger_taken_from_a_running_site_is_written_back(
    take: Callable[[Path], None],
    sandbox: SandboxProcess,
    open_site: Callable[..., Site],
    visit: Callable[[Site, str], Visitor],
    ledger: Ledger,
    eventually: Callable[[Callable[[], bool]], None],
    say: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """With the API down, ten signups before and ten after: all twenty are delivered, once."""
    sandbox.stop()
    site = open_site()
    visitor = visit(site, LANDING)
    slowest = max(visitor.sign_up(f"customer-{number}") for number in range(10))
    take(tmp_path / "instance" / "partnerstack.db")
    slowest = max(slowest, *(visitor.sign_up(f"customer-{n}") for n in range(10, 20)))
    sandbox.restart()
    eventually(lambda: ledger.counts()[Status.DELIVERED] == 20)
    site.stop()
    keys = Counter(received["body"]["customer_key"] for received in sandbox.received())
    assert keys == {f"customer-{number}": 1 for number in range(20)}
    assert "It is written back, whole" in capfd.readouterr().err
    say(f"ledger taken ({take.__name__}): 20 answered (slowest {1000 * slowest:.0f} ms), 20 once")
