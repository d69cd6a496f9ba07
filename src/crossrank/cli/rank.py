"""`crossrank rank QUERY FILE`: the documents of a file in order of relevance, for a person or for a program."""

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from crossrank.arguments import check_query
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.cli.documents import FORMATS, Line, read_documents
from crossrank.cli.progress import waiting
from crossrank.cli.show import print_json, print_tsv
from crossrank.cli.unverified import allow_unverified
from crossrank.engine.open import CHOICES
from crossrank.errors import InputFileError
from crossrank.reranker import Reranker

HITS_MAX = 20  # on a terminal, unless --top-k asks for more: the best hit should stay in sight
TOP_K = f"Show at most N hits; else all, on a terminal {HITS_MAX}."
DEFAULTS = {"long_documents": "chunk", "device": "auto", "precision": "auto"}
EXAMPLES = """\b
Examples:
  crossrank rank "who created python" docs.txt
  crossrank rank "who created python" docs.jsonl --fields title,text --top-k 5
  grep -ih python notes/* | crossrank rank "who created python" - --json
"""


@click.command("rank", epilog=EXAMPLES)
@click.argument("query")
@click.argument("file", metavar="FILE")
@click.option("-k", "--top-k", metavar="N", type=click.IntRange(min=1), help=TOP_K)
@click.option("--threshold", metavar="SCORE", type=float, help="Show only hits with at least this score.")
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
    "--template", type=click.Choice(list(PROMPTS)), help="How such a model is asked, if its name and files do not tell."
)
@click.option("--fields", metavar="A,B", help="Fields of objects and CSV rows that the model reads, in this order.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Format of FILE, if its name does not tell.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option(
    "--long-documents",
    type=click.Choice(["chunk", "truncate", "error"]),
    default="chunk",
    help="If the model cannot read all of a document: its best window counts (the default), its end is cut, or stop.",
)
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    help="auto (the default): a GPU if torch can use one, else the CPU; cpu, cuda, cuda:N, mps.",
)
@click.option(
    "--precision",
    type=click.Choice(CHOICES["precision"]),
    default="auto",
    help="What the model computes in; auto (the default): the fastest that agrees with fp32, see crossrank doctor.",
)
@allow_unverified
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--table", "as_table", is_flag=True, help="Print the table even if the output is no terminal.")
def command(
    query: str,
    file: str,
    *,
    top_k: int | None,
    threshold: float | None,
    model: str | None,
    revision: str | None,
    instruction: str | None,
    template: str | None,
    fields: str | None,
    file_format: str | None,
    max_length: int | None,
    long_documents: str,
    threads: int | None,
    device: str,
    precision: str,
    allow_unverified: bool,
    as_json: bool,
    as_table: bool,
) -> None:
    """Rank the documents of FILE by relevance to QUERY.

    FILE is .txt (a document a line), .jsonl, .json (a list), .csv (the first line names the columns), or - for
    standard input, a document a line. Documents are strings, or objects with the field text or content.

    On a terminal the answer is a table; in a pipe it is a line a hit, with tabs between rank, score, index (from 0)
    and text; with --json it is one JSON document.
    """
    if as_json and as_table:
        raise click.UsageError("--json and --table exclude each other.")
    check_query(query, "QUERY")
    wanted = None if fields is None else [field.strip() for field in fields.split(",") if field.strip()]
    documents = _read(query, file, file_format, wanted)
    local = model is None or Path(model).is_dir()  # a download shows its own progress
    options = {
        "revision": revision,
        "instruction": instruction,
        "template": template,
        "max_length": max_length,
        "long_documents": long_documents,
        "threads": threads,
        "device": device,
        "precision": precision,
        "allow_unverified": allow_unverified or None,
    }
    # Only what was given: a remote reranker has other options, and names those that it does not have.
    given = {name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))}
    with waiting("Opening the model") if local else nullcontext():
        reranker = Reranker(model, cache=None, **given)  # type: ignore[arg-type] # click has checked the choices
    with reranker, waiting(f"Ranking {len(documents):,} documents"):
        ranking = reranker.rank(query, documents, top_k=top_k, threshold=threshold)
    if as_json:
        print_json(ranking)
    elif as_table or sys.stdout.isatty():
        from crossrank.cli.table import print_table

        print_table(ranking, hits_max=top_k or HITS_MAX)
    else:
        print_tsv(ranking)


def _read(query: str, file: str, file_format: str | None, fields: list[str] | None) -> list[Line]:
    try:
        return read_documents(file, file_format, fields)
    except InputFileError as exc:
        if Path(query).is_file() and not Path(file).exists():
            raise InputFileError(f"{exc} The order is QUERY FILE; {query} is a file.") from None
        raise
