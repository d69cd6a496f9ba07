"""One dialect for the paths that vendors share: it reads what any of them sends, and answers what all of them find.

A body does not say whose client wrote it: those of Cohere, Jina and Voyage can be equal byte by byte, where one looks
for `results` and another for `data`. So both are there. What a client refuses is never said: a `document` that is null,
half a search unit. It knows no paths.
"""

from functools import partial
from math import ceil
from typing import Any

import msgspec

from crossrank.wire.body import dump, items_of, parse, sent
from crossrank.wire.contract import Answer, Call, Dialect, WireDocument, WireError
from crossrank.wire.failure import dump_every, parse_error

DOCUMENTS_A_UNIT = 100  # Cohere's and Pinecone's search unit: one query with so many documents


class _Parameters(msgspec.Struct):
    truncate: str | None = None


class _Call(msgspec.Struct):
    query: str
    documents: list[str | dict[str, Any]] | str
    model: str | None = None
    top_n: int | None = None
    top_k: int | None = None
    rank_fields: tuple[str, ...] | None = None
    return_documents: bool | None = None
    instruction: str | None = None
    truncation: bool | None = None
    truncate: bool | str | None = None
    parameters: _Parameters | None = None
    raw_scores: bool | None = None
    use_activation: bool | None = None
    max_tokens_per_doc: int | None = None
    max_doc_length: int | None = None
    priority: int | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    index: int
    relevance_score: float | None
    document: dict[str, Any] | None = None


class _Datum(msgspec.Struct, omit_defaults=True):
    index: int
    relevance_score: float | None
    score: float | None
    document: str | dict[str, Any] | None = None


class _Usage(msgspec.Struct):
    total_tokens: int
    prompt_tokens: int
    rerank_units: int


class _Version(msgspec.Struct):
    version: str
    is_experimental: bool = False


class _Units(msgspec.Struct):
    search_units: int


class _TokenCounts(msgspec.Struct):
    input_tokens: int
    output_tokens: int = 0


class _Meta(msgspec.Struct):
    api_version: _Version
    billed_units: _Units
    tokens: _TokenCounts


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[_Result]
    data: list[_Datum]
    usage: _Usage
    meta: _Meta
    id: str | None = None
    model: str | None = None
    object: str = msgspec.field(default_factory=lambda: "list")


def parse_call(body: bytes, *, zero_is_all: bool = True) -> Call:
    """The call in a body, under whichever of its names; what no field of ours stands for is read past."""
    said = parse(body, _Call)
    nothing = (False, "NONE")
    cut = [said.truncation, said.truncate, said.parameters and said.parameters.truncate]
    tokens_max = said.max_doc_length if said.max_tokens_per_doc is None else said.max_tokens_per_doc
    return Call(
        said.query,
        (said.documents,) if isinstance(said.documents, str) else tuple(said.documents),
        said.model,
        _top_n(said, zero_is_all=zero_is_all),
        # ["text"] is Pinecone's way of saying nothing, and what is read of such an object anyway
        None if said.rank_fields == ("text",) else said.rank_fields,
        return_documents=bool(said.return_documents),
        instruction=said.instruction,
        truncate=False if any(value in nothing for value in cut if value is not None) else None,
        tokens_max=tokens_max or None,
        raw_scores=bool(said.raw_scores) or said.use_activation is False,
        priority=said.priority or 0,
    )


def _top_n(said: _Call, *, zero_is_all: bool) -> int | None:
    """The number of results, which Voyage and Mixedbread call `top_k`; 0 is vLLM's way of saying all."""
    if said.top_n is not None and said.top_k is not None and said.top_n != said.top_k:
        raise WireError(f"top_n is {said.top_n} and top_k is {said.top_k}; give one of them")
    name, number = ("top_k", said.top_k) if said.top_n is None else ("top_n", said.top_n)
    if number is not None and number < (0 if zero_is_all else 1):
        raise WireError(f"{name} must be at least 1, or left out for all - at `$.{name}`")
    return number or None


def dump_ranking(answer: Answer, *, version: str = "1") -> bytes:
    """The body of an answer; `version` is that of Cohere's API which the path stands for."""
    tokens, units = answer.tokens or 0, answer.search_units or 0
    return dump(
        _Answer(
            [_Result(item.index, item.score, _object(item.document)) for item in answer.items],
            [_Datum(item.index, item.score, item.score, sent(item.document)) for item in answer.items],
            _Usage(tokens, tokens, units),
            _Meta(_Version(version), _Units(units), _TokenCounts(tokens)),
            answer.id,
            answer.model,
        )
    )


def _object(document: WireDocument | None) -> dict[str, Any] | None:
    """As Cohere's v1 and most others repeat it: an object whose `text` is a string."""
    if document is None or isinstance(document, str):
        return None if document is None else {"text": document}
    texts = (document.get(name) for name in ("text", "content", "page_content"))
    return {**document, "text": next((text for text in texts if isinstance(text, str)), "")}


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    results = ((one.index, one.relevance_score, one.document) for one in said.data)
    items = items_of(results, "data[{}].relevance_score")
    return Answer(items, said.model, said.id, said.usage.total_tokens, said.usage.rerank_units)


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    said = {
        "query": call.query,
        "documents": [sent(document) for document in call.documents],
        "model": call.model,
        "top_n": call.top_n,
        "rank_fields": call.fields,
        "return_documents": call.return_documents,
        "instruction": call.instruction,
        "truncation": call.truncate,
        "max_tokens_per_doc": call.tokens_max,
        "raw_scores": call.raw_scores,
        "priority": call.priority,
    }
    return dump({name: value for name, value in said.items() if value is not None})


def units_of(documents: int) -> int:
    """The whole number of search units that a call of so many documents is."""
    return ceil(documents / DOCUMENTS_A_UNIT)


SUPERSET = Dialect(
    name="superset",
    path="/v1/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_every,
    parse_error=parse_error,
    calls=frozenset(
        {
            "model",
            "top_n",
            "fields",
            "return_documents",
            "instruction",
            "tokens_max",
            "raw_scores",
            "priority",
        }
    ),
    answers=frozenset({"model", "id", "tokens", "search_units", "documents"}),
    failures=frozenset({"code", "id"}),
    objects=True,
    call_shape=_Call,
    answer_shape=_Answer,
)

SUPERSET_V2 = Dialect(
    name="superset-v2",
    path="/v2/rerank",
    dump_call=dump_call,
    parse_call=partial(parse_call, zero_is_all=False),
    dump_ranking=partial(dump_ranking, version="2"),
    parse_ranking=parse_ranking,
    dump_error=dump_every,
    parse_error=parse_error,
    calls=SUPERSET.calls,
    answers=SUPERSET.answers,
    failures=SUPERSET.failures,
    objects=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
