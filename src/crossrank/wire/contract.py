"""What all dialects are made of: a call, an answer, a failure, and six functions that turn them into bytes and back.

It knows no vendor and no transport.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossrank.errors import CrossrankError

WireDocument = str | Mapping[str, Any]


class WireError(CrossrankError, ValueError):
    """A body that is not what its dialect says it must be; the message names the place in it."""


class UnknownFieldError(WireError):
    """A body with a field that its dialect does not have, where such are refused."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a reranker.

    Attributes:
        query: what is asked.
        documents: texts, or mappings where the dialect takes them.
        model: the name that the vendor knows it by; None for the server's only one.
        top_n: at most this many results; None for all.
        fields: of documents that are mappings, the keys the model reads, in this order.
        return_documents: whether the answer repeats the documents.
        instruction: what the model shall understand by relevance.
        truncate: False: a text that is too long is an error instead of being cut; None: as the server likes it.
        tokens_max: tokens of a document after which it is cut.
        raw_scores: scores before the activation.
        priority: 0 for what comes first; what has a higher number may wait for others.
    """

    query: str
    documents: tuple[WireDocument, ...]
    model: str | None = None
    top_n: int | None = None
    fields: tuple[str, ...] | None = None
    return_documents: bool = False
    instruction: str | None = None
    truncate: bool | None = None
    tokens_max: int | None = None
    raw_scores: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One document's result: its position in the call, its score, and the document where the answer repeats it.

    What follows `document` is known to crossrank's own dialect only.
    """

    index: int
    score: float
    document: WireDocument | None = None
    tokens: int | None = None
    truncated: bool | None = None
    passage: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back, in the order it was sent in, unchecked against the call.

    Attributes:
        items: the results.
        model: the model that the answer names.
        id: the answer's name in the vendor's logs.
        tokens: tokens that are billed, or were read.
        search_units: Cohere's and Pinecone's unit of billing.
    """

    items: tuple[Item, ...]
    model: str | None = None
    id: str | None = None
    tokens: int | None = None
    search_units: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, in the vendor's words.

    Attributes:
        message: for people.
        code: for programs; a vendor's own.
        id: the request's name in the vendor's logs.
    """

    message: str
    code: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor's way of saying it.

    Attributes:
        name: what `dialect=` calls it.
        path: where it is served, below the base URL.
        calls: the fields of a Call that survive dump_call and parse_call, beside query and documents.
        answers: the fields of an Answer that survive dump_ranking and parse_ranking, beside its items' index and score.
        failures: the fields of a Failure that survive dump_error and parse_error, beside message.
        objects: whether documents may be mappings.
        model_required: whether a call without a model is refused.
        logits: whether scores are raw, asked for or not.
        ranked: whether results come best first; else in the order of the documents.
        timing_headers: by stage (queue, tokenize, run, total), the header of an answer that has its milliseconds.
        tokens_header: the one that has the tokens that were read; "" where there is none.
        call_shape: the type that a call's body is read as, which describes it to people and programs.
        answer_shape: that of an answer's body.
    """

    name: str
    path: str
    dump_call: Callable[[Call], bytes]
    parse_call: Callable[[bytes], Call]
    dump_ranking: Callable[[Answer], bytes]
    parse_ranking: Callable[[bytes], Answer]
    dump_error: Callable[[Failure], bytes]
    parse_error: Callable[[bytes], Failure]
    calls: frozenset[str] = field(default_factory=frozenset)
    answers: frozenset[str] = field(default_factory=frozenset)
    failures: frozenset[str] = field(default_factory=frozenset)
    objects: bool = False
    model_required: bool = False
    logits: bool = False
    ranked: bool = True
    timing_headers: Mapping[str, str] = field(default_factory=dict)
    tokens_header: str = ""
    call_shape: Any = None
    answer_shape: Any = None
