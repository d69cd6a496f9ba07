"""An evaluation for other programs: a JSON document with every figure, and files. It knows no terminal and no plots."""

import json
from pathlib import Path
from typing import Any

from crossrank.collection import write_run
from crossrank.evaluate.folder import file_names, unwritable
from crossrank.evaluate.report import as_markdown, sentences
from crossrank.evaluate.result import Evaluation, Row, Score
from crossrank.writing import write_whole

SCHEMA_VERSION = 1  # of the JSON document; raised when a field changes its meaning or goes


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` prints: all figures, by row and by query, without the rankings themselves."""
    return {
        "schema_version": SCHEMA_VERSION,
        "collection": evaluation.collection,
        "queries": len(evaluation.queries),
        "first_stage": evaluation.first_stage.name,
        "candidates": evaluation.origin,
        "depth": evaluation.depth,
        "measures": list(evaluation.measures),
        "rows": [_row(row) for row in evaluation.rows],
        "sentences": sentences(evaluation),
        "notes": list(evaluation.notes),
    }


def as_json(evaluation: Evaluation) -> str:
    """`as_dict` as text."""
    return json.dumps(as_dict(evaluation), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def write_files(evaluation: Evaluation, folder: Path) -> list[Path]:
    """evaluation.json, report.md, and runs/NAME.trec for each ranker; the files that were written.

    Raises:
        UsageError, CrossrankError: one of them cannot be written.
    """
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        write_whole(folder / "evaluation.json", as_json(evaluation))
        write_whole(folder / "report.md", as_markdown(evaluation))
        files = [folder / "evaluation.json", folder / "report.md"]
        names = file_names([row.name for row in evaluation.rows])
        for row, name in zip(evaluation.rows, names, strict=True):
            if row.kind == "ranker":
                files.append(folder / "runs" / f"{name}.trec")
                write_run(files[-1], row.run, name)
    except OSError as exc:
        raise unwritable(Path(exc.filename or folder), exc) from exc
    return files


def _row(row: Row) -> dict[str, Any]:
    speed = row.speed
    return {
        "name": row.name,
        "kind": row.kind,
        "scores": {measure: _score(score) for measure, score in row.scores.items()},
        "speed": None
        if speed is None
        else {
            "query_p50_ms": speed.p50_ms,
            "query_p95_ms": speed.p95_ms,
            "document_ms": speed.document_ms,
            "documents_per_query": speed.documents,
            "tokens_per_query": speed.tokens,
            "cost_usd": speed.cost_usd,
        },
    }


def _score(score: Score) -> dict[str, Any]:
    comparison = score.comparison
    return {
        "mean": score.mean,
        "interval": [score.interval.low, score.interval.high],
        "comparison": None
        if comparison is None
        else {
            "difference": comparison.difference,
            "interval": [comparison.interval.low, comparison.interval.high],
            "p": comparison.p,
            "p_corrected": comparison.p_corrected,
            "wins": comparison.wins,
            "ties": comparison.ties,
            "losses": comparison.losses,
        },
        "queries": dict(score.values),
    }
