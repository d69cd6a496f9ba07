"""Cohere's dialect, v2 and v1; also of Azure AI Foundry, OpenRouter and most gateways.

v2 takes texts only (structured documents are YAML in them). v1 takes objects and `rank_fields`, and repeats documents.
"""

from math import ceil
from typing import Any

import msgspec

from crossrank.wire.body import Result, dump, items_of_results, parse, sent, text_object, texts_of
from crossrank.wire.contract import Answer, Call, Dialect, UnknownFieldError
from crossrank.wire.failure import dump_message, parse_error


class _CallV2(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str]
    model: str | None = None
    top_n: int | None = None
    max_tokens_per_doc: int | None = None


class CallV1(msgspec.Struct, omit_defaults=True):
    """The body of a call of v1, which Together's is too."""

    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: int | None = None
    rank_fields: tuple[str, ...] | None = None
    return_documents: bool | None = None


KNOWN = frozenset({*_CallV2.__struct_fields__, *CallV1.__struct_fields__}) | {
    "max_chunks_per_doc",
    "priority",
    "relevant_spans",
}


class _Billed(msgspec.Struct, omit_defaults=True):
    search_units: float | None = None
    input_tokens: float | None = None


class _Version(msgspec.Struct):
    version: str = "2"


class _Meta(msgspec.Struct, omit_defaults=True):
    api_version: _Version | None = None
    billed_units: _Billed | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[Result]
    id: str | None = None
    meta: _Meta | None = None


def dump_call(call: Call) -> bytes:
    """A call of v2."""
    return dump(
        _CallV2(
            query=call.query,
            documents=texts_of(call.documents, "Cohere v2"),
            model=call.model,
            top_n=call.top_n,
            max_tokens_per_doc=call.tokens_max,
        )
    )


def parse_call(body: bytes) -> Call:
    """A call of v2."""
    said = parse(body, _CallV2)
    return Call(said.query, tuple(said.documents), said.model, said.top_n, tokens_max=said.max_tokens_per_doc)


def dump_call_v1(call: Call) -> bytes:
    """A call of v1."""
    return dump(
        CallV1(
            query=call.query,
            documents=[sent(document) for document in call.documents],
            model=call.model,
            top_n=call.top_n,
            rank_fields=call.fields,
            return_documents=call.return_documents or None,
        )
    )


def parse_call_v1(body: bytes) -> Call:
    """A call of v1."""
    said = parse(body, CallV1)
    return Call(
        said.query,
        tuple(said.documents),
        said.model,
        said.top_n,
        said.rank_fields,
        return_documents=bool(said.return_documents),
    )


def check_known(body: bytes) -> None:
    """Raise UnknownFieldError, in Cohere's words, for a field that neither version has."""
    for field in parse(body, dict[str, msgspec.Raw]):
        if field not in KNOWN:
            raise UnknownFieldError(f"unknown field: parameter {field!r} is not a valid field")


def _dump_ranking(answer: Answer, version: str) -> bytes:
    return dump(
        _Answer(
            results=[Result(item.index, item.score, text_object(item.document)) for item in answer.items],
            id=answer.id,
            meta=_Meta(_Version(version), _Billed(answer.search_units, answer.tokens)),
        )
    )


def dump_ranking(answer: Answer) -> bytes:
    """An answer of v2."""
    return _dump_ranking(answer, "2")


def dump_ranking_v1(answer: Answer) -> bytes:
    """An answer of v1."""
    return _dump_ranking(answer, "1")


def parse_ranking(body: bytes) -> Answer:
    """An answer of either version."""
    said = parse(body, _Answer)
    billed = (said.meta and said.meta.billed_units) or _Billed()
    return Answer(
        items_of_results(said.results),
        id=said.id,
        tokens=None if billed.input_tokens is None else ceil(billed.input_tokens),
        search_units=None if billed.search_units is None else ceil(billed.search_units),
    )


COHERE = Dialect(
    name="cohere",
    path="/v2/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_message,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "tokens_max"}),
    answers=frozenset({"id", "tokens", "search_units", "documents"}),
    failures=frozenset({"id"}),
    model_required=True,
    call_shape=_CallV2,
    answer_shape=_Answer,
)

COHERE_V1 = Dialect(
    name="cohere-v1",
    path="/v1/rerank",
    dump_call=dump_call_v1,
    parse_call=parse_call_v1,
    dump_ranking=dump_ranking_v1,
    parse_ranking=parse_ranking,
    dump_error=dump_message,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "fields", "return_documents"}),
    answers=frozenset({"id", "tokens", "search_units", "documents"}),
    failures=frozenset({"id"}),
    objects=True,
    call_shape=CallV1,
    answer_shape=_Answer,
)
