"""One remote reranker serves threads and event loops, survives forks, shows its key nowhere, and ends cleanly."""

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossrank import Ranking
from crossrank.errors import ClosedError, DeadlineError, UsageError
from crossrank.remote import Budget, BudgetError, RemoteReranker
from crossrank.remote.loop import Loop
from crossrank.testing import FakeVendor, Fault, shared_letters
from forked import holds_in_a_child
from vendors import PATIENCE_S, keep_connections, opened, until

QUERY = "who created python"
DOCUMENTS = ["zebra", "who", "who created python", "python"]
BEST_FIRST = [2, 3, 1, 0]


@pytest.fixture
def server() -> Iterator[FakeVendor]:
    with FakeVendor("cohere") as server:
        yield server


@pytest.fixture
def reranker(server: FakeVendor) -> Iterator[RemoteReranker]:
    with opened(server) as reranker:
        yield reranker


def test_two_hundred_concurrent_calls_lose_and_double_nothing(server: FakeVendor) -> None:
    """From one event loop, and from threads: each gets its own answer."""

    def right(ranking: Ranking, i: int) -> bool:
        return ranking.query == f"query {i}" and ranking.indices == [1, 0] and ranking[0].text == f"query {i}"

    async def all_at_once(reranker: RemoteReranker) -> list[Ranking]:
        return await asyncio.gather(*(reranker.arank(f"query {i}", ["zzz", f"query {i}"]) for i in range(200)))

    with opened(server, cache=None) as reranker:
        assert all(right(ranking, i) for i, ranking in enumerate(asyncio.run(all_at_once(reranker))))
        with ThreadPoolExecutor(50) as threads:
            asked = [threads.submit(reranker.rank, f"query {i}", ["zzz", f"query {i}"]) for i in range(200)]
            assert all(right(future.result(), i) for i, future in enumerate(asked))
        assert reranker.spent["requests"] == len(server.calls) == 400


def test_one_pool_serves_threads_and_event_loops(
    server: FakeVendor, reranker: RemoteReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections outlive an asyncio.run(), and calls one after the other share one."""
    keep_connections(monkeypatch)
    for i in range(3):
        asyncio.run(reranker.arank(QUERY, [f"{i} awaited"]))
        reranker.rank(QUERY, [f"{i} waited for"])
    assert len(server.calls) == 6
    assert server.connections == 1


def test_the_event_loop_is_never_blocked() -> None:
    """While the server says nothing, which is until the caller's loop has gone on; and until a deadline."""
    gone_on = threading.Event()

    def score(query: str, text: str) -> float:
        assert gone_on.wait(PATIENCE_S / 2)
        return shared_letters(query, text)

    async def both(reranker: RemoteReranker) -> Ranking:
        asked = asyncio.create_task(reranker.arank(QUERY, DOCUMENTS))
        await asyncio.to_thread(server.await_call, PATIENCE_S)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not asked.done()
        gone_on.set()
        ranking = await asked
        server.faults.append(Fault(hang=True))
        with pytest.raises(DeadlineError):
            await reranker.arank(QUERY, ["other"], deadline_s=0.2)
        return ranking

    with FakeVendor("cohere", score=score) as server, opened(server) as reranker:
        assert asyncio.run(both(reranker)).indices == BEST_FIRST


def test_a_forked_child_opens_its_own_connections(server: FakeVendor, reranker: RemoteReranker) -> None:
    """And the parent's go on working."""
    assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
    assert holds_in_a_child(lambda: reranker.rank(QUERY + "!", DOCUMENTS).indices == BEST_FIRST)
    assert reranker.rank(QUERY, ["other"]).indices == [0]


def test_a_forked_child_has_a_budget_of_its_own() -> None:
    """Whose lock nobody holds, and of which nothing is under way."""
    budget = Budget(1.0)
    budget.reserve(10**9)
    with budget._lock:  # as another thread of the parent may hold it at that moment
        assert holds_in_a_child(lambda: budget.reserve(10**9) is None)
    with pytest.raises(BudgetError, match=r"and 1\.0000 under way"):
        budget.reserve(1)


def test_a_pickle_holds_no_key(server: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy takes it from the environment; a server by URL, which has no variable, says so when it is pickled."""
    with opened(server) as reranker:
        pickled = pickle.dumps(reranker)
        assert b"k-secret" not in pickled
        monkeypatch.setenv("COHERE_API_KEY", "other")
        with pickle.loads(pickled) as copy:
            assert copy.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
    assert server.requests[-1].headers["authorization"] == "Bearer other"
    with RemoteReranker("http://h:1", api_key="k-secret") as reranker, pytest.raises(UsageError, match="not pickled"):
        pickle.dumps(reranker)
    with RemoteReranker("http://h:1") as reranker:
        assert repr(pickle.loads(pickle.dumps(reranker))) == "RemoteReranker('http://h:1', http://h:1)"


def test_no_repr_shows_the_key(server: FakeVendor, reranker: RemoteReranker) -> None:
    """Nor that of anything inside."""
    reranker.rank(QUERY, DOCUMENTS)
    shown = [repr(reranker), repr(reranker._target), repr(reranker._target.key), str(reranker._target.key)]
    assert "k-secret" not in "".join(map(str, shown))
    with pytest.raises(UsageError, match="not pickled"):
        pickle.dumps(reranker._target)


def test_close_waits_for_calls_in_progress() -> None:
    """Later ones raise ClosedError; twice is fine; a reranker that was never used closes too."""
    answered = threading.Event()

    def score(query: str, text: str) -> float:
        assert answered.wait(PATIENCE_S / 2)
        return shared_letters(query, text)

    with FakeVendor(score=score) as server, ThreadPoolExecutor(2) as threads:
        with opened(server) as unused:
            pass
        assert "closed" in repr(unused)
        reranker = opened(server)
        asked = threads.submit(reranker.rank, QUERY, DOCUMENTS)
        server.await_call(PATIENCE_S)
        closing = threads.submit(reranker.close)
        until(lambda: reranker._worker.closed)
        assert not asked.done()
        answered.set()
        assert asked.result().indices == BEST_FIRST
        closing.result()
    reranker.close()
    with pytest.raises(ClosedError):
        reranker.rank(QUERY, ["a"])
    with pytest.raises(ClosedError):
        reranker.score([("a", "b")])
    with pytest.raises(ClosedError):
        reranker.rank_many(["a"], [["b"]])
    with pytest.raises(ClosedError):
        pickle.dumps(reranker)


def test_a_program_ends_without_closing() -> None:
    """At once, and without a warning of things left open."""
    program = """
from crossrank.testing import FakeVendor
from vendors import opened
reranker = opened(FakeVendor("cohere"))
print(reranker.rank("q", ["a", "q"]).indices)
"""
    run = [sys.executable, "-W", "default::ResourceWarning", "-c", program]
    done = subprocess.run(run, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=240, check=True)
    assert (done.stdout, done.stderr) == ("[1, 0]\n", "")


def test_a_loop_that_ends_under_a_call_ends_it_in_words() -> None:
    """A call that began as another thread closed it gets a ClosedError, sync and async, and not a library's error."""

    async def nothing() -> None:
        """What is done last, and what is asked of a loop that has ended."""

    async def forever() -> None:
        await asyncio.Event().wait()

    for run in (lambda loop: loop.run(forever()), lambda loop: asyncio.run(loop.arun(forever()))):
        loop = Loop(nothing)
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(run, loop)
            until(lambda loop=loop: asyncio.all_tasks(loop._loop))
            loop._ended()
            with pytest.raises(ClosedError):
                asked.result()
        with pytest.raises(ClosedError):
            loop.run(nothing())


def test_what_is_withdrawn_before_it_has_begun_is_not_begun() -> None:
    """The loop is busy with something else; nothing of it is kept."""
    begun, gate = list[int](), threading.Event()

    async def work() -> None:
        begun.append(1)

    async def nothing() -> None:
        """What is done last."""

    loop = Loop(nothing)
    loop._loop.call_soon_threadsafe(gate.wait, PATIENCE_S)
    promises = [loop.start(work()) for _ in range(2)]
    promises[0].withdraw()
    gate.set()
    promises[1].result(PATIENCE_S)
    with pytest.raises(ClosedError):
        promises[0].result(PATIENCE_S)
    assert (begun, loop._begun) == ([1], set())
    loop.close()


def test_what_nobody_holds_ends_its_thread(server: FakeVendor) -> None:
    """A reranker that was not closed leaves neither a thread nor an open connection behind."""
    before = set(threading.enumerate())
    reranker = opened(server)
    reranker.rank(QUERY, DOCUMENTS)
    (thread,) = (new for new in set(threading.enumerate()) - before if new.name == "crossrank-remote")
    del reranker
    gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    until(lambda: not server._http._open)
