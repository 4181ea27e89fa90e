"""How long to wait: bounded, jittered, and never earlier than asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_partnerstack.backoff import CEILING
from flask_partnerstack.backoff import FIRST
from flask_partnerstack.backoff import retry_delay
from flask_partnerstack.backoff import unclear_delay

NOTHING = timedelta(0)


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 2), (2, 4), (3, 8), (10, 1024), (11, 2048), (12, 3600), (99, 3600)]
)
def test_delays_double(attempt: int, ceiling: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest delay of an attempt doubles with each, up to an hour."""
    monkeypatch.setattr("random.random", lambda: 1.0)
    assert retry_delay(attempt) == timedelta(seconds=ceiling)


@given(st.integers(-5, 10**9))
def test_full_jitter(attempt: int) -> None:
    """Any delay is from nothing to the ceiling, whatever the number of the attempt."""
    assert NOTHING <= retry_delay(attempt) <= CEILING


def test_clients_come_back_apart() -> None:
    """A hundred clients that were refused together do not come back together."""
    assert len({retry_delay(8) for _ in range(100)}) > 90


@given(st.integers(1, 50), st.integers(0, 86_400))
def test_wish_is_obeyed(attempt: int, seconds: int) -> None:
    """Nobody comes back before the time that was asked for, nor 2 seconds after all that holds."""
    wish = timedelta(seconds=seconds)
    ceiling = min(FIRST * 2 ** min(attempt - 1, 20), CEILING)
    assert wish <= retry_delay(attempt, wish) <= max(wish + FIRST, ceiling)


@given(st.integers(1, 50), st.integers(0, 86_400), st.floats(0, 1))
def test_a_short_wish_shortens_no_delay(attempt: int, seconds: int, chance: float) -> None:
    """A wish is a floor: whoever is asked back at once waits as long as with no wish."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random.random", lambda: chance)
        plain, wish = retry_delay(attempt), timedelta(seconds=seconds)
        assert retry_delay(attempt, wish) == max(wish + min(plain, FIRST), plain)


def test_wish_is_bounded() -> None:
    """A day, and the jitter, is the longest wait, whatever was asked for."""
    assert retry_delay(1, timedelta.max) <= timedelta(days=1) + FIRST


@pytest.mark.parametrize(
    ("count", "minutes"), [(0, 30), (1, 30), (2, 60), (3, 120), (6, 960), (7, 1440), (999, 1440)]
)
def test_unclear_delays_double(count: int, minutes: int) -> None:
    """After unclear answers the wait doubles from half an hour to a day, without jitter."""
    assert unclear_delay(count) == timedelta(minutes=minutes)
