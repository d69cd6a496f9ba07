"""BM25 within a source: the best places for a query, and the score of any place. It knows words; not judgements."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossrank.evaluate.bm25 import Bm25


class Lexical:
    """The same BM25 that `crossrank eval` retrieves with, over documents by place.

    Args:
        documents: texts, by place; those past `searchable` are scored with the corpus's statistics, never found.
        searchable: how many of them are the corpus.
    """

    def __init__(self, documents: Sequence[str], searchable: int | None = None) -> None:
        self._searchable = len(documents) if searchable is None else searchable
        self._index = Bm25({str(place): text for place, text in enumerate(documents)})

    def best(self, queries: Sequence[str], depth: int) -> NDArray[np.int32]:
        """Places int32 [queries, depth], best first, -1 where fewer share a word; equal scores keep their order."""
        found = np.full((len(queries), depth), -1, np.int32)
        for row, scores in enumerate(self._index.scores(queries)):
            known = scores[: self._searchable]
            count = min(depth, int((known > 0).sum()))
            if count:
                floor = np.partition(known, -count)[-count]
                places = np.flatnonzero(known >= floor)
                found[row, :count] = places[np.argsort(-known[places], kind="stable")][:count]
        return found

    def scores(self, queries: Sequence[str], places: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores float32 like `places` [queries, documents]; nan where the place is -1."""
        rows = [scores[row] for scores, row in zip(self._index.scores(queries), places, strict=True)]
        return np.where(places < 0, np.nan, np.array(rows).reshape(places.shape)).astype(np.float32)
