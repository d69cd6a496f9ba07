"""The words that BM25 counts, and the best places by its scores: the same for an index on disk and one in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import MissingExtra

K1, B = 0.9, 0.4  # what Anserini and Pyserini take for passages
WORD = r"(?u)\b\w+\b"  # bm25s' own pattern drops words of one letter or digit: "C", "R", "5"


def words_of(texts: list[str]) -> list[list[str]]:
    """Of each text: lower-cased words, without English stop words, not stemmed."""
    words: list[list[str]] = bm25s("search").tokenize(
        texts, lower=True, token_pattern=WORD, stopwords="en", return_ids=False, show_progress=False
    )
    return words


def known_scores(index: Any, words: list[str], documents: int) -> NDArray[np.float32]:
    """Scores float32 [documents] by the words that the index knows."""
    known = [word for word in words if word in index.vocab_dict]
    if not known:
        return np.zeros(documents, np.float32)
    return np.asarray(index.get_scores(known), np.float32)


def best_places(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Places of at most `k` scores above 0, best first; equal ones in their order."""
    floor = np.partition(scores, -k)[-k] if k < len(scores) else 0.0
    found = np.flatnonzero((scores >= floor) & (scores > 0))
    order: NDArray[np.int64] = found[np.argsort(-scores[found], kind="stable")][:k]
    return order


def bm25s(extra: str) -> Any:
    """The library, if it is installed."""
    try:
        import bm25s as library
    except ImportError as exc:
        raise MissingExtra(f"bm25s is not installed. Run: pip install 'crossrank[{extra}]'") from exc
    return library
