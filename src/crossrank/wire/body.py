"""Bodies as bytes: JSON in and out, with errors that name the place, and the few shapes that several vendors share.

It knows no vendor's names for things.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeVar, overload

import msgspec

from crossrank.wire.contract import Item, WireDocument, WireError

T = TypeVar("T")
PREVIEW = 80  # bytes of a body that a message shows


class Tokens(msgspec.Struct, omit_defaults=True):
    """The `usage` object of those that bill by the token."""

    total_tokens: int | None = None
    prompt_tokens: int | None = None

    @classmethod
    def of(cls, tokens: int | None) -> "Tokens":
        """All of them read, none written."""
        return cls(tokens, tokens)


class Result(msgspec.Struct, omit_defaults=True):
    """One of the `results` of Cohere, and of those who answer as it does."""

    index: int
    relevance_score: float | None
    document: str | dict[str, Any] | None = None


def parse(body: bytes, shape: type[T]) -> T:
    """The body as a value of `shape`; WireError where it is none."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as exc:
        raise WireError(str(exc)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise WireError(f"not JSON ({_reason(exc)}): {preview(body)}") from None


def dump(value: Any) -> bytes:
    """The value as JSON; WireError where it cannot be said in JSON."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireError(f"cannot be written as JSON: {_reason(exc)}") from None


def tokens_of(usage: Tokens | None) -> int | None:
    """The total, else what was read."""
    if usage is None:
        return None
    return usage.prompt_tokens if usage.total_tokens is None else usage.total_tokens


def score_of(number: float | None, where: str) -> float:
    """A score that is a number; servers write a NaN as `null`."""
    if number is None or not math.isfinite(number):
        raise WireError(f"{where} is {number}, not a finite number")
    return number


def texts_of(documents: Iterable[WireDocument], dialect: str) -> list[str]:
    """Documents of a dialect that takes texts only."""
    return [_text(document, index, dialect) for index, document in enumerate(documents)]


def repeated_texts(items: Iterable[Item], dialect: str) -> list[str | None]:
    """What an answer of such a dialect repeats of each document: its text, or nothing."""
    repeated = ((index, item.document) for index, item in enumerate(items))
    return [None if document is None else _text(document, index, dialect) for index, document in repeated]


def items_of(results: Iterable[tuple[int, float | None, str | dict[str, Any] | None]], where: str) -> tuple[Item, ...]:
    """The items of (index, score, document); `where` is the place of a score, with {} for the result's position."""
    return tuple(
        Item(index, score_of(score, where.format(position)), document_of(document))
        for position, (index, score, document) in enumerate(results)
    )


def items_of_results(results: Iterable[Result]) -> tuple[Item, ...]:
    """The items of Cohere's `results`."""
    return items_of(((one.index, one.relevance_score, one.document) for one in results), "results[{}].relevance_score")


@overload
def sent(document: WireDocument) -> str | dict[str, Any]: ...
@overload
def sent(document: None) -> None: ...
def sent(document: WireDocument | None) -> str | dict[str, Any] | None:
    """A document in the form that it was sent in, as JSON can hold it."""
    return document if document is None or isinstance(document, str) else dict(document)


def text_object(document: WireDocument | None) -> dict[str, Any] | None:
    """A document as the object with a `text` that most answers repeat it as; None stays None."""
    if document is None:
        return None
    return {"text": document} if isinstance(document, str) else dict(document)


def document_of(answered: str | dict[str, Any] | None) -> WireDocument | None:
    """The document that an answer repeats: an object with nothing but a `text` is that text."""
    if (
        isinstance(answered, dict)
        and answered.keys() <= {"text", "multi_modal"}
        and isinstance(answered.get("text"), str)
    ):
        return str(answered["text"])
    return answered


def preview(body: bytes) -> str:
    """The beginning of a body, for messages."""
    return repr(body[:PREVIEW].decode("utf-8", "replace") + ("…" if len(body) > PREVIEW else ""))


def _text(document: WireDocument, index: int, dialect: str) -> str:
    if not isinstance(document, str):
        raise WireError(f"documents[{index}] is no text, and {dialect} takes texts only")
    return document


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc).removeprefix("JSON is malformed: ")
