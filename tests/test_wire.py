"""What one side of a dialect dumps the other parses to the same, and bodies of the documented contracts are read."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.errors import CrossrankError
from crossrank.wire import DIALECTS, SUPERSET, SUPERSET_V2, Answer, Call, Dialect, Failure, Item, WireError
from crossrank.wire.cohere import check_known
from crossrank.wire.contract import UnknownFieldError
from crossrank.wire.vllm import parse_score_calls

BODIES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "data" / "wire").glob("*.json")}
SCORED = ("relevance_score", "score", "logit")
SPOKEN = {**DIALECTS, SUPERSET.name: SUPERSET, SUPERSET_V2.name: SUPERSET_V2}  # the last two by servers only
every_spoken = pytest.mark.parametrize("dialect", SPOKEN.values(), ids=SPOKEN)
every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
named = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
flags = st.none() | st.booleans()
counts = st.none() | st.integers(1, 1000)


def documents_of(dialect: Dialect) -> st.SearchStrategy[Any]:
    structured = st.dictionaries(
        named, text, min_size=2, max_size=3
    )  # one with a mere `text` is that text, see body.py
    return st.lists(st.one_of(text, structured) if dialect.objects else text, max_size=4).map(tuple)


def calls(dialect: Dialect) -> st.SearchStrategy[Call]:
    """Calls with what the dialect can carry."""
    possible = {
        "model": st.none() | named,
        "top_n": counts,
        "fields": st.none() | st.lists(named, min_size=2, max_size=3).map(tuple),
        "return_documents": st.booleans(),
        "instruction": st.none() | named,
        "truncate": flags,
        "tokens_max": counts,
        "raw_scores": st.booleans(),
        "priority": st.integers(0, 999),
    }
    carried = {name: possible[name] for name in dialect.calls}
    return st.builds(Call, query=text, documents=documents_of(dialect), **carried)


def answers(dialect: Dialect) -> st.SearchStrategy[Answer]:
    """Answers with what the dialect can carry."""
    document = st.one_of(st.none(), text) if "documents" in dialect.answers else st.none()
    details = {
        "tokens": st.none() | st.integers(0, 9),
        "truncated": flags,
        "passage": st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    }
    score = st.floats(allow_nan=False, allow_infinity=False)
    more = details if "details" in dialect.answers else {}
    items = st.lists(st.builds(Item, st.integers(0, 99), score, document, **more), max_size=4)
    possible = {"model": st.none() | named, "id": st.none() | named, "tokens": st.integers(0, 9)}
    carried = {name: possible[name] for name in dialect.answers if name in possible}
    if "search_units" in dialect.answers:
        carried["search_units"] = st.integers(0, 9)
    ordered = items if dialect.ranked else items.map(lambda found: sorted(found, key=lambda item: item.index))
    return st.builds(Answer, ordered.map(tuple), **carried)


def failures(dialect: Dialect) -> st.SearchStrategy[Failure]:
    printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
    more = dict.fromkeys(dialect.failures, printable if dialect.name == "tei" else st.none() | printable)
    return st.builds(Failure, printable, **more)


@every_spoken
@pytest.mark.property
def test_a_call_survives_the_wire(dialect: Dialect) -> None:
    """parse_call(dump_call(call)) is the call."""

    @given(calls(dialect))
    def law(call: Call) -> None:
        assert dialect.parse_call(dialect.dump_call(call)) == call

    law()


@every_spoken
@pytest.mark.property
def test_an_answer_survives_the_wire(dialect: Dialect) -> None:
    """parse_ranking(dump_ranking(answer)) is the answer, each score with the same bits."""

    @given(answers(dialect))
    def law(answer: Answer) -> None:
        assert dialect.parse_ranking(dialect.dump_ranking(answer)) == answer

    law()


@every_spoken
@pytest.mark.property
def test_an_error_survives_the_wire(dialect: Dialect) -> None:
    """parse_error(dump_error(failure)) is the failure."""

    @given(failures(dialect))
    def law(failure: Failure) -> None:
        assert dialect.parse_error(dialect.dump_error(failure)) == failure

    law()


@every_spoken
@pytest.mark.property
def test_whatever_comes_is_read_or_refused_in_words(dialect: Dialect) -> None:
    """Any JSON and any bytes give a value or a WireError, and an error body always gives a Failure."""
    leaves = st.none() | st.booleans() | st.floats() | st.integers() | text
    keys = st.sampled_from(
        ["results", "data", "rankings", "hits", "index", "score", "relevance_score", "error", "detail"]
    )
    trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(keys, t, max_size=3), max_leaves=9)

    @given(st.binary(max_size=30) | trees.map(lambda tree: json.dumps(tree).encode()))
    def law(body: bytes) -> None:
        assert isinstance(dialect.parse_error(body), Failure)
        for parse in (dialect.parse_call, dialect.parse_ranking):
            with suppress(WireError):
                parse(body)

    law()


@every_dialect
def test_documented_bodies_are_read(dialect: Dialect) -> None:
    """The call, the answer and the errors that the vendor documents mean what they say."""
    said = BODIES[dialect.name]
    call = dialect.parse_call(json.dumps(said["call"]).encode())
    assert call.query == "What is the capital of the United States?"
    assert len(call.documents) == 3
    assert call.model == said["call"].get("model")
    answer = dialect.parse_ranking(json.dumps(said["answer"]).encode())
    assert [[item.index, item.score] for item in answer.items] == said["expected"]["scores"]
    for name in ("tokens", "search_units", "model", "id"):
        assert getattr(answer, name) == said["expected"].get(name), name
    for error in said["errors"]:
        body = error["body"] if isinstance(error["body"], str) else json.dumps(error["body"])
        expected = Failure(error["message"], error.get("code"), error.get("id"))
        assert dialect.parse_error(body.encode()) == expected


@every_dialect
def test_what_is_dumped_is_what_the_vendor_documents(dialect: Dialect) -> None:
    """A documented call, read and written again, has no key that the documented one lacks, and the same values."""
    said = BODIES[dialect.name]["call"]
    ours = json.loads(dialect.dump_call(dialect.parse_call(json.dumps(said).encode())))
    aliases = {"text_1": "queries", "text_2": "documents"}  # vLLM's names for the same
    for key, value in ours.items():
        expected = said[aliases.get(key, key)]
        if key in ("documents", "input"):
            assert [v if isinstance(v, str) else v["text"] for v in value] == [
                d if isinstance(d, str) else d["text"] for d in expected
            ]
        else:
            assert value == expected, key


@every_dialect
@pytest.mark.parametrize("score", ["NaN", "null", "1e999", '"0.5"', "-Infinity", "true"])
def test_a_score_that_is_no_number_is_refused(dialect: Dialect, score: str) -> None:
    """NaN in any spelling, a string, a truth value: a WireError that names the place or the spelling."""
    body = dialect.dump_ranking(Answer((Item(0, 0.123456789),)))
    with pytest.raises(WireError, match=r"score|logit|not JSON"):
        dialect.parse_ranking(body.replace(b"0.123456789", score.encode()))


@every_dialect
@pytest.mark.parametrize("index", ["1.5", '"0"', "null", "true"])
def test_an_index_that_is_no_whole_number_is_refused(dialect: Dialect, index: str) -> None:
    """Positions are whole numbers, or nothing is guessed from them."""
    body = dialect.dump_ranking(Answer((Item(977, 0.5),)))
    with pytest.raises(WireError, match=r"Expected `int`.*index"):
        dialect.parse_ranking(body.replace(b"977", index.encode()))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'"slow down"', "slow down"),
        (b"[" * 100_000, "[" * 499 + "…"),
        (b'{"error": {"message": "a\\u001b[2Jb"}}', "a [2Jb"),
        (b'{"detail": [{"msg": "bad", "loc": ["body", 3]}]}', "body.3: bad"),
        (b'{"errors": {"a": 1}}', '{"a":1}'),
        (b"null", "null"),
    ],
)
def test_an_error_in_any_shape_is_read(body: bytes, message: str) -> None:
    """Gateways answer in HTML, in nothing, in lists: a message comes of all, short and without control characters."""
    assert DIALECTS["cohere"].parse_error(body).message == message


def test_texts_only_dialects_refuse_objects_by_index() -> None:
    """A mapping where texts are meant is named, not written as something else."""
    for dialect in DIALECTS.values():
        call = Call("q", ("a", {"title": "b", "text": "c"}))
        if dialect.objects:
            assert dialect.parse_call(dialect.dump_call(call)).documents == call.documents
        else:
            with pytest.raises(WireError, match=r"documents\[1\] is no text"):
                dialect.dump_call(call)


@pytest.mark.parametrize("parse", [DIALECTS["vllm-score"].parse_call])
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"text_1": ["a", "b"], "text_2": ["c", "d"]}',
        b'{"text_1": ["a", "b"], "text_2": ["c"]}',
        b'{"text_1": [], "text_2": []}',
    ],
)
def test_a_score_call_has_one_query(parse: Callable[[bytes], Call], body: bytes) -> None:
    """What is no one-query call is refused."""
    with pytest.raises(WireError):
        parse(body)


@pytest.mark.parametrize(
    ("body", "queries"),
    [
        (b'{"text_1": "a", "text_2": "c"}', ("a",)),
        (b'{"queries": "a", "documents": ["c", "d"]}', ("a",)),
        (b'{"queries": ["a", "b"], "items": ["c", "d"]}', ("a", "b")),
        (b'{"data_1": ["a", "b"], "data_2": ["c", "d"]}', ("a", "b")),
    ],
)
def test_a_score_call_has_its_queries_under_any_name(body: bytes, queries: tuple[str, ...]) -> None:
    """1:1, 1:N and N:N, in vLLM's four spellings."""
    found, call = parse_score_calls(body)
    assert found == queries
    assert call.query == "a"
    assert call.documents[0] == "c"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"top_k": 2}, {"top_n": 2}),
        ({"top_k": 2, "top_n": 2}, {"top_n": 2}),
        ({"top_n": 0}, {"top_n": None}),
        ({"max_doc_length": 7}, {"tokens_max": 7}),
        ({"truncation": False}, {"truncate": False}),
        ({"truncate": False}, {"truncate": False}),
        ({"truncate": "NONE"}, {"truncate": False}),
        ({"truncate": "END"}, {"truncate": None}),
        ({"parameters": {"truncate": "NONE"}}, {"truncate": False}),
        ({"use_activation": False}, {"raw_scores": True}),
        ({"rank_fields": ["text"]}, {"fields": None}),
        ({"rank_fields": ["b", "a"]}, {"fields": ("b", "a")}),
        ({"documents": "one"}, {"documents": ("one",)}),
        ({"max_chunks_per_doc": 3, "user": "x", "relevant_spans": {"mode": "enabled"}}, {}),
        (dict.fromkeys(["model", "top_n", "top_k", "rank_fields", "return_documents", "truncate", "priority"]), {}),
    ],
)
def test_the_superset_reads_every_vendor_s_words(more: dict[str, Any], expected: dict[str, Any]) -> None:
    """One thing has one meaning under any of its names; null is nothing; what is unknown is read past."""
    call = SUPERSET.parse_call(json.dumps({"query": "q", "documents": ["a"], **more}).encode())
    assert call == replace(Call("q", ("a",)), **expected)


@pytest.mark.parametrize("more", [{"top_n": 1, "top_k": 2}, {"top_n": -1}, {"top_k": -1}, {"top_n": 1.5}])
def test_the_superset_refuses_what_has_no_meaning(more: dict[str, Any]) -> None:
    """Two different numbers of results, or none that can be."""
    with pytest.raises(WireError, match="top_"):
        SUPERSET.parse_call(json.dumps({"query": "q", "documents": ["a"], **more}).encode())


@every_spoken
def test_an_object_without_a_text_is_a_document(dialect: Dialect) -> None:
    """An empty one, too, in calls and in answers; where texts are meant it is refused in words."""
    for empty in ({}, {"multi_modal": None}):
        body = json.dumps({"query": "q", "documents": [empty], "input": [empty], "texts": [empty]}).encode()
        with suppress(WireError):
            assert dialect.parse_call(body).documents == (empty,)
        found = {"index": 0, "relevance_score": 1, "score": 1, "logit": 1, "document": empty, "input": empty}
        answer = json.dumps({"version": 1, **{key: [found] for key in ("results", "data", "hits", "rankings")}})
        with suppress(WireError):
            dialect.parse_ranking(answer.encode())


def test_no_results_are_an_error_in_cohere_s_second_version() -> None:
    """Cohere refuses top_n 0, where vLLM means all."""
    with pytest.raises(WireError, match="top_n"):
        SUPERSET_V2.parse_call(b'{"query": "q", "documents": ["a"], "top_n": 0}')


def test_the_superset_says_everything_twice_and_no_null() -> None:
    """`results` with documents as objects that have a text, `data` with them as they were sent; nothing is null."""
    items = (Item(1, 0.5, {"title": "t", "content": "c"}), Item(0, 0.25, "a"), Item(2, 0.125))
    body = SUPERSET_V2.dump_ranking(Answer(items, None, None, 7, 1))
    assert b"null" not in body
    said = json.loads(body)
    assert [item.get("document") for item in said["results"]] == [
        {"title": "t", "content": "c", "text": "c"},
        {"text": "a"},
        None,
    ]
    assert [item.get("document") for item in said["data"]] == [{"title": "t", "content": "c"}, "a", None]
    assert said["meta"]["billed_units"] == {"search_units": 1}
    assert said["meta"]["api_version"] == {"version": "2", "is_experimental": False}
    assert said["usage"] == {"total_tokens": 7, "prompt_tokens": 7, "rerank_units": 1}


def test_a_field_that_cohere_does_not_know_is_named_in_its_words() -> None:
    """What both versions have passes."""
    check_known(b'{"query": "q", "documents": [], "top_n": 1, "priority": 3, "rank_fields": []}')
    with pytest.raises(UnknownFieldError, match="unknown field: parameter 'top_k' is not a valid field"):
        check_known(b'{"query": "q", "documents": [], "top_k": 1}')


def test_a_later_version_of_our_own_answer_is_refused() -> None:
    """A server that is newer says more than we can read."""
    with pytest.raises(WireError, match="update crossrank"):
        DIALECTS["crossrank"].parse_ranking(b'{"version": 2, "hits": []}')


def test_dialects_name_fields_that_there_are() -> None:
    """`calls`, `answers` and `failures` are names of fields, and each dialect has a documented body."""
    assert set(BODIES) == set(DIALECTS)
    for dialect in DIALECTS.values():
        assert dialect.calls <= {field.name for field in fields(Call)}
        assert dialect.answers - {"documents", "details"} <= {field.name for field in fields(Answer)}
        assert dialect.failures <= {field.name for field in fields(Failure)}
    assert issubclass(WireError, CrossrankError)
    assert replace(Call("q", ()), top_n=1).top_n == 1


def test_what_is_billed_in_part_counts_as_one_more() -> None:
    """Estimates are never below the invoice."""
    body = b'{"results": [], "meta": {"billed_units": {"search_units": 1.5, "input_tokens": 10.2}}}'
    answer = DIALECTS["cohere"].parse_ranking(body)
    assert (answer.search_units, answer.tokens) == (2, 11)


def test_nought_is_no_bound_for_vllm() -> None:
    """Its own clients say so where they want all results, or documents of any length."""
    call = DIALECTS["vllm"].parse_call(b'{"query": "q", "documents": ["a"], "top_n": 0, "max_tokens_per_doc": 0}')
    assert (call.top_n, call.tokens_max) == (None, None)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"total_tokens": 12, "prompt_tokens": 10}, 12),
        ({"prompt_tokens": 10}, 10),
        ({"total_tokens": 0}, 0),
        ({}, None),
    ],
)
@pytest.mark.parametrize("name", ["jina", "vllm", "infinity"])
def test_what_is_billed_is_the_total(name: str, usage: dict[str, int], tokens: int | None) -> None:
    """Else what was read, else nobody knows."""
    said = {
        "model": "m",
        "usage": usage,
        "results": [{"index": 0, "relevance_score": 0.5}],
        "id": "1",
        "object": "rerank",
    }
    assert DIALECTS[name].parse_ranking(json.dumps(said).encode()).tokens == tokens
