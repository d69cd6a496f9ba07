"""crossrank's own dialect: whatever a Call can ask and a Hit can say. The answer's version grows with its shape."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from crossrank.wire.body import dump, parse, score_of, sent
from crossrank.wire.contract import Answer, Call, Dialect, Failure, Item, WireError
from crossrank.wire.failure import parse_error

VERSION = 1


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_k: int | None = None
    fields: tuple[str, ...] | None = None
    return_documents: bool | None = None
    instruction: str | None = None
    truncate: bool | None = None
    tokens_max: int | None = None
    raw_scores: bool | None = None


class _Hit(msgspec.Struct, omit_defaults=True):
    index: int
    score: float | None
    document: str | dict[str, Any] | None = None
    tokens: int | None = None
    truncated: bool | None = None
    passage: tuple[int, int] | None = None


class _Usage(msgspec.Struct, omit_defaults=True):
    tokens: int | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    version: int
    hits: list[_Hit]
    model: str | None = None
    id: str | None = None
    usage: _Usage | None = None


class _ExplainCall(msgspec.Struct):
    query: str
    document: str | dict[str, Any]
    model: str | None = None
    fields: tuple[str, ...] | None = None
    unit: Literal["sentence", "word"] = "sentence"


class _Span(msgspec.Struct):
    start: int
    end: int
    text: str
    share: float


class _Explanation(msgspec.Struct):
    version: int
    model: str | None
    id: str | None
    query: str
    text: str
    unit: Literal["sentence", "word"]
    passage: tuple[int, int]
    scale: Literal["logit", "score"]
    whole: float
    empty: float
    scored: int
    spans: list[_Span]


EXPLANATION = (_ExplainCall, _Explanation)


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            documents=[sent(document) for document in call.documents],
            model=call.model,
            top_k=call.top_n,
            fields=call.fields,
            return_documents=call.return_documents or None,
            instruction=call.instruction,
            truncate=call.truncate,
            tokens_max=call.tokens_max,
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
        said.top_k,
        said.fields,
        bool(said.return_documents),
        said.instruction,
        said.truncate,
        said.tokens_max,
        bool(said.raw_scores),
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    hits = [
        _Hit(item.index, item.score, sent(item.document), item.tokens, item.truncated, item.passage)
        for item in answer.items
    ]
    return dump(_Answer(VERSION, hits, answer.model, answer.id, _Usage(answer.tokens)))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body; one of a later version is refused, not guessed at."""
    said = parse(body, _Answer)
    if said.version != VERSION:
        raise WireError(f"version {said.version} of the answer, where {VERSION} is understood; update crossrank")
    items = tuple(
        Item(hit.index, score_of(hit.score, f"hits[{i}].score"), hit.document, hit.tokens, hit.truncated, hit.passage)
        for i, hit in enumerate(said.hits)
    )
    return Answer(items, said.model, said.id, said.usage.tokens if said.usage else None)


def parse_explain_call(body: bytes) -> tuple[str, Call]:
    """The unit of an explanation that is asked for, and a call with the one document."""
    said = parse(body, _ExplainCall)
    return said.unit, Call(said.query, (said.document,), said.model, fields=said.fields)


def dump_explanation(told: Mapping[str, Any], model: str | None, identity: str | None) -> bytes:
    """The body of an explanation's answer; `told` is `Explanation.to_dict`'s. Positions count characters."""
    return dump(msgspec.convert({"version": VERSION, "model": model, "id": identity, **told}, _Explanation))


def dump_error(failure: Failure) -> bytes:
    """`error` is an object with a message, a code and the request's id."""
    inner = {"message": failure.message, "code": failure.code}
    return dump({"error": inner, "id": failure.id})


OWN = Dialect(
    name="crossrank",
    path="/crossrank/v1/rank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_error,
    parse_error=parse_error,
    calls=frozenset(
        {
            "model",
            "top_n",
            "fields",
            "return_documents",
            "instruction",
            "truncate",
            "tokens_max",
            "raw_scores",
        }
    ),
    answers=frozenset({"model", "id", "tokens", "documents", "details"}),
    failures=frozenset({"code", "id"}),
    objects=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
