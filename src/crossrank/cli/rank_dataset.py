"""`crossrank rank-dataset`: the candidates of many queries on a Ray cluster, from files to files."""

from typing import Any

import click

from crossrank.cli.options import allow_unverified
from crossrank.cluster import rank_dataset
from crossrank.engine.options import CHOICES
from crossrank.errors import CrossrankError, UsageError

EXAMPLES = """\b
Examples:
  crossrank rank-dataset --queries q.parquet --candidates run/ --corpus s3://bucket/corpus --out ranked/
  crossrank rank-dataset --queries q.parquet --candidates run/ --corpus docs/ --out out/ --address 10.0.0.1:6379
"""
OPTIONS = ("revision", "precision", "max_length", "long_documents", "instruction", "allow_unverified")


def _columns(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:  # noqa: ARG001
    split = [one.partition("=") for one in given]
    if wrong := [role for role, equals, name in split if not equals or not name]:
        raise click.BadParameter(f"{wrong[0]!r} is no ROLE=NAME, such as corpus.text=body.")
    return {role: name for role, _, name in split}


@click.command("rank-dataset", epilog=EXAMPLES)
@click.option("--queries", metavar="PLACE", multiple=True, required=True, help="Queries: an id and a text.")
@click.option("--candidates", metavar="PLACE", multiple=True, required=True, help="A row a pair: query, document.")
@click.option("--corpus", metavar="PLACE", multiple=True, required=True, help="Documents: an id, a text, a title.")
@click.option("--out", metavar="FOLDER", required=True, help="Where scores, poison rows and the manifest go.")
@click.option("--resume", is_flag=True, help="Go on with what FOLDER holds of the same job.")
@click.option("--overwrite", is_flag=True, help="Begin anew, whatever job's results FOLDER holds.")
@click.option("--address", metavar="HOST:PORT", help="The cluster's head; auto; local. Else RAY_ADDRESS, else local.")
@click.option("--column", "columns", metavar="ROLE=NAME", multiple=True, callback=_columns, help="As corpus.text=body.")
@click.option("-k", "--top-k", metavar="N", type=click.IntRange(min=1), help="Keep the N best documents of a query.")
@click.option("--threshold", metavar="SCORE", type=float, help="Keep documents with at least this score.")
@click.option("-m", "--model", metavar="MODEL", help="A folder that all nodes have, or a name; else the bundled model.")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of a model on the hub.")
@click.option("--precision", type=click.Choice(CHOICES["precision"]), help="What the model computes in.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option("--long-documents", type=click.Choice(["chunk", "truncate", "error"]), help="What does not fit.")
@click.option("--instruction", metavar="TEXT", help="What to look for, for models that are asked in words.")
@click.option("--cpus", "cpus_per_worker", metavar="N", type=click.IntRange(min=1), help="CPUs of a worker.")
@click.option(
    "--gpus", "gpus_per_worker", metavar="N", type=click.FloatRange(min=0), default=0, help="GPUs of a worker."
)
@click.option("--workers-max", metavar="N", type=click.IntRange(min=1), help="At most so many workers.")
@click.option("--partition-rows", metavar="N", type=click.IntRange(min=1), help="Rows that are lost by a failure.")
@click.option("--scratch", metavar="FOLDER", help="Where each node keeps the texts.")
@allow_unverified
def command(*, queries: tuple[str, ...], candidates: tuple[str, ...], corpus: tuple[str, ...], **given: Any) -> None:
    """Rank the candidates of many queries on a Ray cluster, or on this machine.

    PLACE is a file or a folder of Parquet, Arrow or JSON lines, as a path or a URI (s3://, gs://, ...), and may be
    given several times. The rows of a query's candidates stand together.

    An interrupted command goes on where it stopped when it is given again with --resume.
    """
    options = {name: given.pop(name) for name in OPTIONS}
    options = {name: value for name, value in options.items() if value not in (None, False)}
    out = given["out"]
    try:
        totals = rank_dataset(queries, candidates, corpus, options=options, **given)
    except (KeyboardInterrupt, CrossrankError) as exc:
        if not isinstance(exc, UsageError):
            click.echo(
                f"{out}: what was finished is kept; the same command with --resume goes on from there.", err=True
            )
        raise
    click.echo(f"{out}: {totals.scored:,} of {totals.rows:,} rows scored", err=True)
    if totals.poison:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in totals.poison.items())
        click.echo(f"{out}/poison: {sum(totals.poison.values()):,} rows that could not be: {reasons}", err=True)
