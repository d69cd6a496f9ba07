"""`crossrank models --compare A B`: two models on the caller's own queries, with or without labels."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from crossrank.cli.compare_inputs import Given
from crossrank.cli.compare_table import print_comparison
from crossrank.cli.eval_inputs import Local, labels, measure_names, open_models
from crossrank.cli.eval_progress import QueriesShown
from crossrank.cli.options import FILE, allow_unverified
from crossrank.cli.progress import waiting
from crossrank.cli.spending import Spending, spending_options
from crossrank.collection import Collection
from crossrank.engine.options import CHOICES
from crossrank.evaluate.candidates import DEPTH
from crossrank.evaluate.side_by_side import SideBySide, side_by_side
from crossrank.remote.names import is_remote

SCHEMA_VERSION = 1
EXAMPLES = """\b
Examples:
  crossrank models --compare crossrank-mini ./mine --queries q.txt --documents docs.jsonl
  crossrank models --compare ./mine cohere:rerank-v4.0-pro --data ./set --max-cost 1
  crossrank models --compare ./mine ./other --queries q.jsonl --corpus c.jsonl --run bm25.trec
"""


@click.command("compare", epilog=EXAMPLES, short_help="Two models on your own queries.")
@click.argument("models", metavar="A B", nargs=2)
@click.option("--queries", metavar="FILE", type=FILE, help="A query a line (.txt), or JSON lines with _id and text.")
@click.option("--documents", metavar="FILE", help="Candidates of every query: .txt, .jsonl, .json or .csv.")
@click.option("--corpus", metavar="FILE", type=FILE, help="JSON lines with _id, text, perhaps title, for --run.")
@click.option("--run", metavar="FILE", type=FILE, help="Each query's candidates, as a TREC run.")
@click.option("--data", metavar="DIR", type=FILE, help="A folder in BEIR layout, in place of all these files.")
@click.option("--split", metavar="NAME", default="test", show_default=True, help="Judgements of --data.")
@click.option("--qrels", metavar="FILE", type=FILE, help="Judgements (TREC or BEIR), for quality as well.")
@click.option(
    "--depth",
    metavar="N",
    type=click.IntRange(min=2),
    default=DEPTH,
    show_default=True,
    help="Candidates of a query, at most; of more --documents, the first that BM25 finds.",
)
@click.option(
    "--top-k",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Count how many of the first N both have.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N queries.")
@click.option(
    "--examples",
    metavar="N",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Show the N queries whose order differs most.",
)
@click.option("--measures", metavar="A,B", default="nDCG@10", show_default=True, help="Where there are judgements.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads; else all usable cores.")
@click.option("--device", metavar="NAME", default="auto", help="auto (the default), cpu, cuda, cuda:N, mps.")
@click.option(
    "--precision",
    type=click.Choice(CHOICES["precision"]),
    default="auto",
    show_default=True,
    help="What models compute in.",
)
@spending_options
@allow_unverified
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    models: tuple[str, str],
    *,
    queries: Path | None,
    documents: str | None,
    corpus: Path | None,
    run: Path | None,
    data: Path | None,
    split: str,
    qrels: Path | None,
    depth: int,
    top_k: int,
    limit: int | None,
    examples: int,
    measures: str,
    max_length: int | None,
    threads: int | None,
    device: str,
    precision: str,
    max_cost: float | None,
    price: str | None,
    allow_unverified: bool,
    as_json: bool,
) -> None:
    """Rank your own queries with two models, in turns: agreement, the largest differences, latency, cost.

    A and B are folders, names, vendor:MODEL or URLs. Where there are judgements, quality is compared too.
    """
    local = Local(max_length, threads, device, precision, allow_unverified)
    local.check(models)
    spending = Spending.of(models, max_cost, price)
    names = measure_names(measures)
    given = Given(queries, documents, corpus, run, data, split, qrels, depth, limit)
    with waiting("Reading queries and documents"):
        collection, candidates, origin = given.read()
    named = labels(models, [])
    showing = QueriesShown(2, None, remedy="Nothing is kept; --limit N takes fewer.")
    with showing as shown, open_models(named, local, spending) as opened:
        shown.begin()
        found = side_by_side(
            opened,
            collection,
            candidates,
            top_k=top_k,
            measures=names,
            warm=[label for label, model in named.items() if not is_remote(model)],
            on_query=shown,
        )
    if as_json:
        click.echo(json.dumps(as_document(found, collection, origin), indent=2, ensure_ascii=False))
    else:
        print_comparison(found, collection, origin, examples)


def as_document(found: SideBySide, collection: Collection, origin: str) -> dict[str, Any]:
    """The comparison as JSON has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "models": found.names,
        "queries": len(found.differences),
        "candidates": origin,
        "top_k": found.top_k,
        "kendall_tau": found.tau,
        "overlap": found.overlap,
        "same_first": found.same_first,
        "speed": {name: asdict(speed) for name, speed in zip(found.names, found.speeds, strict=True)},
        "quality": [asdict(one) for one in found.qualities],
        "judged": found.judged,
        "differences": [{**asdict(one), "text": collection.queries[one.query]} for one in found.differences],
        "notes": found.notes,
    }
