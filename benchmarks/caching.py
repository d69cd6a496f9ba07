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
from pathlib import Path

from crossrank import Reranker
from crossrank.engine.cache import MemoryCache, ScoreCache
from crossrank.engine.cache.redis import RedisCache
from crossrank.engine.cache.sqlite import SqliteCache
from crossrank.engine.pair import Pair, Scored

QUERY = "how do I get a parcel back that was sent to an old address"
WORDS = "the a of to parcel address post office sent return letter old new house number street form week".split()  # noqa: SIM905
WORDS_A_PASSAGE = 75
REPEATS = 15
STORED = 1_000_000
ASKED = 100
AT_ONCE = 10_000
SCORED = Scored(1.5, 100, truncated=False, passage=(0, 400), cost=120)

Rows = list[tuple[str, str, str]]


def measure() -> Rows:
    """Rows of (what, median, target)."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_hits(100), *_hits(1_000), *_tokens(), *_sqlite(Path(folder)), *_redis(Path(folder))]


def _hits(count: int) -> Rows:
    """A whole call of which every score is known, beside the same call when none is."""
    documents = _passages(count)
    first, again = [], []
    reranker = Reranker()
    for repeat in range(3):
        first.append(_seconds(lambda: reranker.rank(f"{QUERY} {repeat}", documents)))
        again.append(
            statistics.median(_seconds(lambda: reranker.rank(QUERY + " 0", documents)) for _ in range(REPEATS))
        )
    scoring, known = statistics.median(first), statistics.median(again)
    what = f"{count:,} passages ranked again, all scores in memory"
    return [(what, f"{known * 1e3:.1f} ms, {known / scoring:.2%} of scoring ({scoring * 1e3:.0f} ms)", "<= 2 %")]


def _tokens() -> Rows:
    """From pairs to rows of ids, for 100 passages: met for the first time, met before, prepared."""
    documents = _passages(ASKED)
    pairs = [Pair(QUERY, document) for document in documents]
    with Reranker(cache=None) as plain, Reranker() as remembering:
        fresh, knowing = plain._scorer.encoder, remembering._scorer.encoder
        prepared = fresh.prepare(documents)
        cold = _median(lambda: fresh.encode(pairs, {}))
        known = _median(lambda: knowing.encode(pairs, {}))
        ready = _median(lambda: fresh.encode(pairs, prepared))
    what = f"tokenising {ASKED} passages"
    return [
        (f"{what}: new ones", f"{cold * 1e3:.2f} ms", ""),
        (f"{what}: met before", f"{known * 1e3:.2f} ms, {cold / known:.0f} times less", ">= 5 times"),
        (f"{what}: from `prepare`", f"{ready * 1e3:.2f} ms, {cold / ready:.0f} times less", ">= 5 times"),
    ]


def _sqlite(folder: Path) -> Rows:
    file = folder / "scores.db"
    cache = SqliteCache(file)
    filled = _fill(cache, STORED)
    cache.close()
    size = file.stat().st_size
    rows = _asked(cache, f"SQLite, {STORED:,} scores", "<= 5 ms")
    cache.close()
    return [
        *rows,
        ("SQLite: storing a score, the file's bytes a score", f"{filled * 1e6:.0f} us, {size / STORED:.0f}", ""),
    ]


def _redis(folder: Path) -> Rows:
    if shutil.which("redis-server") is None:
        return [("Redis", "no redis-server here", "")]
    with _server(folder) as url:
        cache = RedisCache(url, timeout_s=5)
        _fill(cache, STORED // 10)
        rows = _asked(cache, f"Redis on this machine, {STORED // 10:,} scores", "")
        cache.close()
    return rows


def _asked(cache: ScoreCache, title: str, target: str) -> Rows:
    choose = random.Random(1)

    def ask() -> None:
        assert len(cache.get_many([_key(choose.randrange(STORED // 10)) for _ in range(ASKED)])) > ASKED // 2

    ask()
    get = _median(ask)
    put = _median(lambda: cache.put_many({os.urandom(32): SCORED for _ in range(ASKED)}))
    return [
        (f"{title}: {ASKED} keys asked for", f"{get * 1e3:.2f} ms", target),
        (f"{title}: {ASKED} stored", f"{put * 1e3:.2f} ms", ""),
    ]


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


def _median(run: Callable[[], object]) -> float:
    run()
    return statistics.median(_seconds(run) for _ in range(REPEATS))


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    for row in measure():
        print("| " + " | ".join(row) + " |")
