"""vLLM's dialects: rerank, which always repeats the documents, and score, which answers in their order.

`null` is refused where a number is meant, so what is not wanted is left out. That a text may not be cut cannot be said.
"""

import msgspec

from crossrank.wire.body import (
    Result,
    Tokens,
    dump,
    items_of,
    items_of_results,
    parse,
    text_object,
    texts_of,
    tokens_of,
)
from crossrank.wire.contract import Answer, Call, Dialect, WireError
from crossrank.wire.failure import dump_nested, parse_error

AS_LONG_AS_FITS = -1  # the model's own length, where a number of tokens may stand


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    documents: list[str] | str
    model: str | None = None
    top_n: int | None = None
    max_tokens_per_doc: int | None = None
    instruction: str | None = None
    use_activation: bool | None = None
    truncate_prompt_tokens: int | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[Result]
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


class _ScoreCall(msgspec.Struct, omit_defaults=True):
    model: str | None = None
    text_1: str | list[str] | None = None
    text_2: str | list[str] | None = None
    queries: str | list[str] | None = None
    documents: str | list[str] | None = None
    items: str | list[str] | None = None
    data_1: str | list[str] | None = None
    data_2: str | list[str] | None = None
    instruction: str | None = None
    use_activation: bool | None = None
    truncate_prompt_tokens: int | None = None


class _Score(msgspec.Struct):
    index: int
    score: float | None
    object: str = "score"


class _Scores(msgspec.Struct, omit_defaults=True):
    data: list[_Score]
    object: str | None = None
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


def dump_call(call: Call) -> bytes:
    """The body of a rerank call."""
    return dump(
        _Call(
            query=call.query,
            documents=texts_of(call.documents, "vLLM"),
            model=call.model,
            top_n=call.top_n,
            max_tokens_per_doc=call.tokens_max,
            instruction=call.instruction,
            use_activation=False if call.raw_scores else None,
            truncate_prompt_tokens=AS_LONG_AS_FITS if call.truncate else None,
        )
    )


def parse_call(body: bytes) -> Call:
    """The rerank call in a body; 0 is vLLM's way of saying none."""
    said = parse(body, _Call)
    return Call(
        said.query,
        tuple(_listed(said.documents)),
        said.model,
        said.top_n or None,
        instruction=said.instruction,
        tokens_max=said.max_tokens_per_doc or None,
        truncate=True if said.truncate_prompt_tokens == AS_LONG_AS_FITS else None,
        raw_scores=said.use_activation is False,
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer to a rerank call."""
    return dump(
        _Answer(
            [Result(item.index, item.score, text_object(item.document)) for item in answer.items],
            answer.id,
            answer.model,
            Tokens.of(answer.tokens or 0),
        )
    )


def parse_ranking(body: bytes) -> Answer:
    """The answer to a rerank call."""
    said = parse(body, _Answer)
    return Answer(items_of_results(said.results), said.model, said.id, tokens=tokens_of(said.usage))


def dump_score_call(call: Call) -> bytes:
    """The body of a score call: one query against many documents."""
    return dump(
        _ScoreCall(
            model=call.model,
            text_1=call.query,
            text_2=texts_of(call.documents, "vLLM"),
            instruction=call.instruction,
            use_activation=False if call.raw_scores else None,
            truncate_prompt_tokens=AS_LONG_AS_FITS if call.truncate else None,
        )
    )


def parse_score_call(body: bytes) -> Call:
    """The score call in a body, under any of its names; several queries are no call of ours."""
    queries, call = parse_score_calls(body)
    if len(queries) != 1:
        raise WireError(f"Expected one query, got {len(queries)} - at `$.text_1`")
    return call


def parse_score_calls(body: bytes) -> tuple[tuple[str, ...], Call]:
    """The queries of a score call, and the call with the first: one query for all documents, or one for each."""
    said = parse(body, _ScoreCall)
    queries = next((texts for texts in (said.text_1, said.queries, said.data_1) if texts is not None), None)
    documents = next(
        (texts for texts in (said.text_2, said.documents, said.items, said.data_2) if texts is not None), None
    )
    if queries is None or documents is None:
        raise WireError("Object missing `text_1` and `text_2`, or `queries` and `documents`")
    queries, documents = _listed(queries), _listed(documents)
    if not queries or len(queries) not in {1, len(documents)}:
        raise WireError(f"Expected one query or one for each document, got {len(queries)} for {len(documents)}")
    return tuple(queries), Call(
        queries[0],
        tuple(documents),
        said.model,
        instruction=said.instruction,
        truncate=True if said.truncate_prompt_tokens == AS_LONG_AS_FITS else None,
        raw_scores=said.use_activation is False,
    )


def dump_scores(answer: Answer) -> bytes:
    """The body of an answer to a score call."""
    items = sorted(answer.items, key=lambda item: item.index)
    data = [_Score(item.index, item.score) for item in items]
    return dump(_Scores(data, "list", answer.id, answer.model, Tokens.of(answer.tokens or 0)))


def parse_scores(body: bytes) -> Answer:
    """The answer to a score call."""
    said = parse(body, _Scores)
    items = items_of(((one.index, one.score, None) for one in said.data), "data[{}].score")
    return Answer(items, said.model, said.id, tokens=tokens_of(said.usage))


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


VLLM = Dialect(
    name="vllm",
    path="/v1/rerank",  # not /rerank: vLLM's key guards /v1 only
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_nested,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "tokens_max", "instruction", "raw_scores"}),
    answers=frozenset({"model", "id", "tokens", "documents"}),
    failures=frozenset({"code"}),
    call_shape=_Call,
    answer_shape=_Answer,
)

VLLM_SCORE = Dialect(
    name="vllm-score",
    path="/v1/score",
    dump_call=dump_score_call,
    parse_call=parse_score_call,
    dump_ranking=dump_scores,
    parse_ranking=parse_scores,
    dump_error=dump_nested,
    parse_error=parse_error,
    calls=frozenset({"model", "instruction", "raw_scores"}),
    answers=frozenset({"model", "id", "tokens"}),
    failures=frozenset({"code"}),
    ranked=False,
    call_shape=_ScoreCall,
    answer_shape=_Scores,
)
