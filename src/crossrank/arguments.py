"""What callers may give to a ranking call: every value is checked here, before anything is computed.

It knows types and ranges; not models, tokens or scores.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import index as as_index
from typing import Any

from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.types import Document


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which hits of a ranking the caller wants."""

    top_k: int | None
    threshold: float | None

    @classmethod
    def of(cls, top_k: Any, threshold: Any) -> "Wanted":
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
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
            raise ArgumentTypeError(f"threshold must be a number, not {threshold!r}")
        if threshold is not None and math.isnan(threshold):
            raise UsageError("threshold is NaN; give a number, or None to keep all hits")
        return cls(top_k, threshold)

    def keeps(self, score: float | None, kept: int) -> bool:
        """Whether a hit of this score is wanted after `kept` better ones; unscored ones are, whatever the threshold."""
        if self.top_k is not None and kept >= self.top_k:
            return False
        return self.threshold is None or score is None or score >= self.threshold


def check_query(query: Any, name: str = "query") -> None:
    """Raise unless the query is a non-empty string of valid Unicode."""
    if not isinstance(query, str):
        raise ArgumentTypeError(
            f"{name} must be a str, not {type(query).__name__}. The order of arguments is rank(query, documents)."
        )
    if not query.strip():
        raise UsageError(f"{name} is empty; a ranking needs something to rank by")
    try:
        query.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(
            f"{name} holds a lone surrogate at character {exc.start}, which is no valid Unicode text"
        ) from None


def check_pairs(pairs: Any) -> Iterable[Any]:
    """The pairs, if they can be iterated."""
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise ArgumentTypeError(f"pairs must be a list of (query, document) tuples, not {type(pairs).__name__}")
    return pairs


def check_pair(pair: Any, index: int) -> tuple[str, Document]:
    """The query and the document of one pair; `index` is only for messages."""
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise ArgumentTypeError(
            f"pairs[{index}] is {type(pair).__name__} ({str(pair)[:40]!r}); each pair is (query, document)"
        )
    check_query(pair[0], f"the query of pairs[{index}]")
    return pair[0], pair[1]


def zip_strict(
    queries: Iterable[str], documents: Iterable[Sequence[Document]]
) -> Iterator[tuple[str, Sequence[Document]]]:
    """Queries with their documents; a UsageError when one of them ends before the other."""
    try:
        yield from zip(queries, documents, strict=True)
    except ValueError as exc:
        if "zip()" not in str(exc):
            raise
        raise UsageError(
            "queries and documents_per_query differ in length; give one list of documents a query"
        ) from None


def deadline_of(deadline_s: Any) -> float | None:
    """The time.monotonic() at which `deadline_s` seconds from now will have passed."""
    if deadline_s is None:
        return None
    if isinstance(deadline_s, bool) or not isinstance(deadline_s, int | float) or math.isnan(deadline_s):
        raise ArgumentTypeError(f"deadline_s must be a number of seconds, not {deadline_s!r}")
    return time.monotonic() + deadline_s
