"""What `cache=` takes, and what stands before every cache: whatever it does, no answer is lost or wrong."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossrank import Reranker
from crossrank.engine.cache import Guarded, MemoryCache, cache_key, open_cache
from crossrank.engine.cache.guard import RETRY_AFTER_S
from crossrank.engine.cache.sqlite import SqliteCache
from crossrank.engine.pair import Pair, Scored
from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.observe import CacheAsked, subscribe

QUERY, DOCUMENTS = "quick fox", ["The quick brown fox.", "Zebras jump.", "The lazy dog.", "Monty Python."]


def scored(logit: float) -> Scored:
    return Scored(logit, 7, truncated=False, passage=(2, 9), cost=12)


def key(number: int) -> bytes:
    return cache_key(b"model", Pair("query", str(number)))


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Broken:
    """A caller's own cache, in which something is always wrong."""

    def __init__(self, failure: Exception | None = None, answer: Any = None) -> None:
        self.failure, self.answer = failure, answer
        self.asked = 0

    def get_many(self, keys: Any) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.answer(keys)

    def put_many(self, scored: Any) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize(
    ("broken", "warnings"),
    [
        (Broken(OSError("gone")), 1),
        (Broken(RuntimeError("own mistake")), 1),
        (Broken(MemoryError()), 1),
        (Broken(answer=lambda keys: None), 1),
        (Broken(answer=lambda keys: [1, 2]), 0),
        (Broken(answer=lambda keys: dict.fromkeys(keys, 0.5)), 0),
        (Broken(answer=lambda keys: dict.fromkeys(keys, scored(math.nan))), 0),
        (Broken(answer=lambda keys: {b"another": scored(1.0)}), 0),
        (Broken(answer=lambda keys: {key: Scored("1.0", 1, False, (0, 1), 1) for key in keys}), 1),
    ],
)
def test_a_broken_cache_costs_no_answer(
    broken: Broken, warnings: int, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises or answers: the scores are those of no cache. A failure is warned of, once."""
    with Reranker(str(checkpoint("bert")), cache=None) as plain:
        expected = plain.rank(QUERY, DOCUMENTS).scores
    with caplog.at_level(logging.WARNING), Reranker(str(checkpoint("bert")), cache=broken) as reranker:
        for _ in range(3):
            ranking = reranker.rank(QUERY, DOCUMENTS)
            assert ranking.scores == expected
            assert ranking.usage["cached"] == 0
    assert len([record for record in caplog.records if "the score cache" in record.message]) == warnings


def test_a_cache_that_failed_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Not at every call, and without another warning; then it is used as before."""
    clock, broken = Clock(), Broken(OSError("gone"), lambda keys: {key: scored(2.0) for key in keys})
    guarded = Guarded(broken, clock=clock)
    with caplog.at_level(logging.DEBUG, "crossrank"):
        assert [guarded.get_many([key(1)]) for _ in range(3)] == [{}, {}, {}]
        assert broken.asked == 1
        clock.now = RETRY_AFTER_S
        assert guarded.get_many([key(1)]) == {}
        guarded.put_many({key(1): scored(1.0)})
        assert broken.asked == 2
        clock.now = 2 * RETRY_AFTER_S
        broken.failure = None
        assert guarded.get_many([key(1)]) == {key(1): scored(2.0)}
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "OSError: gone" in warned[0]
    assert "tried again every 30 s" in warned[0]


def test_what_was_asked_is_an_event(tmp_path: Path) -> None:
    """The tier, hits, misses, and the age of the oldest hit where the tier knows; a failure is a miss."""
    events: list[Any] = []
    unsubscribe = subscribe(events.append)
    cache = SqliteCache(tmp_path / "scores.db")
    guarded = Guarded(cache)
    guarded.put_many({key(1): scored(1.0)})
    guarded.get_many([key(1), key(2)])
    guarded.get_many([key(2)])
    Guarded(Broken(OSError())).get_many([key(1)])
    unsubscribe()
    cache.close()
    seen = [(event.tier, event.hits, event.misses, event.age_s is None) for event in events]
    assert seen == [("sqlite", 1, 1, False), ("sqlite", 0, 1, True), ("Broken", 0, 1, True)]
    assert 0 <= events[0].age_s < 300
    assert all(isinstance(event, CacheAsked) and 0 <= event.seconds < 60 for event in events)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("disk", "cache='disk' is not known; allowed: 'memory', 'sqlite:///file'"),
        ("", "cache='' is not known"),
        ("Memory", "is not known"),
        ("sqlite://scores.db", "three slashes"),
        ("sqlite:scores.db", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "cache='memory'"),
        ("sqlite:////no/such/folder/scores.db", "there is no folder '/no/such/folder'; make it"),
        ("sqlite:////proc", "'/proc' is a folder"),
        ("sqlite:///x.db?size=1", "'size' is no option of sqlite; allowed: bytes_max"),
        ("sqlite:///x.db?bytes_max=1GB", "bytes_max must be a whole number of at least 1, not '1GB'"),
        ("sqlite:///x.db?bytes_max=0", "bytes_max must be"),
        ("redis://h?ttl=", "ttl must be a whole number"),
        ("redis://h?ttl=-1", "ttl must be"),
        ("redis://h?timeout_s=0", "timeout_s must be a number of seconds above 0"),
        ("redis://h?socket_timeout=9", "no option of redis; allowed: ttl, timeout_s"),
        ("redis://h:port", "not the URL of a Redis server"),
        ("redis://[::1", "is no URL"),
        ("postgres://me:secret@h/db", r"cache='postgres://\*\*\*@h/db' is not known"),
    ],
)
def test_a_name_that_means_no_cache_is_an_error(given: str, words: str) -> None:
    """Before the model is opened; it says what is allowed, and shows no password."""
    with pytest.raises(UsageError, match=words) as caught:
        Reranker("./no/such/model", cache=given)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", [5, object(), MemoryCache, b"memory", ["memory"]])
def test_an_object_that_is_no_cache_is_an_error(given: object) -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"cache must be 'memory', .*\(a ScoreCache\), or None for no cache; not "
    ):
        Reranker("./no/such/model", cache=given)


def test_names_of_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each opens what it says; a path is seen from the current folder, of a user's home with ~."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_cache(None) is None
    for spec, tier, waits in [
        ("memory", "memory", False),
        ("sqlite:///a.db", "sqlite", True),
        ("sqlite:///~/b%20c.db?bytes_max=1000000", "sqlite", True),
        (f"sqlite:///{tmp_path}/d.db", "sqlite", True),
        ("redis://127.0.0.1:1/0?ttl=60", "redis", True),
        ("rediss://user:secret@127.0.0.1:1", "redis", True),
    ]:
        opened = open_cache(spec)
        assert opened is not None
        assert (opened.tier, opened.waits) == (tier, waits)
        assert "secret" not in repr(opened._cache)
    assert {file.name for file in tmp_path.glob("*.db")} == {"a.db", "b c.db", "d.db"}
    assert open_cache(Broken()).tier == "Broken"  # type: ignore[union-attr]


def test_a_cache_of_ones_own_may_be_shared(checkpoint: Callable[..., Path]) -> None:
    """By models too: their keys differ."""
    cache = MemoryCache()
    for seed in (0, 5):
        with Reranker(str(checkpoint("bert", seed=seed)), cache=cache) as reranker:
            assert [reranker.rank(QUERY, DOCUMENTS).usage["cached"] for _ in range(2)] == [0, 4]
    assert len(cache) == 8
