"""The logs of the whole suite are read: whatever gives something away fails its test."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from flask_partnerstack import track_conversion
from tests.kit import XID
from tests.logwatch import ENGINE_OF_THE_LEDGER
from tests.logwatch import LogWatch
from tests.logwatch import reading_along
from tests.logwatch import secrets_in

ROOT = Path(__file__).resolve().parent.parent
#: A suite of its own, with the conftest of ours.
SUITE = """
import logging
import subprocess
import sys

import pytest

log = logging.getLogger("somebody")


def test_a_token():
    log.debug("sent with %s", "Bearer sandbox-token")


def test_an_address():
    log.debug("customer %s", "jo@acme.com")


def test_an_encoded_address():
    log.debug("GET /api/v2/customers/jo%40acme.com")


def test_a_pair():
    logging.getLogger("sqlalchemy.pool").debug("pk_Gh4Jk9Pz1Nv6")


def test_a_traceback():
    try:
        raise ValueError("jo@acme.com")
    except ValueError:
        log.debug("went wrong", exc_info=True)


@pytest.fixture
def late():
    yield
    log.debug("at the end of jo@acme.com")


def test_a_late_word(late):
    pass


def test_a_process():
    said = "import sys; sys.stderr.write('customer jo%40acme.com')"
    subprocess.run([sys.executable, "-c", said], check=True)


def test_a_process_at_debug():
    said = (
        "import logging; from tests.logwatch import watch_this_process; watch_this_process(); "
        "logging.getLogger('worker').debug('customer jo@acme.com')"
    )
    subprocess.run([sys.executable, "-c", said], check=True)


def test_nothing():
    log.debug("customer j***@acme.com")
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of that suite."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "test_it.py").write_text(SUITE)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--rootdir", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("a_token", "somebody: Bearer sandbox-token"),
        ("an_address", "somebody: jo@acme.com"),
        ("an_encoded_address", "somebody: jo@acme.com"),
        ("a_pair", "sqlalchemy.pool: pk_Gh4Jk9Pz1Nv6"),
        ("a_traceback", "somebody: jo@acme.com"),
        ("a_late_word", "somebody: jo@acme.com"),
        ("a_process", "Captured stderr call: jo@acme.com"),
        ("a_process_at_debug", "Captured stderr call: jo@acme.com"),
    ],
)
def test_the_watch_fails_a_test_that_gives_something_away(told: str, test: str, found: str) -> None:
    """At its end, with the logger's name and what it said, at DEBUG and percent-encoded."""
    assert f"ERROR test_it.py::test_{test} " in told, told
    of_the_test = told.partition(f"ERROR at teardown of test_{test} _")[2]
    assert found in of_the_test.partition("_____ ERROR at")[0], told


def test_the_watch_leaves_other_tests_alone(told: str) -> None:
    """Who gives nothing away passes, before and after those who do."""
    assert "PASSED test_it.py::test_nothing\n" in told
    assert "9 passed, 8 errors" in told


@pytest.mark.parametrize(
    "line",
    [
        "customer jo@acme.com",
        "GET /api/v2/customers/jo%40acme.com",
        "pk_Gh4Jk9Pz1Nv6",
        "Authorization: Bearer Zt8Yq2Lm5Xw0Rb7K",
        "the token is sandbox-token",
        "Basic cGtfYTpza19i",
    ],
)
def test_the_watch_sees(line: str) -> None:
    """What the suite's logs are read for is found, percent-encoded as well."""
    watch = LogWatch()
    watch.emit(logging.LogRecord("here", logging.DEBUG, "", 0, "%s", (line,), None))
    assert len(watch.taken()) >= 1
    assert watch.taken() == []


@pytest.mark.parametrize(
    "line", ["customer j***@acme.com", "pk_… and sk_…", "the pk_/sk_ pair", "@app.route", "a@b"]
)
def test_the_watch_knows_what_is_allowed(line: str) -> None:
    """Masked addresses, and the names of kinds of keys."""
    assert secrets_in(line) == []


def test_the_watch_reads_at_debug(log_watch: LogWatch) -> None:
    """Nothing is too unimportant to be read."""
    logging.getLogger("flask_partnerstack").debug("a word of jo@acme.com")
    (found,) = log_watch.taken()  # what a thread of another test says gives nothing away
    assert found.endswith("jo@acme.com")


def test_the_ledger_logs_no_row(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """SQLAlchemy says at DEBUG what it fetched, and the package lets none of that through."""
    with caplog.at_level(logging.DEBUG, logger=ENGINE_OF_THE_LEDGER), app.app_context():
        track_conversion("42", xid=XID, email="jo@acme.com")
        track_conversion("42", xid=XID)
    said = [record.levelno for record in caplog.records if record.name == ENGINE_OF_THE_LEDGER]
    assert set(said) == {logging.INFO}


def test_the_watch_would_read_a_row(log_watch: LogWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's engine is spared only what the package drops; else it is read like any other."""
    logger = logging.getLogger(ENGINE_OF_THE_LEDGER)
    assert not logger.isEnabledFor(logging.DEBUG)
    monkeypatch.setattr(logger, "filters", [])
    with reading_along(LogWatch()):
        logger.debug("Row %r", ("jo@acme.com",))
    assert log_watch.taken() == [f"{ENGINE_OF_THE_LEDGER}: jo@acme.com"]


def test_tests_see_what_they_would_see(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody but the watch is told more because it reads along."""
    log, sql = logging.getLogger("somebody"), logging.getLogger("sqlalchemy.engine.Engine")
    for logger in (log, sql):
        logger.info("a word")
        logger.warning("a warning")
    assert caplog.messages == ["a warning", "a warning"]
    with caplog.at_level(logging.DEBUG, logger="somebody"):
        log.debug("asked for")
        sql.info("not asked for")
    assert caplog.messages[2:] == ["asked for"]
