"""`crossrank explain QUERY DOCUMENT`: which parts of a document make its score, as a heat map, bars or JSON.

It knows the terminal; the work is in `crossrank.explain`.
"""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from crossrank.arguments import check_query
from crossrank.checkpoint.source import BUNDLED
from crossrank.cli.documents import FORMATS, STDIN, Line, read_documents, read_text
from crossrank.cli.heat import print_bars, print_heat
from crossrank.cli.options import names
from crossrank.cli.progress import waiting
from crossrank.engine.options import CHOICES
from crossrank.errors import InputFileError, UsageError
from crossrank.explain import Explanation
from crossrank.reranker import Reranker

SCHEMA_VERSION = 1
SEVERAL = tuple(f".{kind}" for kind in FORMATS if kind != "txt")  # files that hold many documents
TEXTS = (".txt", ".md", *SEVERAL)
EXAMPLES = """\b
Examples:
  crossrank explain "who created python" "Python was created by Guido van Rossum. It is free."
  crossrank explain "who created python" article.txt --unit word
  crossrank explain "who created python" docs.jsonl --index 3 --fields title,text
"""


@click.command("explain", epilog=EXAMPLES)
@click.argument("query")
@click.argument("document")
@click.option(
    "--unit", type=click.Choice(["sentence", "word"]), default="sentence", show_default=True, help="What gets a share."
)
@click.option("--index", metavar="N", type=click.IntRange(min=0), help="Which document of a file of many, from 0.")
@click.option(
    "--fields", metavar="A,B", type=names, help="Fields of objects and CSV rows that the model reads, in this order."
)
@click.option("-m", "--model", metavar="MODEL", help="A folder, a name, vendor:MODEL or a URL; else the bundled model.")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of a model on the hub.")
@click.option("--instruction", metavar="TEXT", help="What to look for, for models that are asked in words.")
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@click.option("--device", metavar="NAME", help="auto (the default), cpu, cuda, cuda:N, mps.")
@click.option("--precision", type=click.Choice(CHOICES["precision"]), help="What the model computes in; else auto.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    query: str,
    document: str,
    *,
    unit: Any,
    index: int | None,
    fields: list[str] | None,
    model: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show which sentences or words of DOCUMENT make its score for QUERY.

    DOCUMENT is a text, a file (.txt and others as a whole; .jsonl, .json and .csv hold many, see --index), or - for
    standard input. Each part is left out, and given alone; the shares of all parts add up to the score's logit, less
    that of an empty document.

    On a terminal with colours the answer is the text as a heat map: green adds, red takes away. Else it is a line a
    part, with a bar; with --json it is one JSON document.
    """
    check_query(query, "QUERY")
    found = _document(document, index, fields)
    local = model is None or Path(model).is_dir()  # a download shows its own progress
    given = {name: value for name, value in options.items() if value is not None}
    with waiting("Opening the model") if local else nullcontext():
        reranker = Reranker(model, **given)
    with reranker, waiting(f"Scoring with each {unit} left out"):
        explanation = reranker.explain(query, found, unit=unit)
    if as_json:
        _print_json(explanation, model or BUNDLED)
    elif not print_heat(explanation, model or BUNDLED):
        print_bars(explanation, model or BUNDLED)


def _document(given: str, index: int | None, fields: list[str] | None) -> str | Line:
    """The text that was given, or the wanted document of a file."""
    suffix = Path(given).suffix.lower()
    is_file = given == STDIN or _there(given, Path.is_file)
    if suffix in SEVERAL and is_file:
        documents = read_documents(given, fields=fields)
        if index is None and len(documents) > 1:
            raise UsageError(
                f"{given} holds {len(documents):,} documents; say which with --index (from 0, as rank does)"
            )
        if (index or 0) >= len(documents):
            raise UsageError(f"--index {index}: {given} holds {len(documents):,} documents, the first is 0")
        return documents[index or 0]
    if index is not None or fields is not None:
        raise click.UsageError(f"--index and --fields are for files of many documents: {', '.join(SEVERAL)}.")
    if is_file:
        text = read_text(given)
        if not text.strip():
            raise InputFileError(f"{'standard input' if given == STDIN else given} holds no text to explain.")
        return text
    if _there(given, Path.is_dir):
        raise InputFileError(f"{given} is a folder. Give a text, a file, or - for standard input.")
    if suffix in TEXTS and not any(character.isspace() for character in given):
        raise InputFileError(f"{given}: no such file. Give a text, a file, or - for standard input.")
    return given


def _there(given: str, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(Path(given))
    except (OSError, ValueError):  # a text too long for a path, or with a zero in it
        return False


def _print_json(explanation: Explanation, model: str) -> None:
    content = {"schema_version": SCHEMA_VERSION, "model": model, **explanation.to_dict()}
    click.echo(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2))
