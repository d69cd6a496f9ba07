"""A first stage for whoever has none: BM25 over a corpus in memory.

It knows texts and ids; not judgements, rankers or models.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import UsageError
from crossrank.retrieve.words import K1, B, best_places, bm25s, known_scores, words_of


class Bm25:
    """BM25 (Robertson and Zaragoza 2009, in Lucene's variant), lower-cased words, English stop words, no stemming.

    Args:
        corpus: text by document id.

    Raises:
        MissingExtra: bm25s is not installed.
        UsageError: the corpus has no word at all.
    """

    def __init__(self, corpus: Mapping[str, str]) -> None:
        library = bm25s("eval")
        self._ids = list(corpus)
        self._place = {document: place for place, document in enumerate(self._ids)}
        words = words_of(list(corpus.values()))
        if not any(words):
            raise UsageError("The corpus has no words to search for; give --run or --pool instead of BM25.")
        self._index = library.BM25(k1=K1, b=B, method="lucene", backend="numpy")
        self._index.index(words, show_progress=False)

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[tuple[str, float]]]:
        """By query id: at most `k` (document id, score), best first; only documents that share a word with the query.

        Equal scores keep the corpus's order.
        """
        if k < 1:
            raise UsageError(f"k={k} asks for no documents; give at least 1.")
        return {
            query: self._best(words, k) for query, words in zip(queries, words_of(list(queries.values())), strict=True)
        }

    def order(self, query: str, ids: Sequence[str]) -> list[tuple[str, float]]:
        """These documents of the corpus by their score for the query's text, best first; equal ones as given."""
        scores = self._scores(words_of([query])[0])
        scored = [(document, float(scores[self._place[document]])) for document in ids]
        return sorted(scored, key=lambda item: -item[1])

    def scores(self, queries: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """By query, the score float32 [documents] of every document, in the corpus's order."""
        return (self._scores(words) for words in words_of(list(queries)))

    def _best(self, words: list[str], k: int) -> list[tuple[str, float]]:
        scores = self._scores(words)
        return [(self._ids[place], float(scores[place])) for place in best_places(scores, k)]

    def _scores(self, words: list[str]) -> NDArray[np.float32]:
        return known_scores(self._index, words, len(self._ids))
