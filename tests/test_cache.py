"""Score caches: what every tier does, what a key and a record are, and how memory is bounded."""

import math
import os
import pickle
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busy import patiently
from crossrank import Reranker
from crossrank.engine.cache import MemoryCache, Recent, ScoreCache, cache_key, cache_keys
from crossrank.engine.cache.memory import ENTRY_BYTES
from crossrank.engine.cache.record import RECORD_BYTES, pack, unpack
from crossrank.engine.cache.redis import RedisCache
from crossrank.engine.cache.sqlite import SqliteCache
from crossrank.engine.pair import Pair, Scored
from forked import holds_in_a_child
from redis_server import RedisServer

TIERS = ("memory", "sqlite", "redis")
QUERY, DOCUMENTS = "quick fox", ["The quick brown fox.", "Zebras jump.", "The lazy dog.", "Monty Python."]

KEYS = st.binary(min_size=32, max_size=32)
COUNTS = st.integers(0, 2**40)
SCORES = st.builds(
    Scored,
    st.floats(allow_nan=False, allow_infinity=False),
    COUNTS,
    st.booleans(),
    st.tuples(COUNTS, COUNTS),
    COUNTS,
)
TEXT = st.text(max_size=20)


def scored(logit: float) -> Scored:
    return Scored(logit, 7, truncated=logit < 0, passage=(2, 9), cost=12)


def key(number: int) -> bytes:
    return cache_key(b"model", Pair("query", str(number)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty cache of each kind."""
    match request.param:
        case "memory":
            yield MemoryCache()
        case "sqlite":
            cache = SqliteCache(tmp_path / "scores.db")
            yield cache
            cache.close()
        case _:
            own = request.getfixturevalue("server").url.removesuffix("0") + "1"
            other = RedisCache(own, timeout_s=60)
            other._client.flushdb()
            yield other
            other.close()


# ---- the contract


def test_what_was_put_comes_back(tier: ScoreCache) -> None:
    """Bit by bit, by key; unknown keys are left out; the last value of a key counts."""
    assert isinstance(tier, ScoreCache)
    values = {key(i): scored(i / 3 - 100) for i in range(2_345)}
    tier.put_many(values)
    assert tier.get_many(list(values)) == values
    assert tier.get_many([key(-1), key(3)]) == {key(3): values[key(3)]}
    assert tier.get_many([]) == {}
    tier.put_many({})
    tier.put_many({key(3): scored(9.0)})
    assert tier.get_many([key(3), key(4)]) == {key(3): scored(9.0), key(4): values[key(4)]}


def test_threads_share_a_cache(tier: ScoreCache) -> None:
    """Each finds what it has put, whatever the others do."""
    lost: list[int] = []

    def work(start: int) -> None:
        for i in range(start, start + 200, 20):
            values = {key(j): scored(float(j)) for j in range(i, i + 20)}
            tier.put_many(values)
            if tier.get_many(list(values)) != values:
                lost.append(i)

    threads = [threading.Thread(target=work, args=(1_000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_goes_on(tier: ScoreCache) -> None:
    """While another thread is at the cache; what leaves the process is there for the parent."""
    shared = not isinstance(tier, MemoryCache)
    tier.put_many({key(0): scored(0.5)})
    done = threading.Event()

    def busy() -> None:
        i = 1_000
        while not done.is_set():
            started = time.monotonic()
            patiently(partial(tier.put_many, {key(i): scored(1.0)}))
            patiently(partial(tier.get_many, [key(i)]))
            done.wait(time.monotonic() - started)  # the other half of the time is the children's
            i += 1

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for i in range(1, 11):
            own = {key(i): scored(float(i))}

            def goes_on(own: dict[bytes, Scored] = own) -> bool:
                patiently(partial(tier.put_many, own))
                return patiently(partial(tier.get_many, [key(0), *own])) == {key(0): scored(0.5), **own}

            assert holds_in_a_child(goes_on)
            assert patiently(partial(tier.get_many, [key(i)])) == (own if shared else {})
    finally:
        done.set()
        thread.join()


def test_a_pickled_cache_is_the_same_place(tier: ScoreCache) -> None:
    """What is in memory stays there; a file or a server is opened anew."""
    tier.put_many({key(1): scored(1.0)})
    copy = pickle.loads(pickle.dumps(tier))
    assert type(copy) is type(tier)
    assert copy.get_many([key(1)]) == ({} if isinstance(tier, MemoryCache) else {key(1): scored(1.0)})
    if not isinstance(tier, MemoryCache):
        copy.close()


@pytest.mark.parametrize("name", ["sqlite", "redis"])
def test_rerankers_share_scores(
    name: str, checkpoint: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A second one scores nothing that the first one did; one that cuts otherwise finds nothing."""
    spec = f"sqlite:///{tmp_path}/scores.db" if name == "sqlite" else request.getfixturevalue("server").url
    spec += "" if name == "sqlite" else "?ttl=3600&timeout_s=60"
    with Reranker(str(checkpoint("bert")), cache=None) as plain:
        expected = plain.rank(QUERY, DOCUMENTS)
    with Reranker(str(checkpoint("bert")), cache=spec) as first:
        assert first.rank(QUERY, DOCUMENTS[:3]).usage["cached"] == 0
    with Reranker(str(checkpoint("bert")), cache=spec) as second:
        ranking = second.rank(QUERY, DOCUMENTS)
        assert (ranking.usage["cached"], ranking.usage["pairs"]) == (3, 1)
        assert [(hit.logit, hit.tokens, hit.passage) for hit in ranking] == [
            (hit.logit, hit.tokens, hit.passage) for hit in expected
        ]
        with pickle.loads(pickle.dumps(second)) as third:
            assert third.rank(QUERY, DOCUMENTS).usage["cached"] == 4
    for options in ({"max_length": 32}, {"long_documents": "truncate"}, {"windows_max": 3}, {"precision": "int8"}):
        with Reranker(str(checkpoint("bert")), cache=spec, **options) as other:
            assert other.rank(QUERY, DOCUMENTS).usage["cached"] == 0, options
    with Reranker(str(checkpoint("bert", seed=5)), cache=spec) as other:
        assert other.rank(QUERY, DOCUMENTS).usage["cached"] == 0


# ---- keys and records


@pytest.mark.property
@example([("m", "q", "d", ""), ("m", "q", "d", "i")])  # neighbours, whose beginning is hashed once
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), max_size=6, unique=True))
def test_keys_tell_pairs_apart(parts: list[tuple[str, str, str, str]]) -> None:
    """However the letters are spread over model, query, document and instruction, and whatever came before."""
    pairs = [(model.encode(), Pair(query, document, instruction)) for model, query, document, instruction in parts]
    keys = [cache_key(model, pair) for model, pair in pairs]
    assert len(set(keys)) == len(parts)
    assert all(len(key) == 32 for key in keys)
    alone = [cache_key(b"m", pair) for _, pair in pairs]
    assert cache_keys(b"m", [pair for _, pair in pairs]) == alone


def test_the_key_of_a_pair_stays() -> None:
    """Shared caches outlive versions of crossrank: whoever changes the key forgets them."""
    parts = [b"model", b"query", b"instruction", "d\u00f6cument".encode()]
    whole = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    assert cache_key(b"model", Pair("query", "d\u00f6cument", "instruction")) == blake2b(whole, digest_size=32).digest()


@pytest.mark.property
@given(KEYS, SCORES, st.floats(0, 4e9))
def test_a_record_is_the_score(key: bytes, value: Scored, stored: float) -> None:
    """Bit by bit, with the second in which it was stored."""
    record = pack(key, value, stored)
    assert len(record) == RECORD_BYTES
    assert unpack(key, record) == (value, int(stored))


@pytest.mark.property
@given(
    KEYS, SCORES, st.integers(0, 8 * RECORD_BYTES - 1), KEYS, st.integers(0, RECORD_BYTES - 1), st.binary(max_size=80)
)
def test_a_damaged_record_is_none(
    key: bytes, value: Scored, bit: int, other: bytes, length: int, foreign: bytes
) -> None:
    """A bit is flipped, the end is missing, it is another key's, or something else altogether."""
    record = pack(key, value, 1e9)
    flipped = bytearray(record)
    flipped[bit // 8] ^= 1 << bit % 8
    assert unpack(key, bytes(flipped)) is None
    assert unpack(key, record[:length]) is None
    assert other == key or unpack(other, record) is None
    assert unpack(key, foreign) is None
    assert unpack(key, None) is None
    assert unpack(key, record.hex()) is None


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_a_record_of_no_number_is_none(logit: float) -> None:
    assert unpack(b"k", pack(b"k", scored(logit), 0.0)) is None


# ---- bounds in memory


@pytest.mark.property
@example([(True, 1, 1), (True, 2, 1), (False, 1, 0), (True, 3, 1)], 60, 2)  # 1 was used since 2 was
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 40)), max_size=60),
    st.integers(0, 60),
    st.integers(0, 6),
)
def test_memory_is_bounded(steps: list[tuple[bool, int, int]], bytes_max: int, entries_max: int) -> None:
    """By bytes and by entries, after every step; what is used last stays; a value is never another's."""
    recent: Recent[int, int] = Recent(lambda _, value: value, bytes_max=bytes_max, entries_max=entries_max)
    model: dict[int, int] = {}  # in order of use
    for put, name, value in steps:
        if put:
            recent.put_many({name: value})
            model.pop(name, None)
            if value <= bytes_max:
                model[name] = value
            while sum(model.values()) > bytes_max or len(model) > entries_max:
                del model[next(iter(model))]
        elif name in model:
            model[name] = model.pop(name)
        assert recent.get_many([] if put else [name]) == ({} if put or name not in model else {name: model[name]})
        assert recent.bytes == sum(model.values()) <= bytes_max
        assert len(recent) == len(model) <= entries_max
    assert recent.get_many(list(model)) == model


def test_a_score_in_memory_takes_what_is_reckoned() -> None:
    """The bound in bytes is one of real memory."""
    cache = MemoryCache()
    tracemalloc.start()
    try:
        for start in range(0, 10_000, 100):
            cache.put_many({key(i): scored(i + 0.5) for i in range(start, start + 100)})
        taken = tracemalloc.get_traced_memory()[0] / len(cache)
    finally:
        tracemalloc.stop()
    assert 0.5 * ENTRY_BYTES < taken < ENTRY_BYTES
    assert len(MemoryCache(bytes_max=10 * ENTRY_BYTES).__reduce__()) == 2


def test_memory_by_bytes_alone() -> None:
    """`bytes_max` holds where the number of entries would allow more."""
    cache = MemoryCache(bytes_max=10 * ENTRY_BYTES)
    cache.put_many({key(i): scored(float(i)) for i in range(100)})
    assert list(cache.get_many([key(i) for i in range(100)])) == [key(i) for i in range(90, 100)]
