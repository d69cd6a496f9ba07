"""Ten minutes of everything at once: memory stays flat, and no answer is lost, doubled or somebody else's.

CROSSRANK_SOAK_S takes another number of seconds.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from crossrank import Ranking, Reranker
from crossrank.errors import OverloadError

SECONDS = float(os.environ.get("CROSSRANK_SOAK_S", "600"))
GROWTH_MAX = 1.05  # of resident memory, after the first tenth of the time
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "python", "creators", "document"]
THREADS, TASKS = 4, 24


def texts(rng: random.Random) -> list[str]:
    """Documents, most of them short, one in forty longer than the model can read."""
    return [
        " ".join(rng.choices(WORDS, k=rng.choice([5, 20, 60]) if rng.random() > 0.025 else 600))
        for _ in range(rng.randrange(0, 30))
    ]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def check(ranking: Ranking, documents: list[str], expected: dict[str, float]) -> None:
    """Every document once, each with its own score, the best first."""
    assert sorted(ranking.indices) == list(range(len(documents)))
    known = [hit.logit for hit in ranking if hit.logit is not None]
    assert known == sorted(known, reverse=True)
    assert all(hit.logit in (None, expected[documents[hit.index]]) for hit in ranking)


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_mixed_callers_for_a_long_time() -> None:
    """Threads and tasks, with deadlines, priorities and cancellations; every answer is looked at."""
    rng = random.Random(0)
    questions = [(f"query {number}", texts(rng)) for number in range(60)]
    with Reranker(cache=None) as alone:
        expected = [
            dict(zip(d, map(float, alone.score([(q, t) for t in d], raw=True)), strict=True)) for q, d in questions
        ]
    rerankers = (Reranker(waiting_max=2_000), Reranker(waiting_max=2_000, cache=None))
    until = time.monotonic() + SECONDS
    answered, errors, sizes = [0], list[BaseException](), dict[int, int]()

    def calls(seed: int) -> Iterator[tuple[int, float | None, int]]:
        own = random.Random(seed)
        while time.monotonic() < until and not errors:
            yield own.randrange(len(questions)), own.choice([None, None, 0.0, 0.02, 1.0]), own.randrange(3)

    def in_a_thread(seed: int) -> None:
        try:
            for number, deadline_s, priority in calls(seed):
                query, documents = questions[number]
                with suppress(OverloadError):
                    ranking = rerankers[number % 2].rank(query, documents, deadline_s=deadline_s, priority=priority)
                    check(ranking, documents, expected[number])
                    answered[0] += 1
        except BaseException as exc:  # noqa: BLE001 - told at the end
            errors.append(exc)

    async def task(seed: int) -> None:
        for number, deadline_s, priority in calls(seed):
            query, documents = questions[number]
            with suppress(OverloadError, TimeoutError):
                async with asyncio.timeout(0.01 if seed % 5 == 0 else None):
                    ranking = await rerankers[number % 2].arank(
                        query, documents, deadline_s=deadline_s, priority=priority
                    )
                check(ranking, documents, expected[number])
                answered[0] += 1
            share = int(10 * (1 - (until - time.monotonic()) / SECONDS))
            sizes[min(share, 10)] = resident_bytes()  # the last of each tenth: a list of all would grow by itself

    async def tasks() -> None:
        await asyncio.gather(*(task(seed) for seed in range(TASKS)))

    with ThreadPoolExecutor(THREADS) as pool:
        pool.map(in_a_thread, range(100, 100 + THREADS))
        asyncio.run(tasks())
    assert not errors
    assert answered[0] > SECONDS
    assert sizes[max(sizes)] <= sizes[0] * GROWTH_MAX, sizes
