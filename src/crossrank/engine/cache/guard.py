"""What stands before every cache: a broken one costs a warning and some scoring, never an answer.

It knows that caches fail; not how they are made.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from crossrank.engine.cache.contract import Found, ScoreCache
from crossrank.engine.cache.memory import MemoryCache
from crossrank.engine.pair import Scored
from crossrank.forks import quiet_at_forks
from crossrank.observe import CacheAsked, emit, listening

log = logging.getLogger("crossrank")

RETRY_AFTER_S = 30.0  # a cache that failed is left alone for so long: not every call waits for it

T = TypeVar("T")


def report(tier: str, *, hits: int, misses: int, seconds: float, age_s: float | None = None) -> None:
    """A tier was asked for keys: how many it knew, how long it took, and the age of the oldest where it knows."""
    if listening():
        emit(CacheAsked(tier=tier, hits=hits, misses=misses, seconds=seconds, age_s=age_s))


class Guarded:
    """A score cache of ours or of the caller's, which never raises and only gives what can be a score.

    The first failure is warned about; from then on the cache is tried again now and then, and says nothing more.
    """

    def __init__(self, cache: ScoreCache, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.tier = str(getattr(cache, "tier", type(cache).__name__))
        self.waits = not isinstance(cache, MemoryCache)  # for a disk or a network
        self._cache = cache
        self._clock = clock
        self._idle_until = -math.inf
        self._warned = False
        quiet_at_forks(self)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Scored]:
        """What is known of these keys."""
        if not keys:
            return {}
        started = time.perf_counter()
        age_s: float | None = None

        def asked() -> dict[bytes, Scored]:
            nonlocal age_s
            found = self._cache.get_many(keys)
            age_s = found.age_s if isinstance(found, Found) else None
            return {key: found[key] for key in keys if key in found and _sound(found[key])}

        known = self._tried(asked) or {}
        seconds = time.perf_counter() - started
        report(self.tier, hits=len(known), misses=len(keys) - len(known), seconds=seconds, age_s=age_s)
        return known

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these, if that is possible."""
        if scored:
            self._tried(lambda: self._cache.put_many(scored))

    def before_fork(self) -> None:
        """Nothing: only the lock must be free."""

    def _tried(self, call: Callable[[], T]) -> T | None:
        """What the call gives, or None where the cache failed, now or a little earlier."""
        if self._clock() < self._idle_until:
            return None
        try:
            return call()
        except Exception as exc:  # noqa: BLE001 - whatever it is, a cache must not cost an answer
            with self.lock:
                self._idle_until = self._clock() + RETRY_AFTER_S
                first, self._warned = not self._warned, True
            log.log(
                logging.WARNING if first else logging.DEBUG,
                "the score cache %r fails (%s: %s): scoring goes on without it, and it is tried again every %.0f s. "
                "This is said once.",
                self._cache,
                type(exc).__name__,
                exc,
                RETRY_AFTER_S,
            )
            return None


def _sound(scored: object) -> bool:
    return isinstance(scored, Scored) and math.isfinite(scored.logit)
