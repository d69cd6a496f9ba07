"""`crossrank rank --queries ...`: many queries from files to a file, which an interrupted command goes on with."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import click

from crossrank.bulk.job import Job, read_job
from crossrank.bulk.output import Output
from crossrank.bulk.run import Wish, blocks
from crossrank.cli.bulk_options import Files
from crossrank.cli.eval_inputs import identity
from crossrank.cli.progress import QueriesBar, waiting
from crossrank.errors import CrossrankError, UsageError
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker

SCORED = (
    "instruction",
    "instruction_mode",
    "template",
    "long_documents",
    "aggregate",
    "max_chars",
    "max_length",
)  # what scores depend on, besides the model


def rank_files(
    files: Files,
    wish: Wish,
    opening: Callable[[], AbstractContextManager[Reranker]],
    *,
    model: str,
    options: Mapping[str, Any],
) -> None:
    """Rank all queries of the files, or those that an earlier run has left.

    Args:
        files: from what to what.
        wish: what is wanted of each ranking.
        opening: opens the model.
        model: its name.
        options: what it is opened with.
    """
    with waiting("Reading the files"):
        job = read_job(
            files.queries, files.candidates, files.corpus, depth=files.depth, skip_missing=files.skip_missing
        )
    with job:
        for note in job.notes:
            click.echo(note, err=True)
        with opening() as ranker:
            if files.output is None:
                for block in blocks(job, ranker, wish, done=0, name=model):
                    sys.stdout.write(block.decode())
                return
            computed_by = identity(model, options.get("max_length"), ranker, options.get("revision"))
            scored = {option: options.get(option) for option in SCORED}
            calibration = None if is_remote(model) or ranker.calibration is None else repr(ranker.calibration.curve)
            header = {**wish.header(), **scored, "model": computed_by, "calibration": calibration, **job.header()}
            with Output(files.output, header, restart=files.restart) as output, _shown(job, output, files) as bar:
                for block in blocks(job, ranker, wish, done=output.done, name=model):
                    output.add(block)
                    bar.update("Ranking", len(job.texts))


@contextmanager
def _shown(job: Job, output: Output, files: Files) -> Iterator[QueriesBar]:
    """A bar on a terminal; at the end, whatever it is, how far the file is."""
    before, total = output.done, len(job.texts)
    try:
        with closing(QueriesBar()) as bar:
            bar.skip(before)
            yield bar
    except (KeyboardInterrupt, CrossrankError) as exc:
        remedy = "" if isinstance(exc, UsageError) else "; the same command goes on from there"
        click.echo(f"{files.output}: {output.done:,} of {total:,} queries{remedy}.", err=True)
        raise
    earlier = f", {before:,} of them before" if before else ""
    click.echo(f"{files.output}: {total:,} queries{earlier}", err=True)
