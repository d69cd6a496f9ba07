"""What frameworks' clothes cost: LanceDB and LangChain over scoring, 50 callers at a time, and the index of a search.

Run it alone on a machine: `python benchmarks/integrations.py`. `--passages 2000 --repeats 3` is a quick look.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from crossrank import Reranker
from crossrank.integrations.lancedb import CrossEncoderReranker as LanceReranker
from crossrank.integrations.langchain import CrossEncoderReranker, RerankingRetriever
from crossrank.retrieve import Bm25Index

ROWS, CALLERS, CALLED, WORDS = 100, 50, 20, 40
QUERY = "who created python"
DIMENSIONS = 768  # of the vectors in LanceDB's rows
Row = tuple[str, str, str]


def measure(*, passages: int = 50_000, repeats: int = 20) -> list[Row]:
    """Rows of (what, measured, target)."""
    return [*_overheads(repeats), _concurrent(repeats), *_index(passages, repeats)]


def _passages(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    words = [f"w{i}" for i in range(20_000)] + QUERY.split()
    weights = [1 / (rank + 10) for rank in range(len(words))]  # as words are distributed in texts
    return [" ".join(draw.choices(words, weights, k=WORDS)) for _ in range(count)]


def _overheads(repeats: int) -> list[Row]:
    """The medians' difference to scoring the same pairs, in turn; scores are known, so that only the clothes differ."""
    import numpy as np
    import pyarrow as pa
    from langchain_core.documents import Document

    texts = _passages(ROWS)
    reranker = Reranker(long_documents="truncate")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(ROWS * DIMENSIONS, np.float32)), DIMENSIONS)
    table = pa.table({"text": texts, "vector": vectors, "_distance": pa.array([0.0] * ROWS, pa.float32())})
    documents = [Document(page_content=text, metadata={"n": i}) for i, text in enumerate(texts)]
    lance, chain = LanceReranker(ranker=reranker), CrossEncoderReranker(ranker=reranker, top_n=10)
    ways: dict[str, Callable[[], Any]] = {
        "scoring": lambda: reranker.score([(QUERY, text) for text in texts]),
        "LanceDB": lambda: lance.rerank_vector(QUERY, table),
        "LangChain": lambda: chain.compress_documents(documents, QUERY),
    }
    medians = _in_turn(ways, repeats * 5)
    return [
        (f"{name}: {ROWS} rows, over scoring", f"{(medians[name] - medians['scoring']) * 1e3:.2f} ms", target)
        for name, target in (("LanceDB", "<= 2 ms"), ("LangChain", "<= 1 ms"))
    ]


def _concurrent(repeats: int) -> Row:
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableLambda

    reranker = Reranker(cache=None, long_documents="truncate")
    texts = {f"{QUERY} {i}": _passages(CALLED, seed=i) for i in range(CALLERS)}
    found = {query: [Document(page_content=text) for text in each] for query, each in texts.items()}
    retriever = RerankingRetriever(
        base_retriever=RunnableLambda(found.__getitem__), reranker=CrossEncoderReranker(ranker=reranker)
    )

    async def together() -> None:
        await asyncio.gather(*(retriever.ainvoke(query) for query in found))

    ways: dict[str, Callable[[], Any]] = {
        "batched": lambda: reranker.score([(query, text) for query, each in texts.items() for text in each]),
        "ainvoke": lambda: asyncio.run(together()),
    }
    medians = _in_turn(ways, max(3, repeats // 4))
    ratio = medians["ainvoke"] / medians["batched"]
    what = f"{CALLERS} ainvokes of {CALLED} documents at a time, against their pairs in one call"
    return (what, f"{medians['ainvoke'] * 1e3:.0f} ms against {medians['batched'] * 1e3:.0f} ms", f"{ratio:.2f}x (1x)")


def _index(passages: int, repeats: int) -> list[Row]:
    texts = _passages(passages)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        Bm25Index.build(folder, texts)
        built = time.perf_counter() - started
        started = time.perf_counter()
        index = Bm25Index.build(folder, [*texts, "one more"])
        added = time.perf_counter() - started
        started = time.perf_counter()
        Bm25Index(folder)
        opened = time.perf_counter() - started
        queries = [f"{QUERY} {text}" for text in _passages(repeats, seed=1)]
        queries = [" ".join(query.split()[:8]) for query in queries]
        seconds = []
        for query in queries:
            started = time.perf_counter()
            index.retrieve(query, 100)
            seconds.append(time.perf_counter() - started)
    title = f"index of {passages:,} passages of {WORDS} words"
    return [
        (f"{title}: built", f"{built:.1f} s", "minutes"),
        (f"{title}: with one more", f"{added:.1f} s", ""),
        (f"{title}: opened", f"{opened * 1e3:.0f} ms", ""),
        (
            f"{title}: 100 best of a query, median and longest",
            f"{statistics.median(seconds) * 1e3:.1f} ms, {max(seconds) * 1e3:.1f} ms",
            "<= 30 ms",
        ),
    ]


def _in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, called in turn; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    for row in measure(passages=arguments.passages, repeats=arguments.repeats):
        print(" | ".join(row))
