"""The options of `crossrank rank` that stand for many queries, checked. It knows no model and reads no file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import click

from crossrank.cli.options import FILE

F = TypeVar("F", bound=Callable[..., Any])
TREC = (".trec", ".run")


@dataclass(frozen=True, slots=True)
class Files:
    """Where many queries, their candidates and the documents are, and where their rankings go."""

    queries: Path
    candidates: Path
    corpus: Path
    output: Path | None
    depth: int | None
    skip_missing: bool
    restart: bool

    @classmethod
    def of(cls, query: str | None, given: Mapping[str, Any]) -> Self | None:
        """The checked options; None where one query is asked, as an argument."""
        beside = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]
        if given["queries"] is None:
            if beside:
                raise click.UsageError(f"{', '.join(beside)}: for many queries; give --queries FILE.")
            return None
        if query is not None:
            raise click.UsageError("QUERY and FILE have no place beside --queries, --candidates and --corpus.")
        if given["candidates"] is None or given["corpus"] is None:
            raise click.UsageError("--queries needs --candidates RUN and --corpus FILE.")
        if given["restart"] and given["output"] is None:
            raise click.UsageError("--restart needs -o FILE, which it begins anew.")
        return cls(**given)

    def form(self, asked: str | None) -> Literal["jsonl", "trec"]:
        """The format of the output: what was asked for, else what its name tells, else JSON lines."""
        if asked not in (None, "jsonl", "trec"):
            raise click.UsageError(f"--format {asked}: many rankings are written as jsonl or trec.")
        if asked is None:
            asked = "trec" if self.output is not None and self.output.suffix in TREC else "jsonl"
        return cast('Literal["jsonl", "trec"]', asked)


def bulk_options(command: F) -> F:
    """The options that stand for many queries."""
    options = [
        click.option("--queries", metavar="FILE", type=FILE, help="Many queries: JSON lines with _id and text."),
        click.option("--candidates", metavar="RUN", type=FILE, help="Their candidates: a TREC run."),
        click.option("--corpus", metavar="FILE", type=FILE, help="The documents: JSON lines with _id and text."),
        click.option("-o", "--output", metavar="FILE", type=FILE, help="Where to; goes on with what is there."),
        click.option("--depth", metavar="N", type=click.IntRange(min=1), help="Rank the first N candidates of each."),
        click.option("--skip-missing", is_flag=True, help="Leave out candidates that the corpus lacks."),
        click.option("--restart", is_flag=True, help="Begin the output anew."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
