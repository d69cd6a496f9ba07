"""Voyage's dialect: `top_k`, and `data` where others have `results`. An instruction has no field but the query."""

import msgspec

from crossrank.wire.body import Tokens, dump, items_of, parse, repeated_texts, texts_of, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect
from crossrank.wire.failure import dump_detail, parse_error


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str]
    model: str | None = None
    top_k: int | None = None
    return_documents: bool | None = None
    truncation: bool | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    relevance_score: float | None
    index: int
    document: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Result]
    usage: Tokens | None = None
    model: str | None = None
    object: str = "list"


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            documents=texts_of(call.documents, "Voyage"),
            model=call.model,
            top_k=call.top_n,
            return_documents=call.return_documents or None,
            truncation=call.truncate,
        )
    )


def parse_call(body: bytes) -> Call:
    """The call in a body."""
    said = parse(body, _Call)
    return Call(
        said.query,
        tuple(said.documents),
        said.model,
        said.top_k,
        return_documents=bool(said.return_documents),
        truncate=said.truncation,
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer; `usage` is always there, because the SDK reads it."""
    texts = repeated_texts(answer.items, "Voyage")
    results = [_Result(item.score, item.index, text) for item, text in zip(answer.items, texts, strict=True)]
    return dump(_Answer(results, Tokens(answer.tokens or 0), answer.model))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    results = ((one.index, one.relevance_score, one.document) for one in said.data)
    items = items_of(results, "data[{}].relevance_score")
    return Answer(items, said.model, tokens=tokens_of(said.usage))


VOYAGE = Dialect(
    name="voyage",
    path="/v1/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_detail,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "return_documents", "truncate"}),
    answers=frozenset({"model", "tokens", "documents"}),
    model_required=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
