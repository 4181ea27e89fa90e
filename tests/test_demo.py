"""The demo shows what it says, or says why it cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parent.parent / "examples/demo.py"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo, with a temporary folder of its own, and sees to it that it ends."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        demo = subprocess.Popen(
            [sys.executable, DEMO, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
        )
        started.append(demo)
        return demo

    yield run
    for demo in started:
        with demo:
            demo.terminate()


def test_demo_ends_well_and_shows_the_ledger(start: Start, tmp_path: Path) -> None:
    """The conversion arrives exactly once, the entry is shown with its trail, nothing stays."""
    demo = start("--once")
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    assert re.search(r"^ +status +delivered$", out, re.MULTILINE)
    assert re.search(r"refused +503.*\n.*accepted +200", out)
    assert list(tmp_path.iterdir()) == []


def test_demo_stays_until_it_is_told(start: Start, tmp_path: Path) -> None:
    """Without --once both servers stay up, and one signal ends them and removes what they kept."""
    demo = start()
    assert demo.stdout
    assert any("Ctrl-C ends both." in line for line in demo.stdout)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=20)
    assert (demo.returncode, err) == (0, "")
    assert "Both have ended." in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_demo_says_that_a_port_is_taken(start: Start, option: str) -> None:
    """A port that somebody else has is named, with the way out, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("--once", f"{option}={port}")
        _, err = demo.communicate(timeout=20)
    assert demo.returncode == 1
    assert f"Port {port} cannot be used" in err
    assert "Traceback" not in err


def test_demo_says_that_a_package_is_missing(tmp_path: Path) -> None:
    """On a Python without the examples' packages it says how to get them."""
    bare = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    demo = subprocess.run(
        [sys.executable, "-S", "-E", DEMO, "--once"],
        capture_output=True,
        text=True,
        env=bare,
        timeout=20,
        check=False,
    )
    assert demo.returncode == 1
    assert "It needs the package" in demo.stderr
    assert "pip install '.[examples]'" in demo.stderr
