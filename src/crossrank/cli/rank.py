"""`crossrank rank QUERY FILE`: the documents of a file in order of relevance, for a person or for a program."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from crossrank.arguments import ThresholdOn, check_query
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.checkpoint.source import BUNDLED
from crossrank.cli.bulk_options import Files, bulk_options
from crossrank.cli.documents import FORMATS, STDIN, Line, read_documents
from crossrank.cli.options import allow_unverified, names, sharing_options
from crossrank.cli.progress import waiting
from crossrank.cli.show import print_json, print_tsv
from crossrank.cli.spending import Spending, spending_options, spending_told
from crossrank.engine.options import CHOICES
from crossrank.errors import InputFileError
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker

HITS_MAX = 20  # on a terminal, unless --top-k asks for more: the best hit should stay in sight
TOP_K = f"Show at most N hits; else all, on a terminal {HITS_MAX}."
DEFAULTS = {
    "long_documents": "chunk",
    "aggregate": "max",
    "instruction_mode": "native",
    "device": "auto",
    "precision": "auto",
}
EXAMPLES = """\b
Examples:
  crossrank rank "who created python" docs.txt
  crossrank rank "who created python" docs.jsonl --fields title,text --top-k 5
  grep -ih python notes/* | crossrank rank "who created python" - --json
  crossrank rank --queries queries.jsonl --candidates bm25.trec --corpus corpus.jsonl -o ranked.jsonl
"""


@click.command("rank", epilog=EXAMPLES)
@click.argument("query", metavar="QUERY", required=False)
@click.argument("file", metavar="FILE", required=False)
@click.option("-k", "--top-k", metavar="N", type=click.IntRange(min=1), help=TOP_K)
@click.option("--threshold", metavar="SCORE", type=float, help="Show only hits with at least this score.")
@click.option(
    "--threshold-on", type=click.Choice(["score", "probability"]), default="score", help="What --threshold is on."
)
@click.option("--calibration", metavar="NAME", help="What crossrank calibrate wrote: a name or a file; none for none.")
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="A folder, a name of the Hugging Face hub, vendor:MODEL (such as cohere:rerank-v4.0-pro) or a URL; else the "
    "bundled model.",
)
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of a model on the hub.")
@click.option("--instruction", metavar="TEXT", help="What to look for, for models that are asked in words.")
@click.option(
    "--instruction-mode",
    type=click.Choice(CHOICES["instruction_mode"]),
    default="native",
    help="Where it goes: into the model's own prompt (the default), or, for any model, before the query as text.",
)
@click.option(
    "--template", type=click.Choice(list(PROMPTS)), help="How such a model is asked, if its name and files do not tell."
)
@click.option(
    "--fields",
    metavar="A,B",
    type=names,
    help="Fields of objects and CSV rows that the model reads, in this order; paths such as author.name too.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*FORMATS, "trec"]),
    help="Format of FILE, if its name does not tell; with --queries, of the output: jsonl or trec.",
)
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option(
    "--long-documents",
    type=click.Choice(["chunk", "truncate", "error"]),
    default="chunk",
    help="If the model cannot read all of a document: its best window counts (the default), its end is cut, or stop.",
)
@click.option(
    "--aggregate",
    metavar="HOW",
    default="max",
    help="What its windows come to: max (the default), mean_top_2, mean_top_3 ..., or first, which reads no other.",
)
@click.option(
    "--max-chars", metavar="N", type=click.IntRange(min=1), help="Read only the first N characters of a document."
)
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    help="auto (the default): a GPU if torch can use one, else the CPU; cpu, cuda, cuda:N, mps.",
)
@sharing_options
@click.option(
    "--precision",
    type=click.Choice(CHOICES["precision"]),
    default="auto",
    help="What the model computes in; auto (the default): the fastest that agrees with fp32, see crossrank doctor.",
)
@spending_options
@bulk_options
@allow_unverified
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--table", "as_table", is_flag=True, help="Print the table even if the output is no terminal.")
def command(
    query: str | None,
    file: str | None,
    *,
    top_k: int | None,
    threshold: float | None,
    threshold_on: ThresholdOn,
    calibration: str | None,
    model: str | None,
    revision: str | None,
    instruction: str | None,
    instruction_mode: str,
    template: str | None,
    fields: list[str] | None,
    file_format: str | None,
    max_length: int | None,
    long_documents: str,
    aggregate: str,
    max_chars: int | None,
    threads: int | None,
    device: str,
    devices: list[str] | None,
    replicas: int | str | None,
    precision: str,
    max_cost: float | None,
    price: str | None,
    allow_unverified: bool,
    as_json: bool,
    as_table: bool,
    **bulk: Any,
) -> None:
    """Rank the documents of FILE by relevance to QUERY.

    FILE is .txt (a document a line), .jsonl, .json (a list), .csv or .tsv (the first line names the columns), or - for
    standard input, a document a line. Documents are strings, or objects with the field text or content.

    On a terminal the answer is a table; in a pipe it is a line a hit, with tabs between rank, score, index (from 0)
    and text; with --json it is one JSON document.

    With --queries, --candidates and --corpus, many queries are ranked: a line of JSON a query, or a TREC run. With -o,
    a command that was interrupted goes on where it stopped when it is given again.
    """
    files = Files.of(query, bulk)
    if as_json + as_table + (files is not None) > 1:
        raise click.UsageError("--json, --table and --queries exclude each other.")
    spending = Spending.of([model], max_cost, price)
    options = {
        "revision": revision,
        "instruction": instruction,
        "instruction_mode": instruction_mode,
        "template": template,
        "max_length": max_length,
        "long_documents": long_documents,
        "aggregate": aggregate,
        "max_chars": max_chars,
        "threads": threads,
        "device": device,
        "devices": devices,
        "replicas": replicas,
        "precision": precision,
        "calibration": calibration,
        "allow_unverified": allow_unverified or None,
    }
    options |= spending.options()
    # Only what was given: a remote reranker has other options, and names those that it does not have.
    given: dict[str, Any] = {name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))}
    if calibration == "none":
        given["calibration"] = None
    if threshold_on == "probability" and is_remote(model):
        raise click.UsageError(
            "--threshold-on probability is for models on this machine; others give no probabilities."
        )
    on: dict[str, Any] = {} if threshold_on == "score" else {"threshold_on": threshold_on}
    opening = partial(_open, model, given)
    if files is not None:
        from crossrank.bulk.run import Wish
        from crossrank.cli.rank_bulk import rank_files

        only = None if fields is None else tuple(fields)
        wish = Wish(top_k, threshold, threshold_on, only, files.form(file_format))
        rank_files(files, wish, opening, model=model or BUNDLED, options=given)
        return
    query, documents = _read(query, file, file_format, fields)
    with opening() as reranker, waiting(f"Ranking {len(documents):,} documents"):
        ranking = reranker.rank(query, documents, top_k=top_k, threshold=threshold, **on)
    if as_json:
        print_json(ranking)
    elif as_table or sys.stdout.isatty():
        from crossrank.cli.table import print_table

        print_table(ranking, hits_max=top_k or HITS_MAX)
    else:
        print_tsv(ranking)


@contextmanager
def _open(model: str | None, given: Mapping[str, Any]) -> Iterator[Reranker]:
    """The model, with a sign of life; what a remote one used is told at the end."""
    local = model is None or Path(model).is_dir()  # a download shows its own progress
    with waiting("Opening the model") if local else nullcontext():
        reranker = Reranker(model, cache=None, **given)
    with reranker, spending_told({model or BUNDLED: reranker}):
        yield reranker


def _read(
    query: str | None, file: str | None, file_format: str | None, fields: list[str] | None
) -> tuple[str, list[Line]]:
    """The query and the documents of the arguments."""
    if query is None or file is None:
        raise click.UsageError(f"Missing argument '{'QUERY' if query is None else 'FILE'}'.")
    if file_format == "trec":
        raise click.UsageError("--format trec is the output of many queries, with --queries.")
    check_query(query, "QUERY")
    try:
        with nullcontext() if file == STDIN else waiting(f"Reading {Path(file).name}"):
            return query, read_documents(file, file_format, fields)
    except InputFileError as exc:
        if Path(query).is_file() and not Path(file).exists():
            raise InputFileError(f"{exc} The order is QUERY FILE; {query} is a file.") from None
        raise
