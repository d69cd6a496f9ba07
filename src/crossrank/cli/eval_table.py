"""An evaluation as a person reads it on a terminal: tables with colours, then what they mean in plain sentences."""

from rich.console import Console
from rich.text import Text

from crossrank.cli.console import terminal
from crossrank.cli.facts import WIDTH_IN_PIPES
from crossrank.cli.printable import printable
from crossrank.evaluate.report import (
    DIFFERENCE_INTERVAL,
    INTERVAL,
    Table,
    measure_table,
    method,
    sentences,
    speed_table,
    title,
    verdict,
)
from crossrank.evaluate.result import Evaluation

GAP = 2
NAME_MAX = 32  # characters of a ranker's name; of a longer one, the end is shown
COLOURS = {1: "green", 0: "", -1: "red"}
# Columns go, in this order, while the terminal is too narrow.
EXPENDABLE = (
    DIFFERENCE_INTERVAL,
    "tokens a query",
    "documents a query",
    INTERVAL,
    "won/tied/lost",
    "95 %",
    "ms a document",
    "p",
)


def print_evaluation(evaluation: Evaluation) -> None:
    """A table for each measure, one of times, the sentences, the notes."""
    console = terminal()
    if not console.is_terminal:
        console.width = WIDTH_IN_PIPES
    _wrapped(console, title(evaluation), "bold")
    for measure in evaluation.measures:
        colours = [COLOURS[verdict(row.scores[measure])] for row in evaluation.rows]
        _print_table(console, measure_table(evaluation, measure), colours)
    if speed := speed_table(evaluation):
        _print_table(console, speed, [""] * len(speed.rows))
    console.print()
    for sentence in sentences(evaluation):
        _wrapped(console, sentence, "red" if sentence.startswith("Reranking hurts") else "")
    for line in (method(evaluation), *evaluation.notes):
        _wrapped(console, line, "dim")


def _print_table(console: Console, table: Table, colours: list[str]) -> None:
    console.print()
    columns = [list(column) for column in zip(table.headings, *table.rows, strict=True)]
    columns[0] = [columns[0][0], *(_shortened(printable(name)) for name in columns[0][1:])]
    for heading in EXPENDABLE:
        if sum(max(map(len, column)) + GAP for column in columns) - GAP <= console.width:
            break
        columns = [column for column in columns if column[0] != heading]
    widths = [max(map(len, column)) for column in columns]
    for cells, colour in zip(zip(*columns, strict=True), ["dim", *colours], strict=True):
        name, *figures = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        line = Text((" " * GAP).join([name, *figures]).rstrip(), style=colour)
        console.print(line, soft_wrap=True)


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_MAX else "…" + name[1 - NAME_MAX :]


def _wrapped(console: Console, text: str, style: str) -> None:
    for line in Text(printable(text), style=style).wrap(console, console.width):
        line.rstrip()
        console.print(line, soft_wrap=True)
