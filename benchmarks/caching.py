"""What caches cost and save: hits beside scoring, a look-up in SQLite and in Redis, tokens that are known."""

import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from crossrank import Reranker
from crossrank.engine.cache import ScoreCache
from crossrank.engine.cache.redis import RedisCache
from crossrank.engine.cache.sqlite import SqliteCache
from crossrank.engine.encode import token_cache
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair, Scored

QUERY = "how do I get a parcel back that was sent to an old address"
WORDS = "the a of to parcel address post office sent return letter old new house number street form week".split()  # noqa: SIM905
WORDS_A_PASSAGE = 75
REPEATS = 31
FRESH = 3  # calls that score
STORED = 1_000_000
ASKED = 100
AT_ONCE = 10_000
SCORED = Scored(1.5, 100, truncated=False, passage=(0, 400), cost=120)

Rows = list[tuple[str, str, str]]


@dataclass(frozen=True)
class Taken:
    """Seconds: the median, and the best, which is near to what it takes where nothing else runs."""

    median: float
    best: float

    def __str__(self) -> str:
        return f"{self.median * 1e3:.2f} ms (best {self.best * 1e3:.2f})"


def measure() -> Rows:
    """Rows of (what, median, target)."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_hits(100), *_hits(1_000), *_tokens(), *_sqlite(Path(folder)), *_redis(Path(folder))]


def _hits(count: int) -> Rows:
    """A whole call of which every score is known, beside the same call when none is."""
    documents = _passages(count)
    reranker = Reranker()

    def rank(query: str) -> Callable[[], object]:
        return lambda: reranker.rank(query, documents)

    scoring = statistics.median(_seconds(rank(f"{QUERY} {i}")) for i in range(FRESH))
    (known,) = _taken(rank(f"{QUERY} 0"))
    what = f"{count:,} passages ranked again, all scores in memory"
    return [
        (f"{count:,} passages scored, nothing known", f"{scoring * 1e3:.0f} ms", ""),
        (what, f"{known}, {known.median / scoring:.2%} of scoring", "<= 2 %"),
    ]


def _tokens() -> Rows:
    """From pairs to rows of ids, for 100 passages: met for the first time, met before, prepared."""
    documents = _passages(ASKED)
    pairs = [Pair(QUERY, document) for document in documents]
    plain = open_scorer(OpenConfig(cache=None)).encoder
    remembering = replace(plain, recent=token_cache())
    prepared = plain.prepare(documents)
    runs: dict[str, Callable[[], object]] = {
        "without a cache": lambda: plain.encode(pairs, {}),
        "met for the first time": lambda: replace(plain, recent=token_cache()).encode(pairs, {}),
        "met before": lambda: remembering.encode(pairs, {}),
        "from `prepare`": lambda: plain.encode(pairs, prepared),
    }
    cold, *others = taken = _taken(*runs.values())
    shares = ["", *(f", {cold.median / one.median:.1f} times less" for one in others)]
    targets = ("", "", ">= 5 times", ">= 5 times")
    return [
        (f"tokenising {ASKED} passages: {name}", f"{one}{share}", target)
        for name, one, share, target in zip(runs, taken, shares, targets, strict=True)
    ]


def _sqlite(folder: Path) -> Rows:
    file = folder / "scores.db"
    cache = SqliteCache(file)
    filled = _fill(cache, STORED)
    cache.close()
    size = file.stat().st_size
    rows = _asked(cache, "SQLite", STORED, "<= 5 ms")
    cache.close()
    return [
        *rows,
        ("SQLite: a score stored among many, bytes of the file", f"{filled * 1e6:.0f} us, {size / STORED:.0f}", ""),
    ]


def _redis(folder: Path) -> Rows:
    if shutil.which("redis-server") is None:
        return [("Redis", "no redis-server here", "")]
    with _server(folder) as url:
        cache = RedisCache(url, timeout_s=5)
        _fill(cache, STORED // 10)
        rows = _asked(cache, "Redis on this machine", STORED // 10, "")
        cache.close()
    return rows


def _asked(cache: ScoreCache, title: str, stored: int, target: str) -> Rows:
    choose = random.Random(1)
    asked = iter([[_key(choose.randrange(stored)) for _ in range(ASKED)] for _ in range(REPEATS + 1)])
    new = iter([{os.urandom(32): SCORED for _ in range(ASKED)} for _ in range(REPEATS + 1)])
    get, put = _taken(lambda: cache.get_many(next(asked)), lambda: cache.put_many(next(new)))
    title = f"{title}, {stored:,} scores: {ASKED}"
    return [(f"{title} asked for", str(get), target), (f"{title} stored", str(put), "")]


def _fill(cache: ScoreCache, count: int) -> float:
    """Seconds a score."""
    started = time.perf_counter()
    for start in range(0, count, AT_ONCE):
        scored: Mapping[bytes, Scored] = {_key(i): SCORED for i in range(start, start + AT_ONCE)}
        cache.put_many(scored)
    return (time.perf_counter() - started) / count


def _key(number: int) -> bytes:
    return random.Random(number).randbytes(32)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            any("Ready to accept connections" in line for line in server.stdout)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def _passages(count: int) -> list[str]:
    choose = random.Random(count)
    return [" ".join(choose.choices(WORDS, k=WORDS_A_PASSAGE)) + f" {i}." for i in range(count)]


def _taken(*runs: Callable[[], object]) -> list[Taken]:
    """Each in turn, time and again; the first time is warm-up."""
    turns = [[_seconds(run) for run in runs] for _ in range(REPEATS + 1)]
    return [Taken(statistics.median(seconds), min(seconds)) for seconds in zip(*turns[1:], strict=True)]


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    for row in measure():
        print("| " + " | ".join(row) + " |")
