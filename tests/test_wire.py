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
from crossrank.wire import DIALECTS, Answer, Call, Dialect, Failure, Item, WireError

BODIES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "data" / "wire").glob("*.json")}
SCORED = ("relevance_score", "score", "logit")
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


@every_dialect
@pytest.mark.property
def test_a_call_survives_the_wire(dialect: Dialect) -> None:
    """parse_call(dump_call(call)) is the call."""

    @given(calls(dialect))
    def law(call: Call) -> None:
        assert dialect.parse_call(dialect.dump_call(call)) == call

    law()


@every_dialect
@pytest.mark.property
def test_an_answer_survives_the_wire(dialect: Dialect) -> None:
    """parse_ranking(dump_ranking(answer)) is the answer, each score with the same bits."""

    @given(answers(dialect))
    def law(answer: Answer) -> None:
        assert dialect.parse_ranking(dialect.dump_ranking(answer)) == answer

    law()


@every_dialect
@pytest.mark.property
def test_an_error_survives_the_wire(dialect: Dialect) -> None:
    """parse_error(dump_error(failure)) is the failure."""

    @given(failures(dialect))
    def law(failure: Failure) -> None:
        assert dialect.parse_error(dialect.dump_error(failure)) == failure

    law()


@every_dialect
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
    "body", [b"{}", b'{"text_1": ["a", "b"], "text_2": ["c", "d"]}', b'{"text_1": [], "text_2": []}']
)
def test_a_score_call_has_one_query(parse: Callable[[bytes], Call], body: bytes) -> None:
    """What is no one-query call is refused."""
    with pytest.raises(WireError):
        parse(body)


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
