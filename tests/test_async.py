"""The awaitable calls, in asyncio and trio: the same numbers, and an event loop that goes on."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import trio

from crossrank import Ranking, Reranker
from crossrank.errors import ArgumentTypeError, ClosedError, UsageError
from crossrank.schedule.scheduler import Scheduler
from fakes import BOUND_S, GatedBackend, schedulers

QUERY = "Who created Python?"
TEXTS = ["Python is a snake.", "Guido van Rossum created the Python programming language.", "Java is a language."]
DICTS = [{"title": f"number {i}", "body": text} for i, text in enumerate(TEXTS * 40)]
STEP_S = 0.02  # the longest that the event loop may be kept


@pytest.fixture(params=["asyncio", "trio"])
def runs(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]:
    """Runs an async function in each of the event loops."""
    return lambda main: anyio.run(main, backend=request.param)


def same(one: Ranking, other: Ranking) -> bool:
    return one.scores == other.scores and one.indices == other.indices and one.query == other.query


def test_awaited_rankings_are_the_rankings(bundled: Reranker, runs: Callable[..., Any]) -> None:
    """Bit by bit, for strings, mappings and prepared documents, few and many, many callers at a time."""
    prepared = bundled.prepare(TEXTS)
    asked: list[tuple[Any, dict[str, Any]]] = [
        (TEXTS, {}),
        (TEXTS * 50, {"top_k": 7}),
        (DICTS, {"fields": ["title", "body"], "threshold": 0.1}),
        (prepared, {"priority": 2}),
        ([], {}),
    ] * 4

    async def main() -> list[Ranking]:
        found: dict[int, Ranking] = {}

        async def one(number: int, documents: Any, options: dict[str, Any]) -> None:
            found[number] = await bundled.arank(QUERY, documents, **options)

        async with anyio.create_task_group() as group:
            for number, (documents, options) in enumerate(asked):
                group.start_soon(one, number, documents, options)
        return [found[number] for number in range(len(asked))]

    for ranking, (documents, options) in zip(runs(main), asked, strict=True):
        assert same(ranking, bundled.rank(QUERY, documents, **options))


def test_awaited_scores_are_the_scores(bundled: Reranker, runs: Callable[..., Any]) -> None:
    """In the caller's order, raw or not."""
    pairs = [(QUERY, text) for text in (*TEXTS, *DICTS)]

    async def main() -> tuple[np.ndarray, np.ndarray]:
        return await bundled.ascore(pairs), await bundled.ascore(pairs, raw=True)

    scores, logits = runs(main)
    assert scores.tobytes() == bundled.score(pairs).tobytes()
    assert logits.tobytes() == bundled.score(pairs, raw=True).tobytes()


def test_awaited_streams_are_the_streams(bundled: Reranker, runs: Callable[..., Any]) -> None:
    """In the order of the queries, from generators too; a mistake comes after the good ones before it."""
    queries = [f"{QUERY} {i}" for i in range(30)]

    async def main() -> list[Ranking]:
        return [ranking async for ranking in bundled.arank_many(iter(queries), (TEXTS for _ in queries), top_k=2)]

    expected = list(bundled.rank_many(queries, [TEXTS] * len(queries), top_k=2))
    assert all(map(same, runs(main), expected))

    async def wrong(found: list[Ranking]) -> None:
        stream: AsyncIterator[Ranking] = bundled.arank_many([QUERY, ""], [TEXTS, TEXTS])
        with pytest.raises(UsageError, match=r"queries\[1\] is empty"):
            found.extend([ranking async for ranking in stream])

    async def collected() -> list[Ranking]:
        found: list[Ranking] = []
        await wrong(found)
        return found

    runs(collected)


def test_event_loops_in_several_threads_share_one_reranker(bundled: Reranker) -> None:
    """Each gets its own answers."""

    def ask(number: int) -> list[Ranking]:
        async def main() -> list[Ranking]:
            return await asyncio.gather(*(bundled.arank(f"{QUERY} {number} {i}", TEXTS) for i in range(5)))

        return asyncio.run(main())

    with ThreadPoolExecutor(6) as pool:
        for number, rankings in enumerate(pool.map(ask, range(6), timeout=BOUND_S)):
            for i, ranking in enumerate(rankings):
                assert same(ranking, bundled.rank(f"{QUERY} {number} {i}", TEXTS))


def test_a_cancelled_caller_takes_the_work_back(checkpoint: Callable[..., Path], runs: Callable[..., Any]) -> None:
    """Cancelled while waiting for somebody else's turn: nothing of it reaches the model, and the reranker goes on."""
    reranker = Reranker(str(checkpoint("bert")), cache=None)
    backend = GatedBackend()
    reranker._engine = schedulers(reranker._engine.scorer, backend)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(reranker.arank, QUERY, ["first"])
            await anyio.to_thread.run_sync(backend.await_batch)
            with anyio.move_on_after(0.01):
                await reranker.arank(QUERY, ["second"])
            backend.open()
        assert len(await reranker.arank(QUERY, ["third"])) == 1

    runs(main)
    assert sum(len(batch.offsets) - 1 for batch in backend.batches) == 2


def test_mistakes_and_closed_rerankers_are_errors_at_once(checkpoint: Callable[..., Path]) -> None:
    """As from `rank`; a call in progress is finished all the same."""
    reranker = Reranker(str(checkpoint("bert")), cache=None)
    with pytest.raises(UsageError, match="query is empty"):
        asyncio.run(reranker.arank("", TEXTS))
    with pytest.raises(ArgumentTypeError, match="one str"):
        asyncio.run(reranker.arank(QUERY, "text"))
    with pytest.raises(UsageError, match="waiting_max"):
        Reranker(str(checkpoint("bert")), waiting_max=0)
    backend = GatedBackend()
    reranker._engine = schedulers(reranker._engine.scorer, backend)

    async def main() -> Ranking:
        async with reranker:
            under_way = asyncio.create_task(reranker.arank(QUERY, TEXTS))
            await asyncio.to_thread(backend.await_batch)
        backend.open()
        return await under_way

    assert len(asyncio.run(main())) == 3
    with pytest.raises(ClosedError):
        asyncio.run(reranker.arank(QUERY, TEXTS))


def test_a_deadline_that_has_passed_keeps_every_document(bundled: Reranker, runs: Callable[..., Any]) -> None:
    """In input order, without scores."""

    async def main() -> Ranking:
        return await bundled.arank(QUERY, TEXTS, deadline_s=0)

    ranking = runs(main)
    assert ranking.indices == [0, 1, 2]
    assert ranking.scores == [None, None, None]


def test_the_event_loop_is_never_kept(bundled: Reranker) -> None:
    """While a thousand long documents are scored, no step of the caller in its loop computes for over 20 ms.

    What is measured is the loop's own thread: whatever else this machine does meanwhile is not ours to promise. A
    virtual machine that is made to pause charges that to a thread, so one try in several has to be without such a step.
    """
    asyncio.run(bundled.arank(QUERY, TEXTS * 50))  # what is imported for the first time
    documents = [{"title": f"number {i}", "body": " ".join(TEXTS) * 12} for i in range(1_000)]
    texts = [document["body"] for document in documents]

    async def main() -> tuple[float, int]:
        tasks = [asyncio.create_task(bundled.arank(QUERY, given, top_k=10)) for given in (documents, texts)]
        longest, ticks, before = 0.0, 0, time.thread_time()
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.001)
            now = time.thread_time()
            longest, ticks, before = max(longest, now - before), ticks + 1, now
        assert [len(await task) for task in tasks] == [10, 10]
        return longest, ticks

    for _ in range(8):
        longest, ticks = asyncio.run(main())
        assert ticks > 20
        if longest < STEP_S:
            break
    assert longest < STEP_S


def test_nothing_is_left_behind(checkpoint: Callable[..., Path]) -> None:
    """The thread that served lives while there is work, no longer."""
    reranker = Reranker(str(checkpoint("bert")), cache=None)
    before = set(threading.enumerate())
    asyncio.run(reranker.arank(QUERY, TEXTS))
    for thread in set(threading.enumerate()) - before:
        thread.join(BOUND_S)
    assert set(threading.enumerate()) <= before
    assert isinstance(reranker._engine, Scheduler)
    trio.run(reranker.arank, QUERY, TEXTS)
