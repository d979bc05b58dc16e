"""How long a person worked on a case: only while something happens."""

from __future__ import annotations

import time
from collections.abc import Callable

IDLE = 120.0
"""Seconds after the last sign of work that still count."""


class WorkClock:
    """Counts the time between signs of work; of a longer silence only the first `IDLE` seconds.

    Parameters
    ----------
    clock
        A clock that never goes back, in seconds.
    idle
        See `IDLE`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, idle: float = IDLE) -> None:
        self._now, self._idle = clock, idle
        self._last: float | None = None
        self._seconds = 0.0

    def touch(self) -> None:
        """Something was done: a stroke, a key, another slice. The first one starts the clock."""
        seconds = self._now()
        if self._last is not None:
            self._seconds += min(max(seconds - self._last, 0.0), self._idle)
        self._last = seconds

    def take(self) -> float:
        """Stop, and give the seconds since the start or the last `take`; the next `touch` starts again."""
        if self._last is not None:
            self.touch()
        spent, self._seconds, self._last = self._seconds, 0.0, None
        return spent
