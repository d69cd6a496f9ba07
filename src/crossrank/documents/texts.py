"""What a caller means by a document: str, mapping or object, turned into the text that a model reads.

It knows no tokens, models or JSON dialects. The caller's objects are never changed and come back by identity.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from crossrank.documents.fields import select
from crossrank.documents.rendering import dump
from crossrank.errors import ArgumentTypeError, DocumentError
from crossrank.types import Document

TEXT_FIELDS = ("text", "content", "page_content")  # of a mapping, in order of preference
TEXT_ATTRIBUTES = ("text", "page_content", "content")  # of an object
NESTING_MAX = 32  # levels of a structured document
SCALARS = (type(None), str, bool, int, float, date, datetime)


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A caller's document with the text that stands for it."""

    document: Document
    text: str


def as_documents(documents: Sequence[Document], fields: Sequence[str] | None = None) -> list[TextDocument]:
    """Each document with its text, in order.

    Raises:
        ArgumentTypeError: `documents` is no sequence of documents; an item is None, a number or of no known shape.
        DocumentError: a mapping lacks a field of `fields` (see `crossrank.documents.fields`), or cannot be rendered.
    """
    check_fields(fields)
    return [
        TextDocument(document, text_of(document, f"documents[{index}]", fields))
        for index, document in enumerate(_items(documents))
    ]


def check_fields(fields: Sequence[str] | None) -> None:
    """Raise ArgumentTypeError unless `fields` is None or a non-empty sequence of strings."""
    if fields is None:
        return
    if isinstance(fields, str) or not isinstance(fields, Sequence) or not all(isinstance(f, str) for f in fields):
        raise ArgumentTypeError(
            f"fields must be a list of field names, not {fields!r}. Example: fields=['title', 'text']"
        )
    if not fields:
        raise DocumentError("fields is empty; name at least one field, or leave it out to use the document's text")


def _items(documents: Any) -> Iterable[Document]:
    if isinstance(documents, str | bytes | Mapping):
        raise ArgumentTypeError(
            f"documents must be a list of documents, not one {type(documents).__name__}. "
            "The order of arguments is rank(query, documents); for a single document give [document]."
        )
    if not isinstance(documents, Iterable):
        raise ArgumentTypeError(f"documents must be a list of documents, not {type(documents).__name__}")
    return documents


def text_of(document: Document, name: str, fields: Sequence[str] | None = None) -> str:
    """The text that stands for one document; `name` is what messages call it."""
    if isinstance(document, str):
        return _checked(document, name)
    if isinstance(document, Mapping):
        return _checked(_text_of_mapping(document, name, fields), name)
    for attribute in TEXT_ATTRIBUTES:
        text = getattr(document, attribute, None)
        if isinstance(text, str):
            return _checked(text, name)
    raise ArgumentTypeError(
        f"{name} is {_describe(document)}; a document is a str, a mapping, "
        "or an object with a str attribute 'text', 'page_content' or 'content'"
    )


def _describe(document: Document) -> str:
    return "None" if document is None else f"{type(document).__name__} ({str(document)[:40]!r})"


def _checked(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise DocumentError(
            f"{name} holds a lone surrogate at character {exc.start}, which is no valid Unicode text. "
            "Decode the source with errors='replace'."
        ) from None
    return text


def _text_of_mapping(document: Mapping[str, Any], name: str, fields: Sequence[str] | None) -> str:
    if fields is not None:
        return render(select(document, fields, name), name)
    for field in TEXT_FIELDS:
        if isinstance(document.get(field), str):
            return str(document[field])
    return render(document, name)


def render(document: Mapping[str, Any], name: str = "the document") -> str:
    """A structured document as YAML: one `field: value` a line, in the mapping's own order."""
    plain = _plain(document, name)
    try:
        return dump(plain)
    except ValueError as exc:  # a number of thousands of digits, which Python does not write
        raise DocumentError(f"{name} cannot be rendered as YAML: {exc}") from exc


def _plain(value: Any, name: str, depth: int = 0) -> Any:
    """Only what YAML can name: mappings, lists, strings, numbers, dates; anything else as its str()."""
    if depth > NESTING_MAX:
        raise DocumentError(
            f"{name} is nested deeper than {NESTING_MAX} levels or contains itself; "
            "choose what the model shall read with fields=[...]"
        )
    if isinstance(value, Mapping):
        return {key if type(key) in SCALARS else str(key): _plain(item, name, depth + 1) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()  # Python's own numbers and lists
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # equal content gives equal text
    if isinstance(value, list | tuple):
        return [_plain(item, name, depth + 1) for item in value]
    return value if type(value) in SCALARS and not isinstance(value, str) else _checked(str(value), name)
