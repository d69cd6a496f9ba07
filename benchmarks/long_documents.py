"""What reading all of a long document is worth: windows, truncation and the first characters compared by nDCG@10.

    python benchmarks/long_documents.py --data ../shared/data

Two sets. The first is made here of SQuAD's held-out articles (CC BY-SA 4.0; nothing of it is kept): neighbouring
paragraphs of an article are joined until a document has over DOCUMENT_TOKENS tokens, and only questions count whose
paragraph begins beyond BEYOND tokens. The second is scifact's test set, abstracts of about the length of one window,
where the first characters should be at their best. BM25 finds the candidates among all documents. Every setting is
compared with truncation by the paired randomisation test, corrected as Holm has it.
"""

import argparse
import gzip
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from crossrank import Reranker
from crossrank.bench.machine import describe
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.source import bundled_folder
from crossrank.checkpoint.tokenizer import load_tokenizer
from crossrank.collection import Collection, read_collection, read_qrels, read_texts
from crossrank.evaluate.candidates import candidates_of, from_bm25
from crossrank.evaluate.compare import compare, holm
from crossrank.evaluate.measure import parse_measures, per_query

DOCUMENT_TOKENS = 1_500
BEYOND = 512  # tokens before the paragraph that answers
BASELINE = 'long_documents="truncate"'
SETTINGS: dict[str, dict[str, Any]] = {
    BASELINE: {"long_documents": "truncate"},
    "max_chars=200": {"max_chars": 200},
    "max_chars=400": {"max_chars": 400},
    'aggregate="first"': {"aggregate": "first"},
    'aggregate="max" (the default)': {},
    'aggregate="mean_top_2"': {"aggregate": "mean_top_2"},
    'aggregate="mean_top_3"': {"aggregate": "mean_top_3"},
    "max_length=128": {"max_length": 128},
}
SHORT = [BASELINE, "max_chars=200", "max_chars=400", 'aggregate="max" (the default)']  # for texts of about one window


@dataclass(frozen=True, slots=True)
class Row:
    """A setting's nDCG@10 by query, and what it took."""

    name: str
    values: list[float]
    seconds: float
    tokens: int


def long_squad(folder: Path, count: int, seed: int = 0) -> Collection:
    """Long documents of all articles, with `count` questions of the held-out ones whose answer lies beyond BEYOND."""
    profile = read_profile(bundled_folder(), "bundled")
    tokenizer = load_tokenizer(bundled_folder(), profile)
    corpus: dict[str, str] = {}
    inside: dict[str, tuple[str, int]] = {}  # by paragraph: its document, and the tokens before it
    for title, group in groupby(_lines(folder / "corpus.jsonl.gz"), key=lambda line: line["title"]):
        paragraphs: list[str] = []
        tokens = DOCUMENT_TOKENS
        for line in group:
            if tokens >= DOCUMENT_TOKENS:
                paragraphs, tokens = [], 0
                name = f"{title}-{line['_id']}"
            inside[line["_id"]] = (name, tokens)
            paragraphs.append(line["text"])
            tokens += len(tokenizer.encode(line["text"], add_special_tokens=False))
            corpus[name] = "\n\n".join(paragraphs)
    questions = read_texts(folder / "queries.jsonl.gz")
    answers = {query: next(iter(grades)) for query, grades in read_qrels(folder / "qrels" / "dev.tsv").items()}
    beyond = sorted(query for query, paragraph in answers.items() if inside[paragraph][1] >= BEYOND)
    chosen = random.Random(seed).sample(beyond, count)
    return Collection(
        f"SQuAD, {len(corpus)} long documents, {count} of {len(beyond)} questions",
        {query: questions[query] for query in chosen},
        corpus,
        {query: {inside[answers[query]][0]: 1} for query in chosen},
    )


def measured(collection: Collection, depth: int, settings: Mapping[str, dict[str, Any]]) -> Iterator[Row]:
    """BM25 and each setting."""
    candidates = candidates_of(from_bm25(collection, depth=depth), collection)
    queries = list(candidates.run)
    found = sum(bool(collection.qrels[q].keys() & set(candidates.ids[q])) for q in queries) / len(queries)
    print(f"{collection.name}; BM25's first {depth} hold an answer for {found:.1%}", flush=True)

    def values(run: Mapping[str, list[tuple[str, float]]]) -> list[float]:
        return list(per_query(parse_measures(["nDCG@10"]), collection.qrels, run, queries)["nDCG@10"].values())

    yield Row("BM25", values(candidates.run), 0.0, 0)
    for name, options in settings.items():
        with Reranker(cache=None, **options) as reranker:
            documents = [[collection.corpus[d] for d in candidates.ids[q]] for q in queries]
            started = time.process_time()  # of all threads: what else the machine does is not counted
            rankings = list(reranker.rank_many([collection.queries[q] for q in queries], documents))
            seconds = time.process_time() - started
        run = {
            q: [(candidates.ids[q][hit.index], -float(hit.rank)) for hit in ranking]
            for q, ranking in zip(queries, rankings, strict=True)
        }
        yield Row(name, values(run), seconds, sum(ranking.usage["tokens"] for ranking in rankings))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: each setting beside the baseline."""
    baseline = next(row for row in rows if row.name == BASELINE)
    others = [row for row in rows if row is not baseline]
    compared = {row.name: compare(row.values, baseline.values) for row in others}
    corrected = dict(zip(compared, holm([c.p for c in compared.values()]), strict=True))
    yield "| | nDCG@10 | against truncation (95 % interval) | p, corrected | tokens read | CPU time |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        mean = sum(row.values) / len(row.values)
        against = ("", "")
        if row is not baseline:
            c = compared[row.name]
            against = (
                f"{c.difference:+.4f} ({c.interval.low:+.4f} to {c.interval.high:+.4f})",
                _p(corrected[row.name]),
            )
        cost = (
            (f"{row.tokens / baseline.tokens:.2f}x", f"{row.seconds / baseline.seconds:.2f}x")
            if row.tokens
            else ("", "")
        )
        name = row.name if row.name == "BM25" else f"`{row.name}`".replace(" (the default)`", "` (the default)")
        yield f"| {name} | {mean:.4f} | {against[0]} | {against[1]} | {cost[0]} | {cost[1]} |"
    yield f"\nTruncation took {baseline.seconds:.1f} s of CPU time for {baseline.tokens:,} tokens."


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0005 else "< 0.0005"


def _lines(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets in BEIR layout")
    parser.add_argument("--queries", type=int, default=300, help="questions over long documents")
    parser.add_argument("--depth", type=int, default=20, help="candidates a question")
    arguments = parser.parse_args()
    print(f"## {describe()}\n")
    squad = long_squad(arguments.data / "squad11_dev", arguments.queries)
    print("\n".join(table(list(measured(squad, arguments.depth, SETTINGS)))), "\n", flush=True)
    scifact = read_collection(arguments.data / "scifact")
    print("\n".join(table(list(measured(scifact, arguments.depth, {name: SETTINGS[name] for name in SHORT})))))


if __name__ == "__main__":
    main()
