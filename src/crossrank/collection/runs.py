"""TREC runs: what a first stage found for each query, best first; read, written, named, and found in a folder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crossrank.collection.lines import numbered_lines
from crossrank.errors import InputFileError, NotFiniteError
from crossrank.writing import write_whole

Run = Mapping[str, list[tuple[str, float]]]  # by query id: (document id, score), best first
ENDINGS = (".trec", ".trec.gz", ".run", ".run.gz")


def read_run(file: Path, *, depth: int | None = None) -> dict[str, list[tuple[str, float]]]:
    """A TREC run (query Q0 document rank score tag): each query's documents by score, best first, at most `depth`.

    Lines need not be sorted. As trec_eval does, the score decides, not the rank; equal scores keep the file's order.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in numbered_lines(file):
        parts = line.split()
        if not parts:
            continue
        try:
            query, _, document, _, score, *_ = parts
            value = float(score)
        except ValueError:
            raise InputFileError(
                f"{file}, line {number}: {line.strip()[:80]!r} is no line of a TREC run "
                "(query Q0 document rank score tag)."
            ) from None
        found = run.setdefault(query, {})
        if document in found:
            raise InputFileError(
                f"{file}, line {number}: query {query} has the document {document} a second time. "
                "Keep one line of each."
            )
        if not math.isfinite(value):
            raise InputFileError(f"{file}, line {number}: the score {score} is no finite number.")
        found[document] = value
    if not run:
        raise InputFileError(f"{file} holds no run.")
    return {query: sorted(found.items(), key=lambda item: -item[1])[:depth] for query, found in run.items()}


def write_run(file: Path, run: Run, tag: str) -> None:
    """A TREC run of six columns, whole or not at all."""
    lines = (
        f"{query} Q0 {document} {rank} {score!r} {tag}\n"
        for query, found in run.items()
        for rank, (document, score) in enumerate(found, 1)
    )
    write_whole(file, "".join(lines))


def decreasing(scores: Sequence[float | None], name: str, query: str) -> list[float]:
    """The scores, lowered just so far that trec_eval, which reads fp32 and sorts, keeps the ranker's order."""
    lowered: list[float] = []
    last = np.float32(math.inf)
    for score in scores:
        if score is not None and not math.isfinite(score):
            raise NotFiniteError(f"{name} gave the score {score} for query {query!r}; it must be a finite number.")
        below = np.nextafter(last, np.float32(-math.inf)) if lowered else np.float32(0)
        last = below if score is None or (lowered and np.float32(score) >= last) else np.float32(score)
        lowered.append(float(last))
    return lowered


def default_run(folder: Path, split: str) -> Path | None:
    """The run in `folder`/runs that is meant if none is named: the only one, else BM25's; None if that does not decide.

    Where there are runs named for the split (`NAME.<split>.trec`), only these count; those of other splits never do.
    """
    splits = {file.stem for file in (folder / "qrels").glob("*.tsv")} | {split}
    runs = sorted(file for file in (folder / "runs").glob("*") if file.name.endswith(ENDINGS))
    of_split = [run for run in runs if _stem(run).endswith(f".{split}")]
    runs = of_split or [run for run in runs if _stem(run).rpartition(".")[2] not in splits]
    exact = [run for run in runs if run_name(run, split).casefold() == "bm25"]
    alike = [run for run in runs if run_name(run, split).casefold().startswith("bm25")]
    return next((found[0] for found in (runs, exact, alike) if len(found) == 1), None)


def run_name(run: Path, split: str = "") -> str:
    """The file's name without its ending and its split: `BM25` of `BM25.test.trec.gz`."""
    return _stem(run).removesuffix(f".{split}")


def _stem(run: Path) -> str:
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if run.name.endswith(ending)), "")
    return run.name.removesuffix(ending)
