"""The bundled model on a collection in each precision that is here, and by transformers in fp32: how close they are."""

from pathlib import Path

import numpy as np

from crossrank import Reranker
from crossrank.checkpoint.source import bundled_folder
from crossrank.collection import Qrels, Run, read_collection, read_run
from crossrank.engine.open import available_precisions
from crossrank.engine.precision import EXACT, by_exactness
from crossrank.evaluate.measure import parse_measures, per_query

BATCH = 100
DEPTH = 100


def measure(data: Path) -> list[tuple[str, str, str]]:
    """Rows of (what, value, target)."""
    collection = read_collection(data / "trec_dl19")
    first_stage = read_run(data / "trec_dl19" / "runs" / "BM25.trec", depth=DEPTH)
    run = {query: [document for document, _ in first_stage[query]] for query in collection.judged}
    pairs = [(collection.queries[query], collection.corpus[doc]) for query, found in run.items() for doc in found]
    logits: dict[str, np.ndarray] = {}
    for precision in by_exactness(available_precisions()[1]):
        with Reranker(precision=precision, long_documents="truncate", cache=None) as reranker:
            logits[precision] = reranker.score(pairs, raw=True)
    theirs = _transformers(pairs)
    ndcg = {
        f"crossrank {name}" if name in logits else name: _ndcg_at_10(_ranked(run, scores), collection.qrels)
        for name, scores in {**logits, "transformers fp32": theirs}.items()
    }
    ours = " / ".join(f"{ndcg[f'crossrank {precision}']:.4f}" for precision in logits)
    difference = np.abs(logits[EXACT] - theirs).max()
    return [
        ("nDCG@10 on TREC DL 2019: BM25", f"{_ndcg_at_10(first_stage, collection.qrels):.4f}", ""),
        (f"nDCG@10 on TREC DL 2019 by the bundled model: {' / '.join(logits)}", ours, ""),
        ("the same by transformers, fp32", f"{ndcg['transformers fp32']:.4f}", "equal to 3 digits"),
        ("largest difference of fp32's logits to transformers'", f"{difference:.1e}", "<= 1e-4"),
    ]


def _ranked(run: dict[str, list[str]], logits: np.ndarray) -> Run:
    rankings, start = {}, 0
    for query, found in run.items():
        scores = logits[start : start + len(found)].tolist()
        rankings[query] = sorted(zip(found, scores, strict=True), key=lambda hit: -hit[1])
        start += len(found)
    return rankings


def _ndcg_at_10(run: Run, qrels: Qrels) -> float:
    (values,) = per_query(parse_measures(["nDCG@10"]), qrels, run, list(run)).values()
    return sum(values.values()) / len(values)


def _transformers(pairs: list[tuple[str, str]]) -> np.ndarray:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = bundled_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i][1]))  # little padding: it is slow enough
    logits = np.empty(len(pairs), np.float32)
    with torch.inference_mode():
        for start in range(0, len(pairs), BATCH):
            places = by_length[start : start + BATCH]
            queries, documents = zip(*(pairs[i] for i in places), strict=True)
            options = {"padding": True, "truncation": "only_second", "max_length": 256, "return_tensors": "pt"}
            batch = tokenizer(list(queries), list(documents), **options)
            logits[places] = model(**batch).logits[:, 0].numpy()
    return logits
