"""When to try again, and how long to wait before: what the server asks for, else growing waits with jitter. Pure.

It knows statuses and headers; it neither sends nor sleeps.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RETRIED = frozenset({429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})  # the last ones are of gateways
EPOCH = 1e9  # seconds: a larger number is a point in time, not a wait
EPOCH_MS = 1e12


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how patiently.

    Attributes:
        retries: tries after the first.
        first_s: the longest wait before the first of them; each next one may take twice as long.
        longest_s: no wait of our own is longer.
        asked_max_s: a server that asks for more is not waited for.
    """

    retries: int = 2
    first_s: float = 0.5
    longest_s: float = 8.0
    asked_max_s: float = 60.0

    def wait_s(self, tried: int, asked_s: float | None, jitter: Callable[[], float] = random.random) -> float | None:
        """Seconds to wait after try number `tried` (1 is the first); None to give up."""
        if tried > self.retries:
            return None
        if asked_s is not None:
            # A little later than asked: those who were refused together shall not come back together.
            return asked_s * (1 + 0.1 * jitter()) if asked_s <= self.asked_max_s else None
        return float(min(self.longest_s, self.first_s * 2 ** (tried - 1)) * (0.5 + 0.5 * jitter()))


def asked_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks to wait, from whichever header says so; `now` is the time since the epoch."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return max(0.0, milliseconds / 1000)
    after = headers.get("retry-after")
    if (seconds := _number(after)) is not None:
        return max(0.0, seconds)
    if after is not None:
        try:
            return max(0.0, parsedate_to_datetime(after).timestamp() - now)
        except (ValueError, OverflowError, OSError):
            pass  # neither a number nor a date: the next header may say it
    if (reset := _number(headers.get("x-ratelimit-reset"))) is not None:
        if reset >= EPOCH_MS:
            reset /= 1000
        return max(0.0, reset - now if reset >= EPOCH else reset)
    return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
