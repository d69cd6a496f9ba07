"""What a caller means by a document: str, mapping or object, turned into the text that a model reads.

It knows no tokens, models or JSON dialects. The caller's objects are never changed and come back by identity.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import yaml

from crossrank.errors import ArgumentTypeError, DocumentError
from crossrank.types import Document

TEXT_FIELDS = ("text", "content", "page_content")  # of a mapping, in order of preference
TEXT_ATTRIBUTES = ("text", "page_content", "content")  # of an object
NESTING_MAX = 32  # levels of a structured document
SCALARS = (type(None), str, bool, int, float, date, datetime)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML would write escapes
TEXT = "tag:yaml.org,2002:str"
TRAILING = re.compile(r" +\n")


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A caller's document with the text that stands for it."""

    document: Document
    text: str


def as_documents(documents: Sequence[Document], fields: Sequence[str] | None = None) -> list[TextDocument]:
    """Each document with its text, in order.

    Raises:
        ArgumentTypeError: `documents` is no sequence of documents; an item is None, a number or of no known shape.
        DocumentError: a mapping lacks a field of `fields`, or cannot be rendered.
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
        missing = [field for field in fields if field not in document]
        if missing:
            raise DocumentError(
                f"{name} has no field {', '.join(map(repr, missing))}; "
                f"its fields are: {', '.join(map(repr, document)) or '(none)'}"
            )
        return render({field: document[field] for field in fields}, name)
    for field in TEXT_FIELDS:
        if isinstance(document.get(field), str):
            return str(document[field])
    return render(document, name)


def render(document: Mapping[str, Any], name: str = "the document") -> str:
    """A structured document as YAML: one `field: value` a line, in the mapping's own order."""
    try:
        text = yaml.dump(
            _plain(document, name),
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=2**31,  # a value stays on its line: line breaks of ours would only cost tokens
        )
    except yaml.YAMLError as exc:
        raise DocumentError(f"{name} cannot be rendered as YAML: {exc}") from exc
    return str(text).rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: `&id001` and `*id001` would be noise to a model."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Lines as they are; quotes only where YAML needs them, and never escapes, which a model would read."""
    text = TRAILING.sub("\n", CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()
    resolve: Any = dumper.resolve
    plain = dumper.analyze_scalar(text).allow_block_plain and resolve(yaml.ScalarNode, text, (True, False)) == TEXT
    block = "\n" in text or ("'" in text and not plain)  # in quotes, each apostrophe would be doubled
    return dumper.represent_scalar(TEXT, text, style="|" if block else None)


_Dumper.add_representer(str, _represent_text)


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
