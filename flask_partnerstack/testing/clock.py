"""``FrozenClock``: a time of day that moves when it is told to."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import timezone


class FrozenClock:
    """A time of day that moves when it is told to.

    :param now: where it stands, aware; default: this very second.
    :raises ValueError: for a moment without a time zone, which nobody can compare with others.
    """

    def __init__(self, now: datetime | None = None) -> None:
        at: object = now or datetime.now(timezone.utc).replace(microsecond=0)
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise ValueError("now: expected an aware moment, like datetime(…, tzinfo=timezone.utc)")
        self.now: datetime = at

    def __call__(self) -> datetime:
        """Return where it stands."""
        return self.now

    def __repr__(self) -> str:
        return f"<FrozenClock at {self.now.isoformat()}>"

    def tick(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move it; a negative time moves it back, as an operator does who corrects it."""
        self.now += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
