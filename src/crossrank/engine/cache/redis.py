"""The score cache in Redis, which many machines share.

It knows one Redis server; not models or texts. How much is kept, and what goes first, is that server's business
(`maxmemory`, `maxmemory-policy`), and the time to live that is given here.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossrank.engine.cache.contract import Found
from crossrank.engine.cache.record import VERSION, pack, unpack
from crossrank.engine.pair import Scored
from crossrank.errors import MissingExtra, UsageError
from crossrank.forks import in_children

if TYPE_CHECKING:
    from redis import Redis

TIMEOUT_S = 0.25  # to connect, and for an answer; with one more try at most a second in all
KEYS_AT_ONCE = 1_000  # so that no command keeps the server from others for long
PREFIX = b"crossrank:%d:" % VERSION


class RedisCache:
    """Scores in a Redis server. Safe in threads, processes and forked children; connects at the first use.

    Args:
        url: redis://[[user]:password@]host[:port][/database], or rediss:// for TLS.
        ttl_s: seconds that a score is kept; None for as long as the server likes.
        timeout_s: the longest wait to connect, and for an answer.

    Raises:
        MissingExtra: redis-py is not installed.
        UsageError: the URL cannot be read.
    """

    tier = "redis"

    def __init__(self, url: str, *, ttl_s: int | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._ttl_s, self._timeout_s = url, ttl_s, timeout_s
        self._client = _client(url, timeout_s)
        in_children(self, RedisCache._forked)

    def get_many(self, keys: Sequence[bytes]) -> Found:
        """What is known of these keys.

        Raises:
            redis.RedisError: the server cannot be reached, or does not answer in time.
        """
        found, oldest = Found(), float("inf")
        for start in range(0, len(keys), KEYS_AT_ONCE):
            asked = keys[start : start + KEYS_AT_ONCE]
            records: Any = self._client.mget([PREFIX + key for key in asked])
            for key, record in zip(asked, records, strict=True):
                if sound := unpack(key, record):
                    found[key], stored = sound
                    oldest = min(oldest, stored)
        found.age_s = max(0.0, time.time() - oldest) if found else None
        return found

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these.

        Raises:
            redis.RedisError: the server cannot be reached, does not answer in time, or has no room.
        """
        now = time.time()
        items = list(scored.items())
        for start in range(0, len(items), KEYS_AT_ONCE):
            with self._client.pipeline(transaction=False) as pipeline:
                for key, value in items[start : start + KEYS_AT_ONCE]:
                    pipeline.set(PREFIX + key, pack(key, value, now), ex=self._ttl_s)
                pipeline.execute()

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        self._client.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its URL and options: the copy connects anew."""
        return (_reopened, (self._url, self._ttl_s, self._timeout_s))

    def __repr__(self) -> str:
        """The server; never the password."""
        scheme, _, rest = self._url.partition("?")[0].partition("://")
        return f"RedisCache({scheme}://{rest.rpartition('@')[2]})"

    def _forked(self) -> None:
        """Start a child with a client of its own: another thread of the parent may have held a lock of that one's."""
        self._client = _client(self._url, self._timeout_s)


def _client(url: str, timeout_s: float) -> "Redis":
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as exc:
        raise MissingExtra("redis-py is not installed. Run: pip install 'crossrank[redis]'") from exc
    retry = Retry(NoBackoff(), 1)  # once: a connection that the server has closed since is found out by using it
    try:
        client: Redis = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry, protocol=2
        )
    except ValueError:  # whose message can hold a part of the password
        raise UsageError(
            "cache: not the URL of a Redis server; it is redis://[[user]:password@]host[:port][/database], where a "
            "password's / : @ # ? % are written as %2F %3A %40 %23 %3F %25"
        ) from None
    return client


def _reopened(url: str, ttl_s: int | None, timeout_s: float) -> RedisCache:
    return RedisCache(url, ttl_s=ttl_s, timeout_s=timeout_s)
