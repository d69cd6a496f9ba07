"""Whoever is learnt from: bi-encoders, BM25 and rankers, alone or summed, as scores of (query, document).

It knows texts, places and scores; not labels or losses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossrank.train.embed import Embedder, Progress
from crossrank.train.lexical import Lexical
from crossrank.train.options import PartConfig, TeacherConfig
from crossrank.types import Ranker

Scores = NDArray[np.float32]
Places = NDArray[np.int32]


class Part(Protocol):
    """One opinion."""

    def scores(self, queries: Sequence[str], documents: Sequence[str], places: Places, progress: Progress) -> Scores:
        """Scores float32 like `places` [queries, columns], which point into `documents`; anything where -1."""
        ...


class CosinePart:
    """A bi-encoder's cosine."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def scores(self, queries: Sequence[str], documents: Sequence[str], places: Places, progress: Progress) -> Scores:
        """Cosines of query and document."""
        used, columns = np.unique(np.maximum(places, 0), return_inverse=True)
        unique = list(dict.fromkeys(queries))
        vectors = self._embedder.vectors([*unique, *(documents[place] for place in used)], progress)
        at = {query: row for row, query in enumerate(unique)}
        asked = vectors[[at[query] for query in queries]]
        columns = columns.reshape(places.shape) + len(unique)
        out = np.empty(places.shape, np.float32)
        for column in range(places.shape[1]):  # a column at a time: [queries, columns, width] would be gigabytes
            out[:, column] = np.einsum("nd,nd->n", asked, vectors[columns[:, column]])
        return out


class LexicalPart:
    """BM25 with the statistics of the source."""

    def __init__(self, lexical: Callable[[], Lexical]) -> None:
        self._lexical = lexical

    def scores(self, queries: Sequence[str], documents: Sequence[str], places: Places, progress: Progress) -> Scores:  # noqa: ARG002
        """BM25, not bounded above; 0 where no word is shared."""
        scores = self._lexical().scores(queries, places)
        progress(len(queries), len(queries))
        return scores


class RankerPart:
    """Any ranker's logit, or its score where it gives no logit."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker

    def scores(self, queries: Sequence[str], documents: Sequence[str], places: Places, progress: Progress) -> Scores:
        """One ranking a query; nan where the ranker left a document out."""
        out = np.full(places.shape, np.nan, np.float32)
        for row, query in enumerate(queries):
            columns = np.flatnonzero(places[row] >= 0)
            for hit in self._ranker.rank(query, [documents[places[row, column]] for column in columns]):
                score = hit.score if hit.logit is None else hit.logit
                out[row, columns[hit.index]] = np.nan if score is None else score
            if row % 64 == 63 or row + 1 == len(queries):
                progress(row + 1, len(queries))
        return out


def teach(
    config: TeacherConfig,
    parts: Mapping[PartConfig, Part],
    queries: Sequence[str],
    documents: Sequence[str],
    places: Places,
    progress: Progress,
) -> Scores:
    """The teacher's scores float32 like `places`: the weighted sum of its parts; nan where the place is -1."""
    total = np.zeros(places.shape, np.float32)
    for part in config.parts:
        scores = parts[part].scores(queries, documents, places, progress)
        total += np.float32(part.weight) * normalised(np.where(places < 0, np.nan, scores), part.normalise)
    return total


def normalised(scores: Scores, how: str) -> Scores:
    """Rows [queries, columns] brought to 0..1 (minmax) or to mean 0 and deviation 1 (zscore), nan left out."""
    if how == "none" or scores.size == 0:
        return scores
    known = np.isfinite(scores)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    if how == "minmax":
        low = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
        high = np.where(known, scores, -np.inf).max(axis=1, keepdims=True)
        return np.asarray((scores - low) / np.where(high > low, high - low, 1), np.float32)
    mean = np.where(known, scores, 0).sum(axis=1, keepdims=True) / count
    deviation = np.sqrt(np.where(known, (scores - mean) ** 2, 0).sum(axis=1, keepdims=True) / count)
    return np.asarray((scores - mean) / np.where(deviation > 0, deviation, 1), np.float32)
