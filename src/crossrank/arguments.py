"""What callers may give to a ranking call: every value is checked here, before anything is computed.

It knows types and ranges; not models, tokens or scores.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from operator import index as as_index
from typing import Any, Literal, get_args

import numpy as np

from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.types import Document

ThresholdOn = Literal["score", "probability"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which hits of a ranking the caller wants."""

    top_k: int | None
    threshold: float | None
    threshold_on: ThresholdOn = "score"

    @classmethod
    def of(cls, top_k: Any, threshold: Any, threshold_on: Any = "score") -> "Wanted":
        """The checked values."""
        if top_k is not None:
            try:
                top_k = None if isinstance(top_k, bool) else as_index(top_k)
            except TypeError:
                top_k = None
            if top_k is None:
                raise ArgumentTypeError("top_k must be a whole number of at least 1, or None for all")
            if top_k < 1:
                raise UsageError(f"top_k={top_k} asks for no hits; give at least 1, or None for all")
        if threshold is not None and math.isnan(check_number("threshold", threshold)):
            raise UsageError("threshold is NaN; give a number, or None to keep all hits")
        if threshold_on not in get_args(ThresholdOn):
            raise UsageError(f"threshold_on={threshold_on!r} is not known; give 'score' or 'probability'")
        return cls(top_k, threshold, threshold_on)

    def keeps(self, score: float | None, kept: int) -> bool:
        """Whether a hit is wanted after `kept` better ones; unscored ones are, whatever the threshold.

        `score` is what the threshold is on: the hit's score or its probability.
        """
        if self.top_k is not None and kept >= self.top_k:
            return False
        return self.threshold is None or score is None or score >= self.threshold


class AsItStands(str):
    """A query that comes from a framework, whose users expect that an empty one is ranked too."""

    __slots__ = ()


def check_query(query: Any, name: str = "query") -> None:
    """Raise unless the query is a non-empty string of valid Unicode."""
    if not isinstance(query, str):
        raise ArgumentTypeError(
            f"{name} must be a str, not {type(query).__name__}. The order of arguments is rank(query, documents)."
        )
    if not query.strip() and not isinstance(query, AsItStands):
        raise UsageError(f"{name} is empty; a ranking needs something to rank by")
    check_unicode(query, name)


def check_unicode(text: str, name: str) -> None:
    """Raise unless the text can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(
            f"{name} holds a lone surrogate at character {exc.start}, which is no valid Unicode text"
        ) from None


def check_number(name: str, value: Any) -> float:
    """The value as a float, if it is a real number (of numpy too)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{name} is beyond what a float can hold; give a smaller number") from None


def check_model(model: Any) -> str | None:
    """A model's name or folder as a string."""
    if model is None or isinstance(model, str):
        return model
    if isinstance(model, os.PathLike):
        return str(os.fspath(model))
    raise ArgumentTypeError(f"model must be a name or a folder, not {type(model).__name__} ({str(model)[:40]!r})")


def check_iterable(name: str, value: Any, what: str) -> Iterable[Any]:
    """The value, if it can be iterated and is no single string."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ArgumentTypeError(f"{name} must be a list of {what}, not one {type(value).__name__}")
    return value


def check_names(name: str, value: Any) -> tuple[Any, ...] | None:
    """The names, if there are any; what each may be is looked at where it is known."""
    return None if value is None else tuple(check_iterable(name, value, "names"))


def check_pair(pair: Any, index: int) -> tuple[str, Document]:
    """The query and the document of one pair; `index` is only for messages."""
    if isinstance(pair, np.ndarray):
        pair = pair.tolist()
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise ArgumentTypeError(
            f"pairs[{index}] is {type(pair).__name__} ({str(pair)[:40]!r}); each pair is (query, document)"
        )
    check_query(pair[0], f"the query of pairs[{index}]")
    return pair[0], pair[1]


def each_query(queries: Any, documents_per_query: Any) -> Iterator[tuple[str, Sequence[Document]]]:
    """Queries with their documents, each checked when it is its turn; that both can be iterated is checked at once."""
    check_iterable("queries", queries, "strings")
    check_iterable("documents_per_query", documents_per_query, "lists of documents, one a query")
    return _each_query(queries, documents_per_query)


def _each_query(
    queries: Iterable[str], documents_per_query: Iterable[Sequence[Document]]
) -> Iterator[tuple[str, Sequence[Document]]]:
    try:
        for number, (query, documents) in enumerate(zip(queries, documents_per_query, strict=True)):
            check_query(query, f"queries[{number}]")
            yield query, documents
    except ValueError as exc:
        if "zip()" not in str(exc):
            raise
        raise UsageError(
            "queries and documents_per_query differ in length; give one list of documents a query"
        ) from None


def check_priority(priority: Any) -> int:
    """The priority, if it is a whole number."""
    try:
        return as_index(priority)
    except TypeError:
        raise ArgumentTypeError(
            f"priority must be a whole number, not {priority!r}; 0 is usual, higher is first"
        ) from None


def deadline_of(deadline_s: Any) -> float | None:
    """The time.monotonic() at which `deadline_s` seconds from now will have passed."""
    if deadline_s is None:
        return None
    if math.isnan(seconds := check_number("deadline_s", deadline_s)):
        raise UsageError("deadline_s is NaN; give a number of seconds, or None to wait as long as it takes")
    return time.monotonic() + seconds
