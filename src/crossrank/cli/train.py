"""`crossrank train CONFIG`: a run from a TOML file, with its progress; or a look at what it would do.

It knows the terminal; the run itself is in `crossrank.train`.
"""

import math
import sys
import time
from pathlib import Path

import click

from crossrank.cli.facts import print_columns, print_facts
from crossrank.cli.printable import printable
from crossrank.cli.progress import Sign, waiting
from crossrank.errors import MissingExtra
from crossrank.train.config import TrainConfig, read_config
from crossrank.train.events import Evaluated, Event, Preparing, Saved, Stepped, Stopping, Warned

PREPARING_EVERY_S = 10.0
SHOWN_CHARACTERS = 100
STOPPING = "Ending this step, then saving (Ctrl-C again stops at once)"
EXAMPLES = """\b
Examples:
  crossrank train config.toml --dry-run
  crossrank train config.toml
  crossrank train config.toml --resume
"""


@click.command("train", epilog=EXAMPLES)
@click.argument("config_file", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Continue the run in the output folder from its last checkpoint.")
@click.option("-o", "--output", metavar="DIR", help="The run's folder, instead of the config's.")
@click.option("--data", metavar="DIR", help="The folder that the paths of sources start from, instead of the config's.")
@click.option("--steps", metavar="N", type=click.IntRange(min=1), help="Optimiser steps, instead of the config's.")
@click.option("--dry-run", is_flag=True, help="Read all sources, show counts and an example, estimate the time; stop.")
def command(
    config_file: Path, *, resume: bool, output: str | None, data: str | None, steps: int | None, dry_run: bool
) -> None:
    """Train a reranker as CONFIG, a TOML file, says; see docs/training.md.

    The output folder gets checkpoints, a log and, at the end, model/ with a card: it loads in crossrank,
    sentence-transformers and transformers. Ctrl-C ends the step in progress, saves, and --resume continues exactly.
    """
    config = read_config(config_file).replaced(output=output, steps=steps, data=data)
    if dry_run:
        _dry_run(config)
        return
    started = time.perf_counter()
    try:
        with waiting("Training") as sign:
            _quiet()
            from crossrank.train.run import train

            folder = train(config, resume=resume, emit=_Printer(sign))
    except KeyboardInterrupt as exc:
        said = f"{exc or 'interrupted'}. Continue with: {_resume_command(config_file, output, data, steps)}"
        sys.stderr.write(f"{said}\n")
        raise  # ends with 130, see cli/main.py
    sys.stderr.write(f"Done in {_clock(time.perf_counter() - started)}. The model is in\n")
    sys.stdout.write(f"{folder}\n")


def _dry_run(config: TrainConfig) -> None:
    with waiting("Reading the sources, timing a few steps") as sign:
        _quiet()
        from crossrank.train.dry import dry_run

        found = dry_run(config, emit=_Printer(sign))
    total = sum(examples for _, _, examples in found.counts.values())
    rows = [
        [printable(name), f"{queries:,}", f"{documents:,}", f"{examples:,}", f"{examples / total:.1%}",
         f"{examples / queries:.1f}"]
        for name, (queries, documents, examples) in found.counts.items()
    ]  # fmt: skip
    headings = ["source", "queries", "documents", "examples", "share", "turns"]
    print_columns(headings, rows, expendable=["turns", "documents"])
    example = found.examples[0]
    sys.stdout.write(f"\nAn example: {_short(example.query)}\n")
    for column, document in enumerate(example.documents):
        numbers = "  ".join(_number(row[column]) for row in example.targets)
        sys.stdout.write(f"  {numbers}  {_short(document)}\n")
    sys.stdout.write("  (label, then each teacher's score; – is unknown)\n\n")
    print_facts(
        {
            "device": found.device,
            "pairs": f"{found.pairs:,}",
            "rate": f"{found.pairs_per_s:.0f} pairs/s, measured on the first step's examples",
            "time": f"about {_clock(found.seconds)} for the steps, preparation and evaluation not counted",
        }
    )


class _Printer:
    """Shows events as lines; work before the first step at most every ten seconds."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign
        self._started = self._last = time.monotonic()
        self._stage = ("", "")

    def __call__(self, event: Event) -> None:
        """Write the event's line."""
        if isinstance(event, Stopping):  # in a signal handler, where nothing may be written
            self._sign.message = STOPPING
        elif line := self._line(event):
            self._sign.tell(line)

    def _line(self, event: Event) -> str:
        if isinstance(event, Preparing):
            now, stage = time.monotonic(), (event.source, event.stage)
            if stage == self._stage and now - self._last < PREPARING_EVERY_S:
                return ""
            self._last, self._stage = now, stage
            done = f"{event.stage} {event.done:,}/{event.total:,}"
            return f"[{_clock(now - self._started)}] {printable(event.source)}: {done}"
        if isinstance(event, Stepped):
            return (
                f"step {event.step:,}/{event.steps:,}  loss {event.loss:.4f}  rate {event.learning_rate:.2e}  "
                f"{event.pairs_per_s:.0f} pairs/s  {_clock(event.left_s)} left"
            )
        if isinstance(event, Warned):
            return f"warning: {printable(event.text)}"
        if isinstance(event, Evaluated):
            return f"step {event.step:,}  " + "  ".join(f"{printable(k)} {v:.4f}" for k, v in event.measures.items())
        return f"step {event.step:,}  saved {event.folder}" if isinstance(event, Saved) else ""


def _quiet() -> None:
    """Progress bars and hints of the libraries below say nothing that our own lines do not."""
    import logging
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        from datasets.utils.logging import disable_progress_bar, set_verbosity_error
        from transformers.utils.logging import disable_progress_bar as no_bar
        from transformers.utils.logging import set_verbosity_error as only_errors
    except ImportError as exc:
        raise MissingExtra("Training needs more. Run: pip install 'crossrank[train]'") from exc
    for call in (disable_progress_bar, set_verbosity_error, no_bar, only_errors):
        call()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch|transformers|accelerate|sentence_transformers")


def _resume_command(file: Path, output: str | None, data: str | None, steps: int | None) -> str:
    import shlex

    given = [("--output", output), ("--data", data), ("--steps", steps)]
    options = [word for name, value in given if value is not None for word in (name, str(value))]
    return shlex.join(["crossrank", "train", str(file), *options, "--resume"])


def _short(text: str) -> str:
    line = printable(text)
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def _number(value: float) -> str:
    return f"{'–':>6}" if math.isnan(value) else f"{value:6.3f}"


def _clock(seconds: float) -> str:
    whole = 0 if math.isnan(seconds) else round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
