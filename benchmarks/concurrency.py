"""Many callers at a time: 64 callers with 20 real passages each, ways of serving them side by side, in turn.

Also what a lone caller pays for it, and how long the event loop is kept while 1,000 long documents are scored.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from crossrank import CrossEncoder, Reranker
from crossrank.checkpoint.source import bundled_folder
from crossrank.collection import read_collection, read_run
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.machine import usable_cores

CALLERS, DOCUMENTS, REPEATS = 64, 20, 5
LONE_REPEATS = 200
GAP_MAX_S, GAP_REPEATS = 0.020, 5
Call = tuple[str, list[str]]


def measure(data: Path, *, reference: bool = True) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, ratio or target)."""
    return [*_callers(_calls(data), reference=reference), *_lone(), *_loop_gaps(data)]


def _calls(data: Path) -> list[Call]:
    collection = read_collection(data / "trec_dl19")
    run = read_run(data / "trec_dl19" / "runs" / "BM25.trec", depth=DOCUMENTS)
    queries = islice(cycle(run), CALLERS)
    # A number makes the passages of equal queries differ, so that nobody is served with another's scores.
    return [(collection.queries[q], [f"{collection.corpus[d]} {i}" for d, _ in run[q]]) for i, q in enumerate(queries)]


def _callers(calls: list[Call], *, reference: bool) -> list[tuple[str, str, str]]:
    reranker, drop_in = Reranker(cache=None), CrossEncoder(precision="auto")
    latencies: list[float] = []

    async def together() -> None:
        async def one(query: str, documents: list[str]) -> None:
            started = time.perf_counter()
            await reranker.arank(query, documents)
            latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(one(*call) for call in calls))

    def pooled(predict: Callable[[list[tuple[str, str]]], object]) -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda call: predict([(call[0], text) for text in call[1]]), calls))

    ways: dict[str, Callable[[], object]] = {
        "one call with all pairs": lambda: reranker.score([(q, text) for q, texts in calls for text in texts]),
        f"{CALLERS} callers of `arank`": lambda: asyncio.run(together()),
        f"{CALLERS} threads, `rank`": lambda: _threads(reranker, calls),
        "ThreadPoolExecutor around our own `predict`": lambda: pooled(drop_in.predict),
    }
    if reference:
        model = _reference()
        ways["ThreadPoolExecutor around sentence-transformers' `predict`"] = lambda: pooled(model.predict)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    p50s, p99s = [], []
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            if not repeat and "sentence-transformers" in name:
                continue  # too slow to be warmed up with the whole
            latencies.clear()
            started = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
            if repeat and latencies:
                ordered = sorted(latencies)
                p50s.append(ordered[len(ordered) // 2])
                p99s.append(ordered[-1])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours = medians[f"{CALLERS} callers of `arank`"]
    title = f"{CALLERS} x {DOCUMENTS} passages of trec_dl19"
    pairs = CALLERS * DOCUMENTS
    p50, p99 = statistics.median(p50s), statistics.median(p99s)
    return [
        *(
            (f"{title}: {name}", f"{median * 1e3:.0f} ms ({pairs / median:.0f} pairs/s)", f"{median / ours:.2f}x")
            for name, median in medians.items()
        ),
        (f"{title}: p50 and p99 of `arank`", f"{p50 * 1e3:.0f} ms, {p99 * 1e3:.0f} ms", f"{p99 / p50:.2f}x (<= 2)"),
    ]


def _threads(reranker: Reranker, calls: list[Call]) -> None:
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda call: reranker.rank(*call), calls))


def _reference() -> Any:
    import torch
    from sentence_transformers import CrossEncoder as Reference

    torch.set_num_threads(usable_cores())
    return Reference(str(bundled_folder()), device="cpu", model_kwargs={"dtype": torch.float32})


def _lone() -> list[tuple[str, str, str]]:
    """What `rank` and `arank` add for one short document to the engine's own time, over many calls in turn."""
    reranker = Reranker(cache=None)
    scorer, pair = open_scorer(OpenConfig(cache=None)), ("who created python", "Guido van Rossum created Python.")

    async def alone() -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {"engine": [], "rank": [], "arank": []}
        for _ in range(LONE_REPEATS):
            started = time.perf_counter()
            scorer.score([Pair(*pair)])
            seconds["engine"].append(time.perf_counter() - started)
            started = time.perf_counter()
            reranker.rank(pair[0], [pair[1]])
            seconds["rank"].append(time.perf_counter() - started)
            started = time.perf_counter()
            await reranker.arank(pair[0], [pair[1]])
            seconds["arank"].append(time.perf_counter() - started)
        return seconds

    medians = {name: statistics.median(values) * 1e3 for name, values in asyncio.run(alone()).items()}
    return [
        (f"a lone caller, one short document: `{name}` adds", f"{medians[name] - medians['engine']:.2f} ms", "<= 1 ms")
        for name in ("rank", "arank")
    ]


def _loop_gaps(data: Path) -> list[tuple[str, str, str]]:
    """The longest time between two ticks of an event loop in which a call with long documents is under way.

    Beside it, in turns, the same ticker while other processes keep the cores as busy: what the machine itself, often a
    share of a larger one, takes from a thread that wakes up.
    """
    passages = list(read_collection(data / "trec_dl19").corpus.values())
    documents = [" ".join(passages[i % len(passages)] for i in range(n, n + 6)) for n in range(1_000)]
    reranker = Reranker(cache=None)

    async def ticks_during(done: Callable[[], bool]) -> list[float]:
        gaps, before = [], time.perf_counter()
        while not done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - before)
            before = now
        return gaps

    async def ours() -> tuple[list[float], float]:
        started = time.perf_counter()
        task = asyncio.create_task(reranker.arank("who created python", documents, top_k=10))
        gaps = await ticks_during(task.done)
        await task
        return gaps, time.perf_counter() - started

    def others(seconds: float) -> list[float]:
        burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cores())]
        try:
            end = time.perf_counter() + seconds
            return asyncio.run(ticks_during(lambda: time.perf_counter() > end))
        finally:
            for process in burning:
                process.kill()
                process.wait()

    asyncio.run(ours())
    longest: dict[str, list[float]] = {"our own engine": [], "other processes (the machine's own)": []}
    above = dict.fromkeys(longest, 0)
    for _ in range(GAP_REPEATS):
        gaps, seconds = asyncio.run(ours())
        for name, measured in zip(longest, (gaps, others(seconds)), strict=True):
            longest[name].append(max(measured))
            above[name] += sum(gap > GAP_MAX_S for gap in measured)
    return [
        (
            f"1 ms ticker while 1,000 documents of 6 passages are scored, cores kept busy by {name}",
            f"longest gap {statistics.median(values) * 1e3:.1f} ms",
            f"{above[name]} over {GAP_MAX_S * 1e3:.0f} ms in {GAP_REPEATS} calls",
        )
        for name, values in longest.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--no-reference", action="store_true", help="leave sentence-transformers out")
    arguments = parser.parse_args()
    for row in measure(arguments.data, reference=not arguments.no_reference):
        print(" | ".join(row))
