"""What replicas in processes of their own cost and bring: two with a core each beside one model with two, in turn.

Also what a batch's way there and back takes, by itself: a replica that computes nothing.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossrank import Reranker
from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits, Row
from crossrank.backends.process import ProcessBackend
from crossrank.collection import read_collection, read_run

CALLERS, DOCUMENTS, REPEATS = 32, 20, 5
TRIPS = 300
ROW_TOKENS = 128
Call = tuple[str, list[str]]


class Nothing:
    """A backend that computes nothing."""

    limits = Limits(2**20, 2**20)
    facts = BackendFacts("none", "cpu", "fp32", 1, "none")

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:  # noqa: ARG002 - as a backend
        return np.zeros((len(batch.offsets) - 1, 1), np.float32)


def measure(data: Path) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, ratio)."""
    return [*_beside(data), *_trips()]


def _beside(data: Path) -> list[tuple[str, str, str]]:
    collection = read_collection(data / "trec_dl19")
    run = read_run(data / "trec_dl19" / "runs" / "BM25.trec", depth=100)
    queries = list(run)
    texts = {query: [collection.corpus[document] for document, _ in run[query]] for query in queries}
    one_call = [(collection.queries[queries[0]], texts[queries[0]])]
    many = [(collection.queries[query], texts[query][:DOCUMENTS]) for query in queries[:CALLERS]]
    rows: list[tuple[str, str, str]] = []
    with Reranker(cache=None, threads=2) as one, Reranker(cache=None, threads=2, replicas=2) as two:
        assert one.rank(*one_call[0]).scores == two.rank(*one_call[0]).scores
        for what, calls in (
            ("one caller with 100 passages", one_call),
            (f"{CALLERS} callers of `arank`, {DOCUMENTS} passages each", many),
        ):
            rows += _compared(what, lambda r, calls=calls: asyncio.run(_all(r, calls)), one, two)
        rows += _compared("the same by `rank_many`", lambda r: list(r.rank_many(*zip(*many, strict=True))), one, two)
    return rows


async def _all(reranker: Reranker, calls: list[Call]) -> None:
    await asyncio.gather(*(reranker.arank(*call) for call in calls))


def _compared(what: str, way: Callable[[Reranker], object], one: Reranker, two: Reranker) -> list[tuple[str, str, str]]:
    """Milliseconds of both, side by side in turn, and the median of the ratios of neighbours."""
    seconds: dict[Reranker, list[float]] = {one: [], two: []}
    for repeat in range(REPEATS + 1):
        for reranker, taken in seconds.items():
            started = time.perf_counter()
            way(reranker)
            if repeat:
                taken.append(time.perf_counter() - started)
    ratio = statistics.median(b / a for a, b in zip(seconds[one], seconds[two], strict=True))
    return [
        (f"{what}: one model, 2 threads", f"{statistics.median(seconds[one]) * 1e3:.1f} ms", "1"),
        (f"{what}: 2 replicas, a core each", f"{statistics.median(seconds[two]) * 1e3:.1f} ms", f"{ratio:.2f}"),
    ]


def _trips() -> list[tuple[str, str, str]]:
    rows = []
    replica = ProcessBackend("replica 0", (), Nothing).opened()
    for tokens in (512, 4_096, 16_384):
        row = Row(np.ones(ROW_TOKENS, np.int32), np.zeros(ROW_TOKENS, np.int32))
        batch = Batch.of([row] * (tokens // ROW_TOKENS))
        taken = []
        for _ in range(TRIPS):
            started = time.perf_counter()
            replica.run(batch)
            taken.append(time.perf_counter() - started)
        median, slow = statistics.median(taken) * 1e3, sorted(taken)[int(0.95 * TRIPS)] * 1e3
        rows.append((f"there and back, {tokens:,} tokens", f"{median:.2f} ms, p95 {slow:.2f}", "< 1 ms"))
    return rows
