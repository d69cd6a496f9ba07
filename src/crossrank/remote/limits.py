"""What a vendor takes in one call, and the cutting of many documents into calls that keep to it. Pure.

It knows numbers and texts; not who the vendor is or how it is reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TOKEN_BYTES = 3  # UTF-8 bytes that make a token at least, on the safe side of what tokenizers give for prose


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one call may hold; None where there is no bound, or none that is known.

    Attributes:
        documents_max: documents of a call.
        tokens_max: tokens of a call, the query counted once for each document. They are estimated: the tokenizer is the
            vendor's.
        document_tokens_max: tokens after which the vendor itself cuts a document, so that no more are counted.
        document_characters_max: characters of a document; what is beyond is not sent, and the hit says so.
        query_characters_max: characters of the query; a longer one is an error.
        bytes_max: bytes of a call's body.
    """

    documents_max: int | None = None
    tokens_max: int | None = None
    document_tokens_max: int | None = None
    document_characters_max: int | None = None
    query_characters_max: int | None = None
    bytes_max: int | None = None


def tokens_of(text: str) -> int:
    """An estimate of a text's tokens that is rather too high."""
    return len(text.encode()) // TOKEN_BYTES + 1


def split(query: str, texts: Sequence[str], limits: Limits) -> list[range]:
    """Positions of the texts, in order, each once; no call above the limits except of a single text."""
    parts: list[range] = []
    start = tokens = size = 0
    query_tokens = tokens_of(query) if limits.tokens_max is not None else 0
    overhead = len(query.encode()) + 1024  # with the model's name and the keys
    for position, text in enumerate(texts):
        more_tokens = 0 if limits.tokens_max is None else query_tokens + tokens_of(text)
        if limits.document_tokens_max is not None:
            more_tokens = min(more_tokens, limits.document_tokens_max)
        more_bytes = 0 if limits.bytes_max is None else _json_bytes(text)
        full = (
            _above(position - start + 1, limits.documents_max)
            or _above(tokens + more_tokens, limits.tokens_max)
            or _above(size + more_bytes + overhead, limits.bytes_max)
        )
        if full and position > start:
            parts.append(range(start, position))
            start, tokens, size = position, 0, 0
        tokens += more_tokens
        size += more_bytes
    if start < len(texts):
        parts.append(range(start, len(texts)))
    return parts


def _above(value: int, limit: int | None) -> bool:
    return limit is not None and value > limit


def _json_bytes(text: str) -> int:
    """Bytes of the text in a body: what JSON escapes takes more."""
    escaped = sum(map(text.count, '"\\\n\r\t'))
    return len(text.encode()) + escaped + 16
