"""Every path answers in its dialect, and our own client reads from each what the ranker said."""

import asyncio
import math
from collections.abc import Iterator

import pytest

from calls import QUERY, SCORES, SHARED, TEXTS, call_of
from crossrank import Reranker
from crossrank.remote import RemoteReranker
from crossrank.server.routes import CALLS
from crossrank.wire import DIALECTS, Call
from serving import FakeRanker, Reusable, Serving, logit, relevance

ORDER = [1, 3, 0, 2]


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving() as server:
        yield server


@pytest.mark.parametrize("path", CALLS)
def test_each_path_answers_in_its_dialect(path: str, server: Serving) -> None:
    """What the dialect's own reader finds is the ranker's order and scores, or scores in the documents' order."""
    answer = server.post(path, call_of(path))
    assert answer.status == 200, answer.body
    dialect = CALLS[path].first
    items = dialect.parse_ranking(answer.body).items
    score = logit if dialect.name == "nvidia" else relevance
    assert [item.index for item in items] == (ORDER if dialect.ranked else [0, 1, 2, 3])
    assert all(math.isclose(item.score, score(QUERY, TEXTS[item.index])) for item in items)
    assert answer.headers["content-type"] == "application/json"
    assert "run;dur=3.000" in answer.headers.get("server-timing", "")


@pytest.mark.parametrize("path", sorted(SHARED))
def test_shared_paths_answer_all_that_share_them(path: str, server: Serving) -> None:
    """`results` with documents as objects and `data` with them as they were sent, whole units, tokens, an id."""
    said = server.post(path, call_of(path, return_documents=True, top_n=2), x_request_id="r-1").json
    assert [item["document"] for item in said["results"]] == [{"text": "abcd"}, {"text": "abc"}]
    assert [item["document"] for item in said["data"]] == ["abcd", "abc"]
    assert [item["score"] for item in said["data"]] == [item["relevance_score"] for item in said["results"]]
    assert said["usage"] == {"total_tokens": 11, "prompt_tokens": 11, "rerank_units": 1}
    assert said["meta"]["billed_units"] == {"search_units": 1}
    assert said["meta"]["api_version"]["version"] == ("2" if path == "/v2/rerank" else "1")
    assert (said["id"], said["model"], said["object"]) == ("r-1", "m", "list")


@pytest.mark.parametrize("path", sorted(SHARED))
def test_a_document_is_repeated_only_where_that_is_asked(path: str, server: Serving) -> None:
    """The key is left out, never null: clients refuse null."""
    for more in ({}, {"return_documents": False}, {"return_documents": None}):
        answer = server.post(path, call_of(path, **more))
        assert b"document" not in answer.body
        assert b"null" not in answer.body


@pytest.mark.parametrize("path", sorted(SHARED - {"/v2/rerank"}))
def test_texts_in_the_body_are_tei(path: str, server: Serving) -> None:
    """A bare list, with texts and raw scores where those are asked for, and TEI's headers."""
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True, "truncate": None}
    answer = server.post(path, body)
    assert answer.json == [{"index": i, "score": logit(QUERY, TEXTS[i]), "text": TEXTS[i]} for i in ORDER]
    assert answer.headers["x-total-time"] == "6"
    assert answer.headers["x-inference-time"] == "3"
    assert server.post(path, {**body, "texts": []}).json["error_type"] == "Validation"


@pytest.mark.parametrize("path", ["/reranking", "/v1/reranking", "/mixedbread/v1/reranking"])
def test_input_in_the_body_is_mixedbread(path: str, server: Serving) -> None:
    """`data` with `score` and `input`."""
    said = server.post(path, {"model": "m", "query": QUERY, "input": TEXTS, "top_k": 1, "return_input": True}).json
    assert said["data"] == [{"index": 1, "score": relevance(QUERY, "abcd"), "input": "abcd", "object": "rank_result"}]


@pytest.mark.parametrize("path", SCORES)
def test_scores_come_in_the_order_of_the_documents(path: str, server: Serving) -> None:
    """1:1, 1:N and N:N; raw where the activation is left out."""
    expected = [{"index": i, "score": relevance(QUERY, text), "object": "score"} for i, text in enumerate(TEXTS)]
    assert server.post(path, {"queries": QUERY, "documents": TEXTS}).json["data"] == expected
    assert server.post(path, {"text_1": [QUERY], "text_2": "a"}).json["data"] == expected[:1]
    body = {"text_1": ["ab", "xy"], "text_2": ["a", "x"], "use_activation": False}
    said = server.post(path, body).json
    assert [item["score"] for item in said["data"]] == [logit("ab", "a"), logit("xy", "x")]
    assert server.ranker.calls[-1] == {"pairs": [("ab", "a"), ("xy", "x")]}
    assert server.post(path, {**body, "instruction": "i"}).status == 400


@pytest.mark.parametrize("path", ["/vllm/rerank", "/vllm/v1/rerank", "/vllm/v2/rerank"])
def test_vllm_always_repeats_the_documents(path: str, server: Serving) -> None:
    """As vLLM does, whose clients read them."""
    said = server.post(path, {"query": QUERY, "documents": "abcd"}).json
    assert said["results"][0]["document"] == {"text": "abcd"}


def test_what_a_call_says_reaches_the_ranker(server: Serving) -> None:
    """Fields, instruction, number of results and priority, under any name; 0 is the highest priority there is."""
    documents = [{"title": "t", "text": "a"}, {"title": "u", "text": "b"}]
    more = {"rank_fields": ["title", "text"], "instruction": "i", "top_k": 1, "priority": 7}
    server.post("/v2/rerank", {"model": "m", "query": "q", "documents": documents, **more})
    said = server.ranker.calls[-1]
    assert (said["documents"], said["fields"], said["instruction"]) == (documents, ("title", "text"), "i")
    assert (said["top_k"], said["priority"]) == (1, -7)
    assert 0 < said["deadline_s"] <= server.settings.timeout_s
    server.post("/v2/rerank", {"model": "m", "query": "q", "documents": documents, "priority": -9})
    assert server.ranker.calls[-1]["priority"] == 0


def test_more_results_than_documents_are_all(server: Serving) -> None:
    """A large top_n is no mistake."""
    assert len(server.post("/v1/rerank", call_of("/v1/rerank", top_n=10**20)).json["results"]) == 4


def test_structured_documents_come_back_with_a_text(server: Serving) -> None:
    """In `results` an object has a `text`, in `data` it is as it was sent."""
    documents = [{"content": "abcd", "n": 1}]
    said = server.post("/v1/rerank", {"query": QUERY, "documents": documents, "return_documents": True}).json
    assert said["results"][0]["document"] == {"content": "abcd", "n": 1, "text": "abcd"}
    assert said["data"][0]["document"] == documents[0]


PREFIXED = {
    "cohere:m": "/cohere",
    "cohere-v1:m": "/cohere",
    "voyage:m": "/voyage/v1",
    "jina:m": "/jina",
    "tei:": "/tei",
    "vllm:m": "/vllm",
    "vllm-score:m": "/vllm",
    "infinity:m": "/infinity",
    "mixedbread:m": "/mixedbread",
    "together:m": "/together/v1",
    "pinecone:m": "/pinecone",
    "nim:m": "/nvidia",
    "crossrank:m": "",
}
BARE = dict.fromkeys(set(PREFIXED) - {"crossrank:m"}, "")


@pytest.fixture(scope="module")
def bundled_server(bundled: Reranker) -> Iterator[Serving]:
    with Serving(Reusable(bundled)) as server:
        yield server


@pytest.mark.parametrize(("spec", "prefix"), [*PREFIXED.items(), *BARE.items()])
def test_our_own_client_gets_what_the_model_says(
    spec: str, prefix: str, bundled_server: Serving, bundled: Reranker
) -> None:
    """Through every dialect, below its prefix and on the shared paths: the local ranking's order and very scores."""
    documents = ["Python was made by Guido van Rossum.", "Ruby was made by Matz.", "Snakes eat mice.", "Guido"]
    query = "Who made Python?"
    local = bundled.rank(query, documents)
    with RemoteReranker(spec, base_url=bundled_server.url + prefix, api_key="k") as remote:
        ranking = remote.rank(query, documents)
        awaited = asyncio.run(remote.arank(query, documents, top_k=2))
    assert ranking.indices == local.indices
    expected = [hit.logit for hit in local] if spec == "nim:m" else local.scores
    assert ranking.scores == expected
    assert awaited.indices == local.indices[:2]


def test_our_client_finds_out_by_itself_what_it_talks_to(bundled_server: Serving) -> None:
    """A bare URL is asked, and speaks our own dialect, in which details come along."""
    with RemoteReranker(bundled_server.url) as remote:
        hit = remote.rank("Who?", ["Guido"])[0]
    assert hit.tokens is not None
    assert hit.truncated is False


def test_a_dialect_without_logits_says_so() -> None:
    """Raw scores of a ranker that has none are refused, not made up."""
    ranker = FakeRanker()
    ranker.unscored = frozenset({0})
    with Serving(ranker) as server:
        answer = server.post("/tei/rerank", {"query": "q", "texts": ["a"], "raw_scores": True})
        assert (answer.status, answer.json["error_type"]) == (400, "Validation")
        said = server.post("/v1/rerank", {"query": "q", "documents": ["a", "b"]}).json
        assert [item["relevance_score"] for item in said["results"] if item["index"] == 0] == [0.0]


def test_every_dialect_has_a_path_of_its_own() -> None:
    """And each path is that of a dialect that there is."""
    spoken = {dialect.name for route in CALLS.values() for dialect in route.dialects.values()}
    assert spoken == {*DIALECTS, "superset", "superset-v2"}
    assert Call("q", ()).priority == 0
