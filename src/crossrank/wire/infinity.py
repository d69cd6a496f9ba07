"""Infinity's dialect: documents come back as strings, and raw scores can be asked for."""

import msgspec

from crossrank.wire.body import Tokens, dump, items_of, parse, repeated_texts, texts_of, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect
from crossrank.wire.failure import dump_nested, parse_error


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool | None = None
    raw_scores: bool | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    relevance_score: float | None
    index: int
    document: str | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[_Result]
    object: str | None = None
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            documents=texts_of(call.documents, "Infinity"),
            model=call.model,
            top_n=call.top_n,
            return_documents=call.return_documents or None,
            raw_scores=call.raw_scores or None,
        )
    )


def parse_call(body: bytes) -> Call:
    """The call in a body."""
    said = parse(body, _Call)
    return Call(
        said.query,
        tuple(said.documents),
        said.model,
        said.top_n,
        return_documents=bool(said.return_documents),
        raw_scores=bool(said.raw_scores),
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    texts = repeated_texts(answer.items, "Infinity")
    results = [_Result(item.score, item.index, text) for item, text in zip(answer.items, texts, strict=True)]
    return dump(_Answer(results, "rerank", answer.id, answer.model, Tokens.of(answer.tokens or 0)))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    results = ((one.index, one.relevance_score, one.document) for one in said.results)
    items = items_of(results, "results[{}].relevance_score")
    return Answer(items, said.model, said.id, tokens=tokens_of(said.usage))


INFINITY = Dialect(
    name="infinity",
    path="/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_nested,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "return_documents", "raw_scores"}),
    answers=frozenset({"model", "id", "tokens", "documents"}),
    failures=frozenset({"code"}),
    call_shape=_Call,
    answer_shape=_Answer,
)
