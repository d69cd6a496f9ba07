"""What a caller can get wrong: always an error of 4xx in the dialect's own shape, short, and never a 500."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls import SHARED, call_of, mutated
from crossrank.server.routes import CALLS
from serving import Serving

MESSAGE_BYTES = 4_000  # an error's: the superset says a message of at most 500 characters three times
SHAPES = {
    "superset": lambda said: said["message"] == said["detail"] == said["error"]["message"],
    "superset-v2": lambda said: said["message"] == said["detail"] == said["error"]["message"],
    "cohere": lambda said: isinstance(said["message"], str) and isinstance(said["id"], str),
    "cohere-v1": lambda said: isinstance(said["message"], str) and isinstance(said["id"], str),
    "voyage": lambda said: isinstance(said["detail"], str),
    "mixedbread": lambda said: isinstance(said["detail"], str),
    "nvidia": lambda said: isinstance(said["detail"], str),
    "jina": lambda said: isinstance(said["detail"], str) and isinstance(said["request_id"], str),
    "tei": lambda said: isinstance(said["error"], str) and said["error_type"] == "Validation",
    "vllm": lambda said: said["error"].keys() == {"message", "type", "param", "code"},
    "vllm-score": lambda said: said["error"].keys() == {"message", "type", "param", "code"},
    "infinity": lambda said: said["error"].keys() == {"message", "type", "param", "code"},
    "together": lambda said: said["error"].keys() == {"message", "type", "param", "code"},
    "pinecone": lambda said: said["error"].keys() == {"message", "type", "param", "code"},
    "crossrank": lambda said: isinstance(said["error"]["message"], str) and isinstance(said["id"], str),
}
every_path = pytest.mark.parametrize("path", CALLS)


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving() as server:
        yield server


def bad_bodies(path: str) -> dict[str, bytes]:
    """Bodies that are wrong in one thing each."""
    right = json.dumps(call_of(path)).encode()
    inner = right[1:-1]
    query = b'"text_1": "abcd"' if path.endswith("score") else b'"abcd"'
    documents = next(
        key for key in (b'"documents"', b'"texts"', b'"input"', b'"passages"', b'"text_2"') if key in right
    )
    cut = right[: right.index(documents)].rstrip(b", ")
    return {
        "empty": b"",
        "no JSON": b"query=a",
        "half": right[: len(right) // 2],
        "a list": b"[" + right + b"]",
        "null": b"null",
        "a byte order mark": b"\xef\xbb\xbf" + right,
        "UTF-16": right.decode().encode("utf-16"),
        "no UTF-8": right.replace(b"abcd", b"ab\xff", 1),
        "a lone surrogate": right.replace(b"abcd", b"ab\\ud83d", 1),
        "NaN": b'{"top_n": NaN, "top_k": NaN, ' + inner + b"}",
        "Infinity": b'{"top_n": -Infinity, "top_k": Infinity, ' + inner + b"}",
        "nested deeply": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b", " + inner + b"}",
        "documents nested deeply": cut + b", " + documents + b": " + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "no documents": cut + b"}",
        "empty documents": cut + b", " + documents + b": []}",
        "documents of null": cut + b", " + documents + b": [null]}",
        "documents of numbers": cut + b", " + documents + b": [1, 2]}",
        "documents null": cut + b", " + documents + b": null}",
        "a number for a query": right.replace(query, query.replace(b'"abcd"', b"1"), 1),
        "a blank query": right.replace(query, query.replace(b"abcd", b" \\n "), 1),
    }


@every_path
def test_every_mistake_is_a_400_in_the_dialect_s_shape(path: str, server: Serving) -> None:
    """With the status that each SDK turns into its class for bad requests; the message is short."""
    for name, body in bad_bodies(path).items():
        answer = server.post(path, body)
        assert answer.status == 400, (name, answer)
        assert len(answer.body) < MESSAGE_BYTES, name
        shape = CALLS[path].dialect(body).name
        assert SHAPES[shape](answer.json), (name, answer.body)


@pytest.mark.parametrize("path", sorted(SHARED | {"/cohere/v2/rerank", "/cohere/v1/rerank", "/jina/v1/rerank"}))
@pytest.mark.parametrize("number", ["-1", "1.5", '"3"', "true", "1e400", "[]", "{}"])
def test_a_number_of_results_that_is_none(path: str, number: str, server: Serving) -> None:
    """A whole number, or an error that names it."""
    body = json.dumps(call_of(path))[:-1] + f', "top_n": {number}}}'
    answer = server.post(path, body.encode())
    assert answer.status == 400
    assert b"top_n" in answer.body or b"number" in answer.body.lower()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v2/rerank", 400), ("/v1/rerank", 200), ("/rerank", 200), ("/vllm/rerank", 200), ("/jina/v1/rerank", 400)],
)
def test_no_results(path: str, status: int, server: Serving) -> None:
    """top_n 0 is all to vLLM and on shared paths, and a mistake to Cohere's second version and to Jina."""
    assert server.post(path, call_of(path, top_n=0)).status == status


@every_path
def test_null_is_nothing(path: str, server: Serving) -> None:
    """Every optional field may be null: some SDKs send them so always."""
    names = [
        *("top_n", "top_k", "return_documents", "rank_fields", "max_tokens_per_doc", "max_chunks_per_doc", "truncate"),
        *("truncation", "raw_scores", "return_text", "truncation_direction", "parameters", "instruction", "priority"),
        *("use_activation", "truncate_prompt_tokens", "user", "return_input", "max_doc_length", "tokens_max", "fields"),
    ]
    answer = server.post(path, {**call_of(path), **dict.fromkeys(names)})
    assert answer.status == 200, answer.body


@every_path
def test_unknown_fields_are_read_past(path: str, server: Serving) -> None:
    """Clients send what other servers know."""
    more = {"max_chunks_per_doc": 3, "relevant_spans": {"mode": "enabled"}, "user": "u", "made_up": [1, {"a": None}]}
    assert server.post(path, {**call_of(path), **more}).status == 200


def test_a_strict_server_refuses_unknown_fields_in_cohere_s_words() -> None:
    """On the paths that are Cohere's, with 422."""
    with Serving(strict_fields=True) as server:
        for path in ("/v2/rerank", "/v1/rerank", "/cohere/v2/rerank"):
            answer = server.post(path, call_of(path, top_k=1))
            assert (answer.status, answer.json["message"]) == (
                422,
                "unknown field: parameter 'top_k' is not a valid field",
            )
            assert server.post(path, call_of(path, top_n=1)).status == 200
        assert server.post("/rerank", call_of("/rerank", top_k=1)).status == 200


def test_errors_do_not_grow_with_their_cause(server: Serving) -> None:
    """5,000 wrong documents and a path of 10,000 letters give a short message."""
    answer = server.post("/v1/rerank", {"query": "q", "documents": [{"a": 1}, 5] * 5_000})
    assert answer.status == 400
    assert len(answer.body) < MESSAGE_BYTES
    assert len(server.post("/" + "x" * 10_000, {}).body) < MESSAGE_BYTES
    assert len(server.post("/v1/rerank", {"query": "q", "documents": ["a"], "model": "m" * 10_000}).json["model"]) > 9


def test_documents_without_text_are_rendered(server: Serving) -> None:
    """Objects of any kind are documents; one that is nested too deeply is named."""
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"a": deep}
    assert server.post("/v1/rerank", {"query": "q", "documents": [{"a": {"b": [1, None]}}, {}]}).status == 200
    answer = server.post("/v1/rerank", {"query": "q", "documents": ["a", deep]})
    assert answer.status == 400
    assert "documents[1]" in answer.json["message"]
    answer = server.post("/v1/rerank", {"query": "q", "documents": [{"a": "b"}], "rank_fields": ["c", "d"]})
    assert answer.status == 400
    assert "'c'" in answer.json["message"]


def test_texts_that_must_not_be_cut(server: Serving) -> None:
    """Where a call says so, a document that does not fit is an error; else it is cut."""
    server.ranker.truncated = True
    try:
        for path, more in (("/tei/rerank", {"truncate": False}), ("/voyage/v1/rerank", {"truncation": False})):
            answer = server.post(path, call_of(path, **more))
            assert answer.status == 400
            assert b"too many tokens: documents[1]" in answer.body
            assert server.post(path, call_of(path)).status == 200
    finally:
        server.ranker.truncated = False


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_read(kind: str, server: Serving) -> None:
    """What a web page can send anywhere without asking is refused with 415."""
    answer = server.ask("POST", "/v1/rerank", json.dumps(call_of("/v1/rerank")).encode(), content_type=kind)
    assert (answer.status, answer.json["error"]["code"]) == (415, "invalid_request")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
def test_json_by_any_name_is_read(kind: str, server: Serving) -> None:
    """Parameters, capitals and types of JSON."""
    body = json.dumps(call_of("/v1/rerank")).encode()
    assert server.ask("POST", "/v1/rerank", body, content_type=kind).status == 200


def test_paths_and_methods_that_there_are_not(server: Serving) -> None:
    """404 for the one, 405 with Allow for the other; a slash at the end does not matter."""
    assert server.get("/nope").status == 404
    assert server.post("/v3/rerank", {}).json["message"].startswith("there is no /v3/rerank")
    answer = server.ask("PUT", "/v1/rerank")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert server.ask("DELETE", "/health").headers["allow"] == "GET, HEAD"
    assert server.post("/v1/rerank/", call_of("/v1/rerank")).status == 200


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
words = st.sampled_from(["query", "documents", "texts", "input", "top_n", "top_k", "model", "text", "instruction"])
words |= st.sampled_from(["text_1", "text_2", "passages", "priority", "rank_fields", "parameters", "return_documents"])
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(words, t, max_size=6), max_leaves=12)


@pytest.mark.property
def test_whatever_comes_is_answered_and_never_with_a_5xx(server: Serving) -> None:
    """Any JSON on any path, and any bytes."""

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(sorted(CALLS)), st.binary(max_size=30) | trees.map(lambda t: json.dumps(t).encode()))
    def law(path: str, body: bytes) -> None:
        answer = server.post(path, body)
        assert answer.status in (200, 400), (path, body, answer)

    law()


def test_a_few_hundred_mutated_bodies(server: Serving) -> None:
    """No 5xx; the seed is fixed, so that what fails fails again."""
    dice = random.Random(7)
    for _ in range(400):
        path = dice.choice(sorted(CALLS))
        body = mutated(dice, json.dumps(call_of(path, top_n=2, return_documents=True)).encode())
        answer = server.post(path, body)
        assert answer.status in (200, 400, 404), (path, body, answer)
