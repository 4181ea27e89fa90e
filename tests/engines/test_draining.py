"""``drain``: several at once, until nothing is due or the time is up."""

from __future__ import annotations

import threading

import pytest

from flask_partnerstack.engines import drain
from tests.engines.work import Work

PATIENCE = 60.0


def test_all_that_is_due_is_dealt_with() -> None:
    """However many more there are than may be dealt with at once."""
    done: list[int] = []
    work = Work(*(lambda n=n: done.append(n) for n in range(10)))
    assert drain(work, concurrency=3, seconds=PATIENCE) is False
    assert sorted(done) == list(range(10))


def test_nothing_due_is_one_look() -> None:
    """A sweep that finds nothing asks once, and starts no thread."""
    work = Work()
    assert drain(work, concurrency=4, seconds=PATIENCE) is False
    assert work.asked == [4]


def test_so_many_are_dealt_with_at_once() -> None:
    """Three jobs that wait for each other are done when three may be done at once."""
    together = threading.Barrier(3)
    work = Work(*[lambda: together.wait(PATIENCE)] * 6)
    drain(work, concurrency=3, seconds=PATIENCE)
    assert work.jobs == []


def test_no_job_is_begun_when_the_time_is_up() -> None:
    """What is claimed is dealt with; the rest is left, and said to be."""
    work = Work(*[lambda: None] * 6)
    assert drain(work, concurrency=2, seconds=0.0) is True
    assert len(work.jobs) == 4


def test_a_job_goes_on_while_there_is_time() -> None:
    """It is told so; and when the time is up, that it is."""
    in_time, late = Work(lambda: None), Work(lambda: None)
    drain(in_time, concurrency=1, seconds=PATIENCE)
    drain(late, concurrency=1, seconds=0.0)
    assert (in_time.told, late.told) == ([True], [False])


def test_a_ledger_that_fails_is_told() -> None:
    """The task fails, where its queue shows it; the other jobs under way are done."""
    done: list[int] = []
    with pytest.raises(ZeroDivisionError):
        drain(Work(lambda: 1 / 0, lambda: done.append(1)), concurrency=2, seconds=PATIENCE)
    assert done == [1]
