"""Jina's dialect, which llama.cpp and many others speak too. Documents come back in the form they were sent in."""

from typing import Any

import msgspec

from crossrank.wire.body import Result, Tokens, dump, items_of_results, parse, sent, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect
from crossrank.wire.failure import dump_detail_code, parse_error


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: int | None = None
    # Always said: the documented default and the actual one have differed.
    return_documents: bool | None = msgspec.field(default_factory=lambda: None)
    truncation: bool | None = None
    max_doc_length: int | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[Result]
    model: str | None = None
    usage: Tokens | None = None
    id: str | None = None
    object: str | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            documents=[sent(document) for document in call.documents],
            model=call.model,
            top_n=call.top_n,
            return_documents=call.return_documents,
            truncation=call.truncate,
            max_doc_length=call.tokens_max,
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
        truncate=said.truncation,
        tokens_max=said.max_doc_length,
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    return dump(
        _Answer(
            results=[Result(item.index, item.score, sent(item.document)) for item in answer.items],
            model=answer.model,
            usage=Tokens(answer.tokens or 0),
            id=answer.id,
            object="list",
        )
    )


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    return Answer(items_of_results(said.results), said.model, said.id, tokens=tokens_of(said.usage))


JINA = Dialect(
    name="jina",
    path="/v1/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_detail_code,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "return_documents", "truncate", "tokens_max"}),
    answers=frozenset({"model", "id", "tokens", "documents"}),
    failures=frozenset({"code", "id"}),
    objects=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
