"""A first stage for whoever has none: BM25 over a corpus in memory.

It knows texts and ids; not judgements, rankers or models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import MissingExtra, UsageError

K1, B = 0.9, 0.4  # what Anserini and Pyserini take for passages
WORD = r"(?u)\b\w+\b"  # bm25s' own pattern drops words of one letter or digit: "C", "R", "5"


class Bm25:
    """BM25 (Robertson and Zaragoza 2009, in Lucene's variant), lower-cased words, English stop words, no stemming.

    Args:
        corpus: text by document id.

    Raises:
        MissingExtra: bm25s is not installed.
        UsageError: the corpus has no word at all.
    """

    def __init__(self, corpus: Mapping[str, str]) -> None:
        bm25s = _bm25s()
        self._ids = list(corpus)
        self._place = {document: place for place, document in enumerate(self._ids)}
        words = _words(list(corpus.values()))
        if not any(words):
            raise UsageError("The corpus has no words to search for; give --run or --pool instead of BM25.")
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
        self._index.index(words, show_progress=False)

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[tuple[str, float]]]:
        """By query id: at most `k` (document id, score), best first; only documents that share a word with the query.

        Equal scores keep the corpus's order.
        """
        if k < 1:
            raise UsageError(f"k={k} asks for no documents; give at least 1.")
        return {
            query: self._best(words, k) for query, words in zip(queries, _words(list(queries.values())), strict=True)
        }

    def order(self, query: str, ids: Sequence[str]) -> list[tuple[str, float]]:
        """These documents of the corpus by their score for the query's text, best first; equal ones as given."""
        scores = self._scores(_words([query])[0])
        scored = [(document, float(scores[self._place[document]])) for document in ids]
        return sorted(scored, key=lambda item: -item[1])

    def _best(self, words: list[str], k: int) -> list[tuple[str, float]]:
        scores = self._scores(words)
        floor = np.partition(scores, -k)[-k] if k < len(scores) else 0.0
        found = np.flatnonzero((scores >= floor) & (scores > 0))
        order = found[np.argsort(-scores[found], kind="stable")][:k]
        return [(self._ids[place], float(scores[place])) for place in order]

    def _scores(self, words: list[str]) -> NDArray[np.float32]:
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return np.zeros(len(self._ids), np.float32)
        return np.asarray(self._index.get_scores(known), np.float32)


def _words(texts: list[str]) -> list[list[str]]:
    words: list[list[str]] = _bm25s().tokenize(
        texts, lower=True, token_pattern=WORD, stopwords="en", return_ids=False, show_progress=False
    )
    return words


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as exc:
        raise MissingExtra("bm25s is not installed. Run: pip install 'crossrank[eval]'") from exc
    return bm25s
