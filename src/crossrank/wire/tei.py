"""The dialect of Hugging Face's text-embeddings-inference: `texts` in, a bare list out, no model and no top_n."""

from typing import Literal

import msgspec

from crossrank.wire.body import dump, items_of, parse, repeated_texts, texts_of
from crossrank.wire.contract import Answer, Call, Dialect, Failure
from crossrank.wire.failure import parse_error


class _Call(msgspec.Struct, omit_defaults=True):
    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    index: int
    score: float | None
    text: str | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    return dump(
        _Call(
            query=call.query,
            texts=texts_of(call.documents, "TEI"),
            truncate=call.truncate,
            raw_scores=call.raw_scores or None,
            return_text=call.return_documents or None,
        )
    )


def parse_call(body: bytes) -> Call:
    """The call in a body."""
    said = parse(body, _Call)
    return Call(
        said.query,
        tuple(said.texts),
        return_documents=bool(said.return_text),
        truncate=said.truncate,
        raw_scores=bool(said.raw_scores),
    )


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    texts = repeated_texts(answer.items, "TEI")
    return dump([_Result(item.index, item.score, text) for item, text in zip(answer.items, texts, strict=True)])


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, list[_Result])
    return Answer(items_of(((one.index, one.score, one.text) for one in said), "[{}].score"))


def dump_error(failure: Failure) -> bytes:
    """`error` is a string here, as TEI's clients expect."""
    return dump({"error": failure.message, "error_type": failure.code or "Backend"})


TEI = Dialect(
    name="tei",
    path="/rerank",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_error,
    parse_error=parse_error,
    calls=frozenset({"return_documents", "truncate", "raw_scores"}),
    answers=frozenset({"documents"}),
    failures=frozenset({"code"}),
    timing_headers={
        "total": "x-total-time",
        "tokenize": "x-tokenization-time",
        "queue": "x-queue-time",
        "run": "x-inference-time",
    },
    tokens_header="x-compute-tokens",
    call_shape=_Call,
    answer_shape=list[_Result],
)
