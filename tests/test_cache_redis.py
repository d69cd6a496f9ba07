"""The score cache in Redis, against a real server: that is down, goes down, freezes, is full, holds something else."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from crossrank import Reranker
from crossrank.engine.cache import Guarded, cache_key
from crossrank.engine.cache.guard import RETRY_AFTER_S
from crossrank.engine.cache.redis import PREFIX, TIMEOUT_S, RedisCache
from crossrank.engine.pair import Pair, Scored
from forked import holds_in_a_child
from redis_server import RedisServer

QUERY, DOCUMENTS = "quick fox", ["The quick brown fox.", "Zebras jump.", "The lazy dog.", "Monty Python."]
PATIENT_S = 60
PATIENT = f"?timeout_s={PATIENT_S}"


def scored(number: int) -> Scored:
    return Scored(number / 7, number, truncated=False, passage=(number, number + 9), cost=12)


def key(number: int) -> bytes:
    return cache_key(b"model", Pair("query", str(number)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Not started yet."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def expected(checkpoint: Callable[..., Path]) -> list[float | None]:
    with Reranker(str(checkpoint("bert")), cache=None) as plain:
        return plain.rank(QUERY, DOCUMENTS).scores


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "the score cache" in record.getMessage()]


def test_a_server_that_is_down_at_the_start(
    server: RedisServer, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture, expected: list[float]
) -> None:
    """No cache, and one warning, which shows no password; only the first call waits."""
    url = server.url.replace("//", "//me:secret@")
    with caplog.at_level(logging.WARNING), Reranker(str(checkpoint("bert")), cache=url) as reranker:
        assert [reranker.rank(QUERY, DOCUMENTS).scores for _ in range(3)] == [expected] * 3
    (warning,) = warnings(caplog)
    assert f"RedisCache(redis://127.0.0.1:{server.port}/0)" in warning
    assert "refused" in warning
    assert "secret" not in warning


def test_a_server_that_goes_down(
    server: RedisServer, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture, expected: list[float]
) -> None:
    """Between two calls: no score is lost, and there is one warning."""
    server.start()
    with caplog.at_level(logging.WARNING), Reranker(str(checkpoint("bert")), cache=server.url + PATIENT) as reranker:
        assert reranker.rank(QUERY, DOCUMENTS).usage["cached"] == 0
        assert reranker.rank(QUERY, DOCUMENTS).usage["cached"] == 4
        assert warnings(caplog) == []
        server.stop()
        again = [reranker.rank(QUERY, DOCUMENTS) for _ in range(3)]
    assert [ranking.scores for ranking in again] == [expected] * 3
    assert [ranking.usage["cached"] for ranking in again] == [0, 0, 0]
    assert len(warnings(caplog)) == 1


def test_a_server_that_comes_back(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Is used again once half a minute has passed."""
    now = [0.0]
    cache = RedisCache(server.url, timeout_s=PATIENT_S)
    guarded = Guarded(cache, clock=lambda: now[0])
    assert guarded.get_many([key(1)]) == {}
    server.start()
    guarded.put_many({key(1): scored(1)})
    assert cache.get_many([key(1)]) == {}, "it was not tried yet"
    now[0] = RETRY_AFTER_S
    guarded.put_many({key(1): scored(1)})
    assert guarded.get_many([key(1)]) == {key(1): scored(1)}
    assert len(warnings(caplog)) == 1
    cache.close()


def test_a_server_that_was_restarted(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """The connection that it closed is opened again, without a warning."""
    server.start()
    cache = RedisCache(server.url, timeout_s=PATIENT_S)
    guarded = Guarded(cache)
    guarded.put_many({key(1): scored(1)})
    server.stop()
    server.start()
    assert guarded.get_many([key(1)]) == {}
    guarded.put_many({key(1): scored(1)})
    assert guarded.get_many([key(1)]) == {key(1): scored(1)}
    assert warnings(caplog) == []
    cache.close()


def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What caches in Redis are asked, as it comes."""
    asked: list[str] = []

    def count(name: str, plain: Callable[..., Any]) -> None:
        def counted(self: RedisCache, given: Any) -> Any:
            asked.append(name)
            return plain(self, given)

        monkeypatch.setattr(RedisCache, name, counted)

    count("get_many", RedisCache.get_many)
    count("put_many", RedisCache.put_many)
    return asked


def test_a_server_that_freezes(
    server: RedisServer,
    checkpoint: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    expected: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Is waited for a second at most, once."""
    server.start()
    with caplog.at_level(logging.WARNING), Reranker(str(checkpoint("bert")), cache=server.url) as reranker:
        server.freeze()
        asked = questions(monkeypatch)
        started = time.monotonic()
        assert [reranker.rank(QUERY, DOCUMENTS).scores for _ in range(3)] == [expected] * 3
        assert time.monotonic() - started >= TIMEOUT_S
    (warning,) = warnings(caplog)
    assert "Timeout" in warning
    assert asked == ["get_many"]


def test_a_server_that_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And forgets nothing by itself: what cannot be stored is scored again."""
    with RedisServer(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
        cache = RedisCache(server.url, timeout_s=PATIENT_S)
        guarded = Guarded(cache)
        guarded.put_many({key(1): scored(1)})
        assert "maxmemory" in warnings(caplog)[0]
        assert cache.get_many([key(1)]) == {}
        cache.close()


def test_a_server_with_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The right one opens it; a wrong one is no cache."""
    with RedisServer(tmp_path, "--requirepass", "secret") as server:
        for password, found in (("secret", {key(1): scored(1)}), ("wrong", {})):
            cache = RedisCache(server.url.replace("//", f"//:{password}@"), timeout_s=PATIENT_S)
            guarded = Guarded(cache)
            guarded.put_many({key(1): scored(1)})
            assert guarded.get_many([key(1)]) == found
            cache.close()
    assert len(warnings(caplog)) == 1
    assert "secret" not in caplog.text
    assert "wrong" not in repr(cache)


def test_records_of_others_are_not_believed(server: RedisServer) -> None:
    """Other bytes, other types, another key's record; the good ones beside them are. Keys have our prefix."""
    server.start()
    cache = RedisCache(server.url, timeout_s=PATIENT_S)
    cache.put_many({key(i): scored(i) for i in range(5)})
    with Redis(port=server.port) as client:
        assert sorted(client.keys("*")) == sorted(PREFIX + key(i) for i in range(5))
        assert PREFIX == b"crossrank:1:"
        client.set(PREFIX + key(0), b"something else")
        client.delete(PREFIX + key(1))
        client.rpush(PREFIX + key(1), b"a list")
        client.set(PREFIX + key(2), client.get(PREFIX + key(3)))
    assert cache.get_many([key(i) for i in range(5)]) == {key(3): scored(3), key(4): scored(4)}
    cache.close()


def test_time_to_live(server: RedisServer) -> None:
    """Given, it is the server's to keep; not given, scores stay."""
    server.start()
    with Redis(port=server.port) as client:
        for ttl_s, least, most in ((3_600, 3_000, 3_600), (None, -1, -1)):
            cache = RedisCache(server.url, ttl_s=ttl_s, timeout_s=PATIENT_S)
            cache.put_many({key(1): scored(1)})
            assert least <= client.ttl(PREFIX + key(1)) <= most
            cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_is_not_kept_by_locks_of_its_parent(server: RedisServer) -> None:
    """Another thread may be in the middle of giving a connection back when its process is forked."""
    server.start()
    cache = RedisCache(server.url, timeout_s=PATIENT_S)
    cache.put_many({key(1): scored(1)})
    pool = cache._client.connection_pool
    parts = (cache._client, pool, getattr(pool, "_event_dispatcher", pool))
    named = {id(lock): lock for part in parts for name, lock in vars(part).items() if name != "_fork_lock"}
    locks = [lock for lock in named.values() if isinstance(lock, type(threading.RLock()))]
    assert locks
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            held.set()
            assert forked.wait(2 * PATIENT_S)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        try:
            assert held.wait(PATIENT_S)
            assert holds_in_a_child(lambda: cache.get_many([key(1)]) == {key(1): scored(1)})
        finally:
            forked.set()
        holding.result()
    assert cache.get_many([key(1)]) == {key(1): scored(1)}
    cache.close()


def test_without_redis_py() -> None:
    """The error names the command that installs it; nothing else needs it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from crossrank import Reranker, MissingExtra\n"
        "Reranker(cache='memory')\n"
        "try: Reranker(cache='redis://127.0.0.1')\n"
        "except MissingExtra as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout == "redis-py is not installed. Run: pip install 'crossrank[redis]'\n"
