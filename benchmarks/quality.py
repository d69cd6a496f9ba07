"""The bundled model on a collection, by crossrank and by transformers in fp32: nDCG@10, and how close the logits."""

import time
from pathlib import Path

import numpy as np

from crossrank import Reranker
from crossrank.checkpoint.source import bundled_folder
from crossrank.evaluate.collection import Qrels, Run, read_collection, read_run
from crossrank.evaluate.measure import parse_measures, per_query

BATCH = 100
DEPTH = 100


def measure(data: Path) -> list[tuple[str, str, str]]:
    """Rows of (what, value, target)."""
    collection = read_collection(data / "trec_dl19")
    first_stage = read_run(data / "trec_dl19" / "runs" / "BM25.trec", depth=DEPTH)
    run = {query: [document for document, _ in first_stage[query]] for query in collection.judged}
    pairs = [(collection.queries[query], collection.corpus[doc]) for query, found in run.items() for doc in found]
    started = time.perf_counter()
    with Reranker(long_documents="truncate", cache=None) as reranker:
        ours = reranker.score(pairs, raw=True)
    our_seconds = time.perf_counter() - started
    started = time.perf_counter()
    theirs = _transformers(pairs)
    their_seconds = time.perf_counter() - started
    our_ndcg, their_ndcg = (_ndcg_at_10(_ranked(run, logits), collection.qrels) for logits in (ours, theirs))
    return [
        ("trec_dl19 nDCG@10: BM25", f"{_ndcg_at_10(first_stage, collection.qrels):.4f}", ""),
        ("trec_dl19 nDCG@10: bundled model, crossrank", f"{our_ndcg:.4f}", ""),
        ("trec_dl19 nDCG@10: bundled model, transformers fp32", f"{their_ndcg:.4f}", "equal to 3 digits"),
        ("largest difference of logits", f"{np.abs(ours - theirs).max():.1e}", "<= 1e-4"),
        (f"{len(pairs)} pairs: crossrank / transformers", f"{our_seconds:.1f} s / {their_seconds:.1f} s", ""),
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
    logits = []
    with torch.inference_mode():
        for start in range(0, len(pairs), BATCH):
            queries, documents = zip(*pairs[start : start + BATCH], strict=True)
            options = {"padding": True, "truncation": "only_second", "max_length": 256, "return_tensors": "pt"}
            batch = tokenizer(list(queries), list(documents), **options)
            logits.append(model(**batch).logits[:, 0].numpy())
    return np.concatenate(logits)
