"""`crossrank calibrate MODEL --labels FILE`: from scores to probabilities, and the threshold for a precision.

It knows the terminal; the work is in `crossrank.evaluate.calibrate`.
"""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from crossrank.calibration import beside, file_of_name, write
from crossrank.checkpoint.source import BUNDLED
from crossrank.cli.eval_inputs import Stage
from crossrank.cli.facts import print_columns, print_facts, say
from crossrank.cli.options import FILE
from crossrank.cli.progress import waiting
from crossrank.collection import read_collection
from crossrank.engine.options import CHOICES
from crossrank.errors import UsageError
from crossrank.evaluate.calibrate import METHODS, PRECISION, Calibrated, calibrate, library
from crossrank.evaluate.calibration_plot import check_plot, write_diagram
from crossrank.evaluate.candidates import candidates_of
from crossrank.evaluate.labels import Labels, labels_of, read_labels
from crossrank.evaluate.precision import probes_of
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker
from crossrank.writing import check_writable, unwritable

SCHEMA_VERSION = 1
GIVE = "Give a file in a folder of yours with --out, or set CROSSRANK_CACHE for --name."
HEADINGS = ("", "calibration error (ECE)", "Brier score", "log loss")
EXAMPLES = """\b
Examples:
  crossrank calibrate ./mine --labels tickets.csv
  crossrank calibrate BAAI/bge-reranker-base --labels tickets.csv --name tickets --plot tickets.png
  crossrank calibrate --labels trec_dl19 --relevant-from 2 --name web --precision-at-least 0.8
"""


@click.command("calibrate", epilog=EXAMPLES)
@click.argument("model", required=False)
@click.option("--labels", "source", metavar="FILE", required=True, type=FILE, help="Judged pairs, or a set's folder.")
@click.option("--split", metavar="NAME", default="test", show_default=True, help="Of a set: qrels/NAME.tsv.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Of a set: only the first N judged queries.")
@click.option("--depth", metavar="N", type=click.IntRange(min=1), help="Of a set: only the first N candidates a query.")
@click.option("--relevant-from", metavar="GRADE", type=float, help="The lowest label that means relevant, of grades.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="How; auto is what predicts held-out pairs best, of few pairs platt.",
)
@click.option(
    "--precision-at-least",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True),
    default=PRECISION,
    show_default=True,
    help="Show the threshold that reaches this share of relevant documents.",
)
@click.option("--name", metavar="NAME", help="Keep it under this name in crossrank's cache folder.")
@click.option("--out", metavar="FILE", type=FILE, help="Keep it in this file; else beside MODEL, if that is a folder.")
@click.option("--plot", metavar="FILE", type=FILE, help="Draw a reliability diagram: .png or .svg.")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of a model on the hub.")
@click.option("--instruction", metavar="TEXT", help="What to look for, for models that are asked in words.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option(
    "--long-documents",
    type=click.Choice(CHOICES["long_documents"]),
    default="chunk",
    help="If the model cannot read all of a document: its best window counts (the default), its end is cut, or stop.",
)
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@click.option("--device", metavar="NAME", default="auto", help="auto (the default), cpu, cuda, cuda:N, mps.")
@click.option("--precision", type=click.Choice(CHOICES["precision"]), default="auto", help="What MODEL computes in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: str | None,
    *,
    source: Path,
    split: str,
    limit: int | None,
    depth: int | None,
    relevant_from: float | None,
    method: str,
    precision_at_least: float,
    name: str | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit what turns the scores of MODEL (the bundled one by default) into probabilities of relevance.

    Labels are a file, .jsonl, .csv or .tsv, whose lines have a query, a document (or text) and a label: 1 for relevant,
    0 for not; or the folder of a set in BEIR layout, whose candidates nobody judged count as not relevant.

    Figures are of pairs that were held out. The calibration is for MODEL in this precision, reading documents this way;
    Reranker(MODEL, calibration=...) and crossrank rank --calibration use it, and one that lies beside a model's files
    is used by itself.
    """
    file = _place(model, name, out)
    check_writable(file, remedy=GIVE)
    if plot is not None:
        check_plot(plot)
        check_writable(plot, remedy="Give a file in a folder of yours with --plot.")
    library()
    with waiting("Reading the labels"):
        labels = _collection(source, split, limit, depth) if source.is_dir() else read_labels(source)
    labels.relevant(relevant_from)  # as all above: before anything that takes time
    local = model is None or Path(model).is_dir()  # a download shows its own progress
    with waiting("Opening the model") if local else nullcontext():
        reranker = Reranker(model, cache=None, calibration=None, **options)
    with reranker:
        with waiting(f"Scoring {len(labels.pairs):,} pairs"):
            logits = reranker.score(labels.pairs, raw=True)
        origin = reranker.origin
    found = calibrate(
        logits, labels, origin=origin, method=method, relevant_from=relevant_from, precision=precision_at_least
    )
    try:
        write(found.calibration, file)
    except OSError as exc:
        _print(found, origin.model, labels, precision_at_least)  # scoring may have taken minutes
        raise unwritable(file, exc, left="Make room and run the same command again.", remedy=GIVE) from exc
    if plot is not None:
        write_diagram(found, plot, model=origin.model, labels=labels.name)
    given = name or (file if out else None)
    if as_json:
        _print_json(found, origin.model, labels, precision_at_least, file, plot)
    else:
        _print(found, origin.model, labels, precision_at_least)
        written = " and ".join(map(str, filter(None, (file, plot))))
        model_given = "" if model is None else repr(model)
        how = (
            f"Reranker({model_given}{', ' if given and model else ''}{f'calibration={str(given)!r}' if given else ''})"
        )
        say(f"\nWritten: {written}. Use it with {how}.")


def _place(model: str | None, name: str | None, out: Path | None) -> Path:
    """The file to write, before anything takes time."""
    if is_remote(model):
        raise UsageError(f"{model!r} is asked over HTTP and gives scores, no logits; a calibration is for logits.")
    if name is not None and out is not None:
        raise click.UsageError("--name and --out exclude each other.")
    if name is not None:
        return file_of_name(name)
    if out is not None:
        return out
    if model is None or not Path(model).is_dir():
        raise click.UsageError(
            f"{model or BUNDLED} is no folder that the calibration could lie in. Give --name NAME or --out FILE."
        )
    return beside(Path(model))


def _collection(folder: Path, split: str, limit: int | None, depth: int | None) -> Labels:
    collection = read_collection(folder, split=split)
    stage = Stage(None, pool=False, bm25=False).open(collection, folder, split, depth)
    probes = probes_of(collection, candidates_of(stage, collection), limit)
    labels = labels_of(collection.name, probes)
    judged = {(collection.queries[q], collection.corpus.get(d)) for q, of in collection.qrels.items() for d in of}
    unjudged = sum(pair not in judged for pair in labels.pairs)
    note = f"Documents: {stage.origin}; {unjudged:,} of {len(labels.pairs):,} pairs are not judged: not relevant."
    return labels_of(collection.name, probes, (note,))


def _print(found: Calibrated, model: str, labels: Labels, wanted: float) -> None:
    shares = f"{found.relevant:,} of {found.pairs:,} pairs, {found.queries:,} queries"
    print_facts({"model": model, "labels": labels.name, "relevant": shares, "method": found.method})
    click.echo()
    rows = [("sigmoid of the logit", found.before), (f"{found.method}, held-out pairs", found.after)]
    print_columns(
        HEADINGS,
        [(name, f"{one.ece:.4f}", f"{one.brier:.4f}", f"{one.log_loss:.4f}") for name, one in rows],
        expendable=(HEADINGS[2],),
    )
    say(f"\nOf so few pairs, a calibration without any error would show an ECE of {found.after.ece_by_chance:.4f}.")
    say(_threshold(found, wanted))
    for note in found.notes:
        say(note)


def _threshold(found: Calibrated, wanted: float) -> str:
    if (best := found.threshold) is None:
        return (
            f"No threshold reaches a precision of {wanted:g} on held-out pairs; ask for less, or take a better model."
        )
    return (
        f"For a precision of {wanted:g}: threshold={best.probability:.4f}, threshold_on='probability'.\n"
        f"It keeps {best.kept:,} pairs, {best.precision:.3f} of them relevant (95 % interval from {best.low:.3f}), "
        f"and {best.recall:.3f} of all that is relevant."
    )


def _print_json(found: Calibrated, model: str, labels: Labels, wanted: float, file: Path, plot: Path | None) -> None:
    content = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "labels": labels.name,
        "pairs": found.pairs,
        "relevant": found.relevant,
        "queries": found.queries,
        "method": found.method,
        "before": asdict(found.before),
        "held_out": asdict(found.after),
        "precision_wanted": wanted,
        "threshold": None if found.threshold is None else asdict(found.threshold),
        "notes": list(found.notes),
        "file": str(file),
        "plot": None if plot is None else str(plot),
    }
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
