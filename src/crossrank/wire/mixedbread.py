"""Mixedbread's dialect: documents are `input`, results are `data` with a `score`."""

from typing import Any

import msgspec

from crossrank.wire.body import Tokens, dump, items_of, parse, sent, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect
from crossrank.wire.failure import dump_detail, parse_error


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    input: list[str | dict[str, Any]]
    model: str | None = None
    rank_fields: tuple[str, ...] | None = None
    top_k: int | None = None
    return_input: bool | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    index: int
    score: float | None
    input: str | dict[str, Any] | None = None
    object: str | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    data: list[_Result]
    usage: Tokens | None = None
    model: str | None = None
    object: str | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            input=[sent(document) for document in call.documents],
            model=call.model,
            rank_fields=call.fields,
            top_k=call.top_n,
            return_input=call.return_documents or None,
        )
    )


def parse_call(body: bytes) -> Call:
    """The call in a body."""
    said = parse(body, _Call)
    return Call(
        said.query,
        tuple(said.input),
        said.model,
        said.top_k,
        said.rank_fields,
        return_documents=bool(said.return_input),
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    results = [_Result(item.index, item.score, sent(item.document), "rank_result") for item in answer.items]
    return dump(_Answer(results, Tokens.of(answer.tokens or 0), answer.model, "list"))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    items = items_of(((one.index, one.score, one.input) for one in said.data), "data[{}].score")
    return Answer(items, said.model, tokens=tokens_of(said.usage))


MIXEDBREAD = Dialect(
    name="mixedbread",
    path="/v1/reranking",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_detail,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "fields", "return_documents"}),
    answers=frozenset({"model", "tokens", "documents"}),
    objects=True,
    model_required=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
