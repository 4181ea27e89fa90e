"""Reads the logs of every test, of the package's and of the examples'."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Iterator

import pytest

from tests.logwatch import LogWatch
from tests.logwatch import let_tests_see_what_they_would
from tests.logwatch import reading_along


@pytest.fixture(scope="session", autouse=True)
def log_watch(request: pytest.FixtureRequest) -> Iterator[LogWatch]:
    """What reads every log record of this process, at DEBUG."""
    watch = LogWatch()
    let_tests_see_what_they_would(request.config)
    with reading_along(watch):
        yield watch
    assert watch.taken() == [], "given away after the last test"


@pytest.fixture(autouse=True)
def nothing_given_away(log_watch: LogWatch) -> Iterator[None]:
    """Fail each test in which a log line gave an address, a key or a token away.

    Set up before all others of its scope, so that what these say at their end is read as well.
    """
    yield
    assert log_watch.taken() == [], "given away in the logs"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Read what was written on stdout and stderr, also by processes that the test started."""
    report = yield
    if report.when == "teardown" and report.passed:
        watch = LogWatch()
        for name, text in report.sections:
            watch.look_through(name, text)
        if found := watch.taken():
            report.outcome, report.longrepr = "failed", f"given away: {found}"
    return report
