"""Haystack's documents as its rankers take them: their texts, each id once, scores on another scale.

It imports nothing of Haystack's.
"""

import math
from collections.abc import Sequence
from typing import Any

from crossrank.errors import ArgumentTypeError
from crossrank.integrations.asking import Place


def text_of(document: Any, fields: Sequence[str] | None, separator: str) -> str:
    """The values of metadata's `fields` and the content; what is None is left out."""
    values = (*(document.meta.get(field) for field in fields or ()), document.content or "")
    return separator.join(str(value) for value in values if value is not None)


def once(documents: Sequence[Any]) -> list[Any]:
    """Of documents with one id the one that came with the highest score, at the place of the first."""
    kept: dict[str, Any] = {}
    for index, document in enumerate(documents):
        if not hasattr(document, "content"):
            raise ArgumentTypeError(f"documents[{index}] is {type(document).__name__}; give haystack.Document")
        before = kept.setdefault(document.id, document)
        if _given_score(document) > _given_score(before):
            kept[document.id] = document
    return list(kept.values())


def scaled(place: Place, *, sigmoid: bool | None) -> float:
    """The model's own score (None), the sigmoid of its logit, or the logit, where there is one."""
    if sigmoid is None or place.logit is None:
        return place.score
    return (1 + math.tanh(place.logit / 2)) / 2 if sigmoid else place.logit


def _given_score(document: Any) -> float:
    return -math.inf if document.score is None else document.score
