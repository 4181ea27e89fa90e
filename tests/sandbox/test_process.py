from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from flask_partnerstack.sandbox import SandboxError
from flask_partnerstack.sandbox import SandboxProcess
from flask_partnerstack.sandbox import SandboxSettings
from flask_partnerstack.sandbox import process
from flask_partnerstack.sandbox.__main__ import main

BEARER = {"Authorization": "Bearer sandbox-token"}


def send(sandbox: SandboxProcess, customer_key: str = "42", xid: str = "abcd") -> requests.Response:
    """Post a conversion as the real service is posted to."""
    conversion = {"xid": xid, "customer_key": customer_key}
    return requests.post(sandbox.conversion_url, json=conversion, headers=BEARER, timeout=10)


def test_from_link_to_customer(sandbox: SandboxProcess) -> None:
    """A click, its conversion and the customer's look-up meet in one running sandbox."""
    link = sandbox.link("a/nn", landing="https://acme.test/?a=b", sid="c")
    landed = requests.get(link, allow_redirects=False, timeout=10).headers["Location"]
    (click,) = sandbox.clicks()
    send(sandbox, "a/b %", click["xid"])
    url = f"{sandbox.api_url}/api/v2/customers/{quote('a/b %', safe='')}"
    found = requests.get(url, auth=("pk_sandbox", "sk_sandbox"), timeout=10).json()["data"]

    assert landed.startswith("https://acme.test/?a=b&")
    assert "sid=c" in landed
    assert click["partner_key"] == "a/nn"
    assert [found] == sandbox.customers()
    assert [one["customer_key"] for one in sandbox.lookups()] == ["a/b %"]


def test_fault_and_mending(sandbox: SandboxProcess) -> None:
    """One call breaks the service, one mends it."""
    sandbox.fault(status=503, headers={"Retry-After": "1"})
    assert send(sandbox).headers["Retry-After"] == "1"
    assert sandbox.faults()["conversion"] == [{"status": 503, "headers": {"Retry-After": "1"}}]

    sandbox.clear_faults()
    assert send(sandbox).status_code == 200


def test_script(sandbox: SandboxProcess) -> None:
    """Faults in a row strike in a row, and then all is well."""
    sandbox.script({"status": 503, "times": 1}, {"drop": "after", "times": 1})

    assert send(sandbox).status_code == 503
    with pytest.raises(requests.ConnectionError):
        send(sandbox)
    assert send(sandbox).status_code == 200
    assert [one["duplicate"] for one in sandbox.received()] == [False, False, True]


def test_bad_fault_is_the_callers_error(sandbox: SandboxProcess) -> None:
    """A fault that makes no sense raises, with the field's name."""
    with pytest.raises(ValueError, match=r"^api: status: expected an HTTP status"):
        sandbox.fault(on="api", status=1)


def test_settings_reach_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    """Every setting is the process's own, spaces and dashes in it included."""
    settings = SandboxSettings(token="- x", test=True, strict_clicks=True, lag=3600)
    with SandboxProcess(settings, verbose=True) as sandbox:
        answer = requests.post(
            sandbox.conversion_url,
            json={"xid": "never", "customer_key": "42"},
            headers={"Authorization": "Bearer - x"},
            timeout=10,
        )

    assert answer.status_code == 404
    assert "POST /conversion/xid HTTP/1.1" in capfd.readouterr().err


@pytest.mark.parametrize("end", [SandboxProcess.stop, SandboxProcess.kill])
def test_restart_with_records(tmp_path: Path, end: Callable[[SandboxProcess], None]) -> None:
    """On the same port, after a stop or a kill, the sandbox knows what it answered."""
    with SandboxProcess(SandboxSettings(records=tmp_path / "records.jsonl")) as sandbox:
        url = sandbox.url
        send(sandbox)
        end(sandbox)
        assert not sandbox.running
        with pytest.raises(requests.ConnectionError):
            send(sandbox)
        sandbox.restart()
        assert sandbox.url == url
        send(sandbox)
        assert [one["duplicate"] for one in sandbox.received()] == [False, True]


def test_restart_without_records() -> None:
    """Without a records file a restarted sandbox remembers nothing."""
    with SandboxProcess() as sandbox:
        send(sandbox)
        sandbox.restart()
        assert sandbox.received() == []


def test_stop_is_quick_and_final(sandbox: SandboxProcess) -> None:
    """Starting a running one does nothing, stopping twice does nothing, hanging delays nothing."""
    sandbox.start()
    with SandboxProcess() as other:
        other.fault(hang=True)
        with pytest.raises(requests.ReadTimeout):
            requests.post(other.conversion_url, timeout=(10, 0.2))
        started = time.monotonic()
        other.stop()
        assert time.monotonic() - started < 2
        other.kill()
    with pytest.raises(SandboxError, match="does not answer"):
        other.clicks()


def test_a_link_of_a_sandbox_that_is_stopped_leads_nowhere() -> None:
    """Whatever it is asked then, its own error says so, and no socket's."""
    with SandboxProcess() as sandbox:
        link = sandbox.link("ann")
    with pytest.raises(SandboxError, match="does not answer"):
        sandbox.follow(link)


def test_stubborn_process_is_killed() -> None:
    """A process that ignores SIGTERM, here because it is stopped, is killed."""
    sandbox = SandboxProcess()
    assert sandbox._process
    os.kill(sandbox._process.pid, signal.SIGSTOP)
    sandbox._timeout = 0.1
    sandbox.stop()

    assert not sandbox.running


def test_start_that_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A sandbox that cannot start raises, and its own words are on standard error."""
    with pytest.raises(SandboxError, match=r"did not start .* \(exit code 2\)"):
        SandboxProcess(SandboxSettings(records=tmp_path))
    assert "Is a directory" in capfd.readouterr().err


def test_start_that_takes_too_long() -> None:
    """A sandbox that does not get ready within its seconds is killed."""
    with pytest.raises(SandboxError, match=r"did not start within 0\.0 s"):
        SandboxProcess(timeout=0.0)


def test_taken_port(capfd: pytest.CaptureFixture[str]) -> None:
    """A port that somebody has is an error that says so, and by which option to take another."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SandboxError):
        SandboxProcess(port=taken.getsockname()[1])
    said = capfd.readouterr().err
    assert "in use" in said
    assert "--port" in said


def test_other_hosts_are_refused() -> None:
    """The process is not even started for a host that is not loopback."""
    with pytest.raises(ValueError, match=r"^host: expected a loopback address"):
        SandboxProcess(host="0.0.0.0")


def test_process_ends_with_its_parent(eventually: Callable[[Callable[[], object]], None]) -> None:
    """A test-suite that is killed leaves no sandbox behind."""
    code = (
        "import os; from flask_partnerstack.sandbox import SandboxProcess;"
        "print(SandboxProcess().url, flush=True); os.kill(os.getpid(), 9)"
    )
    root = str(process._IMPORT_ROOT)
    parent = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    eventually(lambda: not listens(parent.stdout.strip()))


def listens(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        return requests.get(url, timeout=1).ok
    except requests.ConnectionError:
        return False


def test_command_line_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """A bad option is said in the command's own way."""
    with pytest.raises(SystemExit):
        main(["--host", "0.0.0.0"])
    assert "host: expected a loopback address" in capsys.readouterr().err


def test_command_line_serves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says where it listens, and ends when its input does."""
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        main(["--port", "0", "--until-eof"])
    assert capsys.readouterr().out.startswith("Sandbox listening on http://127.0.0.1:")
