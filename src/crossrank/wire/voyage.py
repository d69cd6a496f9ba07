"""Voyage's dialect: `top_k`, and `data` where others have `results`. An instruction has no field but the query."""

import msgspec

from crossrank.wire.body import Tokens, dump, parse, score_of, texts_of, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect, Item
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
    documents = texts_of(("" if item.document is None else item.document for item in answer.items), "Voyage")
    return dump(
        _Answer(
            [
                _Result(item.score, item.index, None if item.document is None else text)
                for item, text in zip(answer.items, documents, strict=True)
            ],
            Tokens(answer.tokens or 0),
            answer.model,
        )
    )


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    items = tuple(
        Item(item.index, score_of(item.relevance_score, f"data[{i}].relevance_score"), item.document)
        for i, item in enumerate(said.data)
    )
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
