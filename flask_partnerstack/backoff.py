"""How long to wait before the next attempt. No clock, no sleep: numbers in, a delay out."""

from __future__ import annotations

import random
from datetime import timedelta

#: The ceiling of the first delay; each further one doubles.
FIRST = timedelta(seconds=2)
#: No delay of ours is longer than this.
CEILING = timedelta(hours=1)
#: The longest ``Retry-After`` that is obeyed to the letter.
LONGEST_WISH = timedelta(days=1)
#: The wait after an unclear answer: twice the 15 minutes in which a customer becomes visible.
UNCLEAR_FIRST = timedelta(minutes=30)
#: The longest wait after an unclear answer.
UNCLEAR_CEILING = timedelta(days=1)


def retry_delay(attempt: int, wish: timedelta | None = None) -> timedelta:
    """Return the wait after the ``attempt``-th refusal, the first being 1.

    Full jitter: anything between nothing and the ceiling of that attempt, so that a thousand
    clients that were refused together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    :param wish: what ``Retry-After`` asked for: never come back earlier than that, a day at most.
        A short one shortens nothing: a service that says 0 each time would be asked without end.
    """
    ceiling = _doubled(FIRST, attempt, CEILING)
    delay = ceiling * random.random()  # noqa: S311 - spreads load, guards nothing
    return delay if wish is None else max(min(wish, LONGEST_WISH) + min(delay, FIRST), delay)


def unclear_delay(count: int) -> timedelta:
    """Return the wait after the ``count``-th unclear answer: half an hour, doubling to a day."""
    return _doubled(UNCLEAR_FIRST, count, UNCLEAR_CEILING)


def _doubled(first: timedelta, count: int, ceiling: timedelta) -> timedelta:
    # The exponent is bounded before the power is taken: 2 ** 10_000 seconds is no timedelta.
    return min(first * (1 << min(max(count, 1) - 1, 20)), ceiling)
