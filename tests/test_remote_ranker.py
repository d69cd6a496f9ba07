"""A remote reranker behaves like the local one: the same calls, the same ranking, whatever a vendor's ways are."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pytest

from crossrank import Cascade, Failover, Ranker, Ranking, Reranker, Stage
from crossrank.engine.cache import MemoryCache
from crossrank.errors import ArgumentTypeError, DeadlineError, QueryTooLongError, UsageError
from crossrank.remote import Limits, RemoteReranker, Retry, VendorError
from crossrank.remote.spec import RemoteFacts
from crossrank.testing import FakeVendor, Fault, shared_letters
from crossrank.wire import Item
from vendors import PATIENCE_S, opened

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


def test_hits_are_the_callers_documents(server: FakeVendor, reranker: RemoteReranker) -> None:
    """By identity, whatever their shape, with rank, index, score, and who scored."""
    documents: list[Any] = [{"text": "zebra", "id": 1}, SimpleNamespace(page_content="who"), QUERY, {"a": "python"}]
    ranking = reranker.rank(QUERY, documents)
    assert isinstance(reranker, Ranker)
    assert [hit.document for hit in ranking] == [documents[i] for i in ranking.indices]
    assert all(hit.document is documents[hit.index] for hit in ranking)
    assert ranking.indices == [2, 3, 1, 0]
    assert ranking[0].score == 1.0
    assert {hit.scored_by for hit in ranking} == {"rerank-v4.0-pro"}
    assert server.calls[0].documents == ("zebra", "who", QUERY, "a: python")
    assert ranking.query == QUERY
    assert ranking.timings["total"] >= ranking.timings["run"] > 0


def test_arguments_are_those_of_the_local_one(server: FakeVendor, reranker: RemoteReranker) -> None:
    """top_k, threshold, fields; equal scores keep the caller's order; nothing to rank asks nobody."""
    assert reranker.rank(QUERY, DOCUMENTS, top_k=2).indices == [2, 3]
    assert reranker.rank(QUERY, DOCUMENTS, threshold=0.9).indices == [2]
    assert reranker.rank(QUERY, ["b", "python", "bb", "python"]).indices == [1, 3, 0, 2]
    assert reranker.rank(QUERY, [{"a": "python", "b": "x"}], fields=["a"])[0].text == "a: python"
    asked = len(server.calls)
    assert len(reranker.rank(QUERY, [])) == 0
    assert len(server.calls) == asked
    for mistake, arguments in (
        (UsageError, {"query": " ", "documents": ["a"]}),
        (ArgumentTypeError, {"query": ["a"], "documents": "q"}),
        (ArgumentTypeError, {"query": "q", "documents": "text"}),
        (ArgumentTypeError, {"query": "q", "documents": ["a", None]}),
        (UsageError, {"query": "q", "documents": ["a"], "top_k": 0}),
        (ArgumentTypeError, {"query": "q", "documents": ["a"], "deadline_s": "1"}),
        (UsageError, {"query": "q", "documents": ["a"], "instruction": "Find facts."}),
        (UsageError, {"query": "q", "documents": ["a"], "threshold_on": "probability"}),
        (ArgumentTypeError, {"query": "q", "documents": ["a"], "priority": "high"}),
    ):
        with pytest.raises(mistake):
            reranker.rank(**arguments)
    with pytest.raises(UsageError, match="no calibration"):
        reranker.rank_many(["q"], [["a"]], threshold=0.5, threshold_on="probability")
    assert len(server.calls) == asked


def test_an_empty_document_is_not_sent_but_ranked_last(server: FakeVendor, reranker: RemoteReranker) -> None:
    """Where the vendor refuses it; it has no score, so a threshold leaves it out, and score() gives NaN."""
    documents = ["", "zebra", " \n", QUERY]
    ranking = reranker.rank(QUERY, documents)
    assert ranking.indices == [3, 1, 0, 2]
    assert ranking.scores[2:] == [None, None]
    assert server.calls[0].documents == ("zebra", QUERY)
    assert reranker.rank(QUERY, documents, threshold=0.0).indices == [3, 1]
    assert reranker.rank(QUERY, ["", ""]).scores == [None, None]
    scores = reranker.score([(QUERY, ""), (QUERY, QUERY)])
    assert np.isnan(scores[0])
    assert scores[1] == 1.0
    with FakeVendor("vllm") as takes_all, opened(takes_all, "vllm:m") as reranker:
        assert reranker.rank(QUERY, documents).indices == [3, 1, 2, 0]


def test_equal_texts_are_paid_for_once_and_known_ones_not_at_all(server: FakeVendor) -> None:
    """In one call and across calls; not with cache=None."""
    cache = MemoryCache()
    with opened(server, cache=cache) as reranker:
        assert reranker.rank(QUERY, ["python", "python"]).usage["pairs"] == 1
        ranking = reranker.rank(QUERY, ["python", "zebra"])
        assert (ranking.usage["pairs"], ranking.usage["cached"]) == (1, 1)
        assert ranking.scores == [shared_letters(QUERY, "python"), shared_letters(QUERY, "zebra")]
        again = reranker.rank(QUERY, ["zebra", "python"])
        assert (again.usage["cached"], again.usage.get("requests", 0)) == (2, 0)
        assert again.scores == ranking.scores
    with opened(server, "cohere:other", cache=cache) as reranker:
        assert reranker.rank(QUERY, ["python"]).usage["cached"] == 0
    with opened(server, cache=None) as reranker:
        assert [reranker.rank(QUERY, ["python"]).usage["pairs"] for _ in range(2)] == [1, 1]


def test_a_cache_of_the_callers_own_is_asked_outside_the_loop(server: FakeVendor) -> None:
    """It may wait for a disk: it gets a thread of its own."""
    threads = set()

    class Disk:
        def __init__(self) -> None:
            self.held = MemoryCache()

        def get_many(self, keys: Any) -> Any:
            threads.add(threading.current_thread().name)
            return self.held.get_many(keys)

        def put_many(self, scored: Any) -> None:
            threads.add(threading.current_thread().name)
            self.held.put_many(scored)

    with opened(server, cache=Disk()) as reranker:
        assert [reranker.rank(QUERY, DOCUMENTS).usage["cached"] for _ in range(2)] == [0, 4]
    assert "crossrank-remote" not in threads


def test_listwise_scores_are_not_kept() -> None:
    """They depend on the other documents."""
    with FakeVendor("jina") as server, opened(server, "jina:jina-reranker-v3") as reranker:
        assert [reranker.rank(QUERY, ["a"]).usage["cached"] for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("documents_max", [1, 3, 1000])
def test_many_documents_go_out_in_calls_within_the_limits(server: FakeVendor, documents_max: int) -> None:
    """And come back as one ranking, the same as of one call."""
    documents = [f"{QUERY[: i % 19]} {i}" for i in range(100)]
    expected = sorted(range(100), key=lambda i: -shared_letters(QUERY, documents[i]))
    with opened(server, limits=Limits(documents_max=documents_max)) as reranker:
        ranking = reranker.rank(QUERY, documents)
    assert ranking.indices == expected
    assert max(len(call.documents) for call in server.calls) <= documents_max
    assert ranking.usage["requests"] == -(-100 // documents_max)
    assert ranking.usage["pairs"] == 100


def test_one_failed_call_of_many_fails_the_ranking_but_the_rest_is_kept(server: FakeVendor) -> None:
    """Nobody gets a ranking with a hole in it, and what was paid for is not paid for again."""
    with opened(server, limits=Limits(documents_max=1), concurrency=1) as reranker:
        server.faults.extend([Fault(), Fault(400, body=b'{"message": "no"}')])
        with pytest.raises(VendorError, match="400: no"):
            reranker.rank(QUERY, DOCUMENTS)
        assert reranker.rank(QUERY, DOCUMENTS).usage["cached"] == 1


def test_a_deadline_keeps_what_came_before_it() -> None:
    """What came too late follows without a score, in input order."""
    over = threading.Event()

    def score(query: str, text: str) -> float:
        assert text in DOCUMENTS[:2] or over.wait(2 * PATIENCE_S)
        return shared_letters(query, text)

    with FakeVendor("cohere", score=score) as server:
        for deadline_s in (0.5, 5, 50):  # until it is one that the first call keeps: the second keeps none
            with opened(server, limits=Limits(documents_max=2), concurrency=1) as reranker, suppress(DeadlineError):
                ranking = reranker.rank(QUERY, DOCUMENTS, deadline_s=deadline_s, threshold=0.01)
                break
        over.set()
    assert ranking.indices == [1, 0, 2, 3]
    assert ranking.scores[2:] == [None, None]
    assert ranking.usage["pairs"] == 2


def test_a_text_beyond_the_limit_is_cut_and_says_so() -> None:
    """A query beyond it is an error."""
    with (
        FakeVendor("infinity") as server,
        opened(server, "infinity:m", limits=Limits(document_characters_max=3)) as reranker,
    ):
        hits = reranker.rank(QUERY, ["who created", "who"]).hits
        assert [(hit.text, hit.truncated) for hit in hits] == [("who created", True), ("who", None)]
        assert server.calls[0].documents == ("who", "who")
    with FakeVendor("infinity") as server, opened(server, "infinity:m") as reranker:
        with pytest.raises(QueryTooLongError, match="122880"):
            reranker.rank("q" * 200_000, ["a"])
        assert server.calls == []


def test_instructions_go_each_vendors_way() -> None:
    """A field, the query, or an error before anything is sent."""
    with FakeVendor("vllm") as server, opened(server, "vllm:m", instruction="Find facts.") as reranker:
        reranker.rank(QUERY, ["a"])
        reranker.rank(QUERY, ["a"], instruction="Find jokes.")
        reranker.score([(QUERY, "b")])
        assert [call.instruction for call in server.calls] == ["Find facts.", "Find jokes.", "Find facts."]
        assert reranker.spent["cached"] == 0
    with FakeVendor("voyage") as server, opened(server, "voyage:rerank-2.5") as reranker:
        assert reranker.rank(QUERY, ["a"], instruction="Find facts.").query == QUERY
        assert server.calls[0].query == f"Find facts.\nQuery: {QUERY}"


def test_fields_go_as_objects_where_the_vendor_reads_them() -> None:
    """In their order; as YAML elsewhere, and where one of them is no text, or a path."""
    documents = [
        {"title": "P", "body": "python", "n": 1, "by": {"name": "A"}},
        {"title": "Z", "body": "zebra", "n": 2, "by": {"name": "B"}},
    ]
    with FakeVendor("together") as server, opened(server, "together:m") as reranker:
        ranking = reranker.rank(QUERY, documents, fields=["body", "title"])
        assert ranking.documents == documents
        assert server.calls[0].fields == ("body", "title")
        assert server.calls[0].documents[0] == {"body": "python", "title": "P"}
        reranker.rank(QUERY, documents, fields=["body", "n"])
        assert (server.calls[1].fields, server.calls[1].documents[0]) == (None, "body: python\nn: 1")
        reranker.rank(QUERY, documents, fields=["body", "by.name"])
        assert (server.calls[2].fields, server.calls[2].documents[0]) == (None, "body: python\nby.name: A")


def test_raw_scores_where_there_are_any(server: FakeVendor, reranker: RemoteReranker) -> None:
    """A vendor without them says so before anything is sent."""
    with pytest.raises(UsageError, match="no raw logits"):
        reranker.score([(QUERY, "a")], raw=True)
    assert server.calls == []
    with FakeVendor("tei", pages={"/info": {"max_client_batch_size": 9}}) as tei, opened(tei, "tei:") as reranker:
        reranker.score([(QUERY, "a")])
        reranker.score([(QUERY, "a")], raw=True)
        assert [call.raw_scores for call in tei.calls] == [False, True]


def test_score_is_in_the_callers_order(server: FakeVendor, reranker: RemoteReranker) -> None:
    """float32, one call for each different query."""
    pairs = [("ab", "b"), ("c", "c"), ("ab", "ab"), ("ab", "b")]
    scores = reranker.score(pairs)
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.5, 1.0, 1.0, 0.5]
    assert sorted(len(call.documents) for call in server.calls) == [1, 2]
    assert reranker.score([]).shape == (0,)
    with pytest.raises(ArgumentTypeError, match=r"pairs\[1\]"):
        reranker.score([("a", "b"), "cd"])  # type: ignore[list-item]


def test_rank_many_is_in_order_and_reads_no_further_than_it_must(server: FakeVendor) -> None:
    """Streams are read a few queries ahead; a mistake in one comes after the good ones before it."""
    taken = []

    def queries() -> Iterator[str]:
        for i in range(50):
            taken.append(i)
            yield f"q{i}"

    with opened(server, concurrency=4) as reranker:
        rankings = reranker.rank_many(queries(), ([f"q{i}", "x"] for i in range(50)), top_k=1)
        first = next(rankings)
        assert (first.query, first[0].text, len(taken)) == ("q0", "q0", 4)
        assert [ranking.query for ranking in rankings] == [f"q{i}" for i in range(1, 50)]
        good = reranker.rank_many(["a", "b", ""], [["a"], ["b"], ["c"]])
        assert [next(good).query, next(good).query] == ["a", "b"]
        with pytest.raises(UsageError, match=r"queries\[2\] is empty"):
            next(good)
        with pytest.raises(UsageError, match="differ in length"):
            list(reranker.rank_many(["a", "b"], [["a"]]))
        with pytest.raises(ArgumentTypeError):
            reranker.rank_many("abc", [["a"]])

        async def many() -> list[str]:
            return [r.query async for r in reranker.arank_many(["a", "b"], [["a"], ["b"]])]

        assert asyncio.run(many()) == ["a", "b"]

        async def mistaken() -> list[str]:
            rankings = reranker.arank_many(["a", ""], [["a"], ["b"]])
            seen = [(await anext(rankings)).query]
            with pytest.raises(UsageError, match=r"queries\[1\] is empty"):
                await anext(rankings)
            return seen

        assert asyncio.run(mistaken()) == ["a"]


def test_a_fallback_answers_where_the_vendor_does_not(server: FakeVendor) -> None:
    """With what was asked, and in what time is left; never for the caller's own mistake."""
    asked: list[dict[str, Any]] = []

    class Local:
        def rank(self, query: str, documents: Any, **given: Any) -> Ranking:
            asked.append(given)
            return Ranking((), query="local")

    with opened(server, fallback=Local(), retry=Retry(retries=0)) as reranker:
        server.faults.extend([Fault(500), Fault(500), Fault(body=b"nonsense"), Fault(hang=True)])
        assert reranker.rank(QUERY, DOCUMENTS).query == "local"
        assert (
            asyncio.run(reranker.arank(QUERY, DOCUMENTS, top_k=1, threshold=0.5, fields=["a"], priority=1)).query
            == "local"
        )
        assert next(reranker.rank_many([QUERY], [DOCUMENTS])).query == "local"
        assert reranker.rank(QUERY, DOCUMENTS, deadline_s=0.1).query == "local"
        server.faults.clear()  # of a call that was too late to be sent
        assert asked == [{}, {"top_k": 1, "threshold": 0.5, "fields": ["a"], "priority": 1}, {}, {"deadline_s": 0.0}]
        with pytest.raises(UsageError):
            reranker.rank("", DOCUMENTS)
        assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
        assert len(asked) == 4


def test_facts_say_who_is_asked(server: FakeVendor) -> None:
    """And never with which key."""
    with opened(server) as reranker:
        assert reranker.facts == RemoteFacts("cohere", "rerank-v4.0-pro", server.url, "cohere")
    with RemoteReranker(server.url, api_key="k-secret") as reranker:
        assert reranker.facts == RemoteFacts("server", None, server.url, None)


def test_the_bundled_model_can_answer_instead(server: FakeVendor, bundled: Reranker) -> None:
    """A fallback that is a local Reranker: each hit says who scored it."""
    with opened(server, fallback=bundled, retry=Retry(retries=0)) as reranker:
        server.faults.append(Fault(503))
        ranking = reranker.rank(QUERY, DOCUMENTS, top_k=1)
        assert ranking.indices == bundled.rank(QUERY, DOCUMENTS, top_k=1).indices
        assert ranking[0].scored_by == "crossrank-mini"
        assert reranker.rank(QUERY, DOCUMENTS)[0].scored_by == "rerank-v4.0-pro"


def test_a_cascade_and_a_failover_of_both(server: FakeVendor, bundled: Reranker) -> None:
    """The local model chooses, the vendor ranks; where the vendor is down, the local one does, and it is told why."""
    with opened(server, retry=Retry(retries=0)) as remote:
        cascade = Cascade([Stage(bundled, keep=2), Stage(Failover([remote, bundled]))])
        ranking = cascade.rank(QUERY, DOCUMENTS)
        assert [hit.scored_by for hit in ranking][:3] == ["rerank-v4.0-pro"] * 2 + ["crossrank-mini"]
        assert (len(ranking), ranking.fallback) == (len(DOCUMENTS), None)
        server.faults.append(Fault(503))
        ranking = asyncio.run(cascade.arank(f"{QUERY} again", DOCUMENTS, deadline_s=PATIENCE_S))
        assert {hit.scored_by for hit in ranking} == {"crossrank-mini"}
        assert ranking.fallback is not None
        assert ranking.fallback.startswith("VendorError")


def test_the_input_order_can_be_the_answer(server: FakeVendor) -> None:
    """`fallback="input-order"`: no score, and the reason."""
    with opened(server, fallback="input-order", retry=Retry(retries=0)) as reranker:
        server.faults.append(Fault(503))
        ranking = reranker.rank(QUERY, DOCUMENTS)
        assert ranking.indices == list(range(len(DOCUMENTS)))
        assert ranking.scores == [None] * len(DOCUMENTS)
        assert ranking.fallback is not None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_either_kind_of_event_loop_can_await_it(server: FakeVendor, backend: str) -> None:
    """One pool of connections serves both."""

    async def main(reranker: RemoteReranker) -> list[list[int]]:
        ranking = await reranker.arank(QUERY, DOCUMENTS)
        return [
            ranking.indices,
            *[r.indices async for r in reranker.arank_many([QUERY, QUERY], [DOCUMENTS, DOCUMENTS])],
        ]

    with opened(server, cache=None) as reranker:
        assert anyio.run(main, reranker, backend=backend) == [BEST_FIRST] * 3


def test_our_own_server_says_what_a_hit_says() -> None:
    """Tokens, cut, and the passage come over the wire."""
    with FakeVendor("crossrank") as server, opened(server, "crossrank:") as reranker:
        server.faults.append(Fault(items=lambda items: [Item(i.index, i.score, None, 7, True, (0, 3)) for i in items]))
        hit = reranker.rank(QUERY, ["who created"])[0]
        assert (hit.tokens, hit.truncated, hit.passage) == (7, True, (0, 3))
