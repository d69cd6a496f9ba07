"""What the model is worth while it is trained: named sets, reranked and measured as `crossrank eval` does.

Knows collections and rankers; not losses or steps.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank.collection import Collection, read_collection, read_run
from crossrank.evaluate.candidates import FirstStage, from_bm25, from_pool, from_run
from crossrank.evaluate.evaluate import evaluate
from crossrank.train.config import TrainConfig
from crossrank.train.options import EvaluateConfig
from crossrank.types import Document, Hit, Ranker, Ranking

PAIRS_AT_ONCE = 256  # that a student scores


@dataclass(frozen=True, slots=True)
class MeasuredSet:
    """A collection with its candidates, read once."""

    config: EvaluateConfig
    collection: Collection
    first_stage: FirstStage

    def measure(self, ranker: Ranker) -> tuple[float, float]:
        """The measure of the first stage and of the ranker."""
        result = evaluate(
            {"model": ranker},
            self.collection,
            first_stage=self.first_stage,
            measures=[self.config.measure],
            queries_max=self.config.limit,
        )
        name = result.measures[0]
        return result.first_stage.scores[name].mean, result.row("model").scores[name].mean


def read_sets(config: TrainConfig) -> list[MeasuredSet]:
    """The config's evaluation sets; whatever is wrong with one shows before the first step."""
    return [_read_set(one, config.below_data(one.path)) for one in config.evaluate]


def _read_set(one: EvaluateConfig, folder: Path) -> MeasuredSet:
    collection = read_collection(folder, split=one.split)
    if one.candidates == "bm25":
        stage = from_bm25(collection, depth=one.depth)
    elif one.candidates == "judged":
        stage = from_pool(collection, depth=one.depth)
    else:
        stage = from_run(read_run(folder / one.candidates), depth=one.depth)
    return MeasuredSet(one, collection, stage)


def query_texts(sets: Sequence[MeasuredSet]) -> dict[str, list[str]]:
    """By set: the queries that it measures with."""
    return {one.config.title: [one.collection.queries[key] for key in one.collection.judged] for one in sets}


def measure_all(sets: Sequence[MeasuredSet], open_ranker: Callable[[], Ranker]) -> dict[str, float]:
    """By set: the model's measure."""
    if not sets:
        return {}
    ranker = open_ranker()
    try:
        return {one.config.title: one.measure(ranker)[1] for one in sets}
    finally:
        close = getattr(ranker, "close", None)
        if close is not None:
            close()


def first_stages(sets: Sequence[MeasuredSet]) -> dict[str, float]:
    """By set: the first stage's measure, without any model."""
    return {one.config.title: one.measure(_AsGiven())[0] for one in sets}


def native_ranker(write: Callable[[Path], None], max_length: int) -> Ranker:
    """The model in crossrank's own CPU engine: what users will run.

    Args:
        write: puts the model into a folder.
        max_length: tokens of a pair that are read.
    """
    from crossrank.reranker import Reranker

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "model")
        return Reranker(str(Path(folder) / "model"), max_length=max_length, long_documents="truncate", cache=None)


class TorchRanker:
    """A sentence-transformers CrossEncoder as a Ranker: for GPUs, where it is faster than the CPU engine."""

    def __init__(self, student: Any) -> None:
        self._student = student

    def rank(self, query: str, documents: Sequence[Document], *, top_k: int | None = None) -> Ranking:
        """The documents in order of the model's score."""
        training = self._student.training
        scores = self._student.predict(
            [(query, str(document)) for document in documents], batch_size=PAIRS_AT_ONCE, show_progress_bar=False
        )
        self._student.train(training)
        return _ranking(query, documents, [float(score) for score in scores], top_k)


class _AsGiven:
    """Ranks nothing: the documents in their order."""

    def rank(self, query: str, documents: Sequence[Document], *, top_k: int | None = None) -> Ranking:
        """The documents as they came."""
        return _ranking(query, documents, [-float(place) for place in range(len(documents))], top_k)


def _ranking(query: str, documents: Sequence[Document], scores: Sequence[float], top_k: int | None) -> Ranking:
    order = sorted(range(len(documents)), key=lambda place: -scores[place])[:top_k]
    hits = [Hit(n, i, scores[i], None, documents[i], str(documents[i])) for n, i in enumerate(order, 1)]
    return Ranking(tuple(hits), query)
