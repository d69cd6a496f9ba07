"""Scores that are known already, in memory, in a SQLite file or in Redis; and what else is remembered for a while.

It knows keys and values; not how a score comes about, nor what becomes of a cache that is slow or broken elsewhere.
"""

from crossrank.engine.cache.contract import Found, ScoreCache, cache_key, cache_keys
from crossrank.engine.cache.guard import Guarded, report
from crossrank.engine.cache.memory import MemoryCache
from crossrank.engine.cache.recent import Recent
from crossrank.engine.cache.spec import open_cache

__all__ = [
    "Found",
    "Guarded",
    "MemoryCache",
    "Recent",
    "ScoreCache",
    "cache_key",
    "cache_keys",
    "open_cache",
    "report",
]
