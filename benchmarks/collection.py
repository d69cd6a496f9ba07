"""A test collection in BEIR layout (corpus, queries, qrels, TREC runs) and nDCG@10 over it."""

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Collection:
    """Texts by id, graded judgements, and a first stage's candidates in order."""

    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    run: dict[str, list[str]]


def read_collection(folder: Path, run: str, split: str = "test", depth: int = 100) -> Collection:
    """The collection with the first `depth` candidates of a run."""
    corpus = {line["_id"]: f"{line.get('title', '')} {line['text']}".strip() for line in _lines(folder, "corpus")}
    queries = {line["_id"]: line["text"] for line in _lines(folder, "queries")}
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels[query][document] = int(grade)
    ranked: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in (folder / "runs" / run).read_text().splitlines():
        query, _, document, rank, *_ = line.split()
        ranked[query].append((int(rank), document))
    candidates = {query: [document for _, document in sorted(found)[:depth]] for query, found in ranked.items()}
    return Collection(corpus, queries, dict(qrels), candidates)


def ndcg_at_10(rankings: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> float:
    """The mean over judged queries of nDCG@10 as trec_eval computes it: gain = grade, discount = log2(rank + 1)."""
    values = []
    for query, judged in qrels.items():
        ideal = _dcg(sorted(judged.values(), reverse=True))
        if ideal > 0:
            values.append(_dcg([judged.get(document, 0) for document in rankings.get(query, [])]) / ideal)
    return sum(values) / len(values)


def _dcg(grades: list[int]) -> float:
    return sum(max(grade, 0) / math.log2(rank + 1) for rank, grade in enumerate(grades[:10], 1))


def _lines(folder: Path, name: str) -> Iterator[dict[str, str]]:
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    with gzip.open(packed, "rt") if packed.exists() else plain.open() as lines:
        yield from map(json.loads, lines)
