"""Bodies as bytes: JSON in and out, with errors that name the place, and the few shapes that several vendors share.

It knows no vendor's names for things.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from crossrank.wire.contract import WireDocument, WireError

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
    texts = []
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise WireError(f"documents[{index}] is no text, and {dialect} takes texts only")
        texts.append(document)
    return texts


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


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc).removeprefix("JSON is malformed: ")
