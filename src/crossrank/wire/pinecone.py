"""Pinecone's dialect: documents are always objects, with `rank_fields`; it bills rerank units."""

from typing import Any

import msgspec

from crossrank.wire.body import document_of, dump, items_of, parse, text_object
from crossrank.wire.contract import Answer, Call, Dialect, WireDocument
from crossrank.wire.failure import dump_nested, parse_error

TRUNCATE = {True: "END", False: "NONE"}
PLAIN = ("text",)  # the default of `rank_fields`


class _Parameters(msgspec.Struct, omit_defaults=True):
    truncate: str | None = None


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[dict[str, Any]]
    model: str | None = None
    rank_fields: tuple[str, ...] | None = None
    return_documents: bool | None = msgspec.field(default_factory=lambda: None)  # always said: its default is true
    top_n: int | None = None
    parameters: _Parameters | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    index: int
    score: float | None
    document: dict[str, Any] | None = None


class _Units(msgspec.Struct):
    rerank_units: int = 0


class _Answer(msgspec.Struct):
    data: list[_Result]
    model: str | None = None
    usage: _Units | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            documents=[text_object(document) or {} for document in call.documents],
            model=call.model,
            rank_fields=PLAIN if call.fields is None else call.fields,
            return_documents=call.return_documents,
            top_n=call.top_n,
            parameters=None if call.truncate is None else _Parameters(TRUNCATE[call.truncate]),
        )
    )


def parse_call(body: bytes) -> Call:
    """The call in a body; `rank_fields` is ["text"] by default, which is said of every call of texts."""
    said = parse(body, _Call)
    truncate = said.parameters and said.parameters.truncate
    documents = tuple(_read(document) for document in said.documents)
    return Call(
        said.query,
        documents,
        said.model,
        said.top_n,
        None if said.rank_fields == PLAIN else said.rank_fields,
        return_documents=bool(said.return_documents),
        truncate=None if truncate is None else truncate != "NONE",
    )


def _read(document: dict[str, Any]) -> WireDocument:
    found = document_of(document)
    return document if found is None else found


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    results = [_Result(item.index, item.score, text_object(item.document)) for item in answer.items]
    return dump(_Answer(results, answer.model, _Units(answer.search_units or 0)))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    items = items_of(((one.index, one.score, one.document) for one in said.data), "data[{}].score")
    return Answer(items, said.model, search_units=said.usage.rerank_units if said.usage else None)


PINECONE = Dialect(
    name="pinecone",
    path="/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_nested,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "fields", "return_documents", "truncate"}),
    answers=frozenset({"model", "search_units", "documents"}),
    failures=frozenset({"code"}),
    objects=True,
    model_required=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
