"""A circuit breaker: after failures in a row, a server is left alone for a while instead of being waited for each time.

It knows times and counts; it is used from one event loop, so it needs no lock.
"""

import time
from collections.abc import Callable

FAILURES_MAX = 24  # tries in a row without an answer: more than the calls of one moment, which fail together
OPEN_S = 5.0


class Breaker:
    """Closed at first; open after `failures_max` failures in a row; after `open_s` one try decides."""

    def __init__(
        self,
        *,
        failures_max: int = FAILURES_MAX,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_max = failures_max
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def blocked_s(self) -> float:
        """Seconds for which nothing is to be sent; 0 when something may be, and then the next one is on trial."""
        if self._failures < self._failures_max:
            return 0.0
        remaining = self._until - self._clock()
        if remaining > 0:
            return remaining
        self._until = self._clock() + self._open_s  # one goes through; the others wait for what becomes of it
        return 0.0

    def succeeded(self) -> None:
        """The server answered: whatever it said, it is there."""
        self._failures = 0

    def failed(self) -> None:
        """The server did not answer, or only that it cannot."""
        self._failures += 1
        if self._failures >= self._failures_max:
            self._until = self._clock() + self._open_s
