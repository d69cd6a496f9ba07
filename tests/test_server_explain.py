"""POST /crossrank/v1/explain: the library's explanation, behind the same guard as every scoring path."""

import asyncio
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crossrank import Reranker
from crossrank.explain import explain
from crossrank.explain.explain import CHARACTERS_MAX, UNITS_MAX
from crossrank.server.explaining import AT_A_TIME, PASSAGE_MAX, UNITS, Explainer
from crossrank.server.routes import EXPLAIN
from crossrank.wire import Call
from serving import WAIT_S, FakeRanker, Reusable, Serving

QUERY = "Who created Python?"
TEXT = "Snakes eat mice. Guido 😀 created Python."


@pytest.fixture(scope="module")
def server(bundled: Reranker) -> Iterator[Serving]:
    with Serving(Reusable(bundled), model=("mini",)) as server:
        yield server


class Explained(FakeRanker):
    """Explains by a number a letter, once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)

    def score(self, pairs: Any, *, raw: bool = False) -> list[float]:
        return [float(len(text)) for _, text in pairs]

    def explain(self, query: str, document: Any, *, unit: Any, fields: Any) -> Any:
        self.begun.release()
        assert self.free.wait(WAIT_S)
        return explain(self, query, document, unit=unit, fields=fields)


@pytest.mark.parametrize("unit", ["sentence", "word"])
@pytest.mark.parametrize("document", [TEXT, {"title": "Languages", "text": TEXT, "year": 1991}])
def test_it_is_the_library_s_explanation(server: Serving, bundled: Reranker, unit: Any, document: Any) -> None:
    """Spans, shares, what they add up to; positions count characters."""
    fields = ["title", "text"] if isinstance(document, dict) else None
    said = server.post(EXPLAIN, {"query": QUERY, "document": document, "unit": unit, "fields": fields}).json
    local = bundled.explain(QUERY, document, unit=unit, fields=fields).to_dict()
    assert {name: said[name] for name in local if name not in ("spans", "passage")} == {
        name: value for name, value in local.items() if name not in ("spans", "passage")
    }
    assert said["spans"] == list(local["spans"])
    assert all(said["text"][span["start"] : span["end"]] == span["text"] for span in said["spans"])
    assert math.isclose(sum(span["share"] for span in said["spans"]), said["whole"] - said["empty"], abs_tol=1e-6)
    assert (said["version"], said["model"]) == (1, "mini")


@pytest.mark.parametrize(
    "body",
    [
        {"query": " ", "document": "a"},
        {"query": "q"},
        {"query": "q", "document": None},
        {"query": "q", "document": ["a"]},
        {"query": "q", "document": "a", "unit": "letter"},
        {"query": "q", "document": {}, "fields": ["x"]},
        b"{",
    ],
)
def test_mistakes_are_400s(server: Serving, body: Any) -> None:
    """In our own shape."""
    answer = server.post(EXPLAIN, body)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_request"


def test_a_ranker_that_explains_nothing_says_so() -> None:
    """And a model that is not served is a 404."""
    with Serving(strict_models=True) as server:
        answer = server.post(EXPLAIN, {"query": "q", "document": "a"})
        assert (answer.status, "explains nothing" in answer.json["error"]["message"]) == (400, True)
        assert server.post(EXPLAIN, {"query": "q", "document": "a", "model": "other"}).status == 404


def test_the_guard_stands_before_it() -> None:
    """Key, models of a key, size, type, and a quota that counts the pairs that are scored."""
    body = {"query": "q", "document": "one two three", "unit": "word"}
    with Serving(Explained(), environ={"CROSSRANK_API_KEY": "k"}, documents_per_minute=10, body_mb_max=1) as server:
        assert server.post(EXPLAIN, body).status == 401
        assert server.post(EXPLAIN, {"query": "q", "document": "x" * 1_100_000}, key="k").status == 413
        assert server.post(EXPLAIN, body, key="k", content_type="text/plain").status == 415
        assert server.post(EXPLAIN, body, key="k").status == 200
        assert server.post(EXPLAIN, body, key="k").status == 429
    with Serving(Explained(), tokens_max=100) as server:
        assert server.post(EXPLAIN, {"query": "q", "document": "word " * 60, "unit": "word"}).status == 413


def test_few_are_made_at_a_time_and_the_others_wait_within_bounds() -> None:
    """Rankings are served meanwhile; those at work are answered."""
    ranker = Explained()
    ranker.free.clear()
    body = {"query": "q", "document": "a"}
    with Serving(ranker) as server, ThreadPoolExecutor(AT_A_TIME) as pool:
        working = [pool.submit(server.post, EXPLAIN, body) for _ in range(AT_A_TIME)]
        for _ in working:
            assert ranker.begun.acquire(timeout=WAIT_S)
        assert server.post("/v1/rerank", {"query": "q", "documents": ["a"]}).status == 200
        ranker.free.set()
        assert [done.result().status for done in working] == [200] * AT_A_TIME
        assert server.app.guard.work == server.app.guard.calls == 0


def test_who_finds_no_place_in_time_is_told() -> None:
    """By a 504, as those whose explanation takes too long; nothing of it is begun."""
    ranker = Explained()
    ranker.free.clear()
    with Serving(ranker, timeout_s=1) as server, ThreadPoolExecutor(AT_A_TIME + 1) as pool:
        late = [pool.submit(server.post, EXPLAIN, {"query": "q", "document": "a"}) for _ in range(AT_A_TIME + 1)]
        assert [done.result().status for done in late] == [504] * (AT_A_TIME + 1)
        begun = 0
        while ranker.begun.acquire(blocking=False):
            begun += 1
        assert begun <= AT_A_TIME
        ranker.free.set()


def test_who_leaves_keeps_the_place_until_the_thread_is_done() -> None:
    """Threads of callers who hung up cannot pile up."""
    ranker = Explained()
    ranker.free.clear()

    async def leave() -> bool:
        explainer, call = Explainer(), Call("q", ("a",))
        for _ in range(AT_A_TIME):
            asking = asyncio.ensure_future(explainer.explain(ranker, call, "word"))
            assert await asyncio.to_thread(ranker.begun.acquire, timeout=WAIT_S)
            asking.cancel()
        waiting = asyncio.ensure_future(explainer.explain(ranker, call, "word"))
        begun = await asyncio.to_thread(ranker.begun.acquire, timeout=0.05)
        ranker.free.set()
        await waiting
        return begun

    assert asyncio.run(leave()) is False


def test_what_it_costs_is_what_the_library_does() -> None:
    """The estimate's bounds are the library's own."""
    assert {unit: units for unit, (units, _) in UNITS.items()} == dict(UNITS_MAX)
    assert PASSAGE_MAX == CHARACTERS_MAX
