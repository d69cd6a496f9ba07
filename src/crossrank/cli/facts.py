"""Facts in plain text for a person: names with values, a table, sentences; each fits its terminal."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

WIDTH_IN_PIPES = 10_000
GAP = 2
NARROW = 3  # times the width of the names of facts: on such a terminal their values go on below them
NO_NUMBER = ("", "-", "unknown")


def say(text: str, *, err: bool = False) -> None:
    """Sentences: on a terminal lines break between words and keep their indent; in a pipe they stay as they are."""
    width = _width(sys.stderr if err else sys.stdout)
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        click.echo("\n".join(_wrapped(line, indent, width)), err=err)


def print_facts(facts: Mapping[str, Any]) -> None:
    """A line a fact, or several on a narrow terminal; `None` and empty lists are "none"."""
    names, width = max(map(len, facts)), _width(sys.stdout)
    hanging = names + GAP if width > NARROW * names else 2 * GAP
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        line = f"{name.replace('_', ' '):<{names}}  {'none' if shown in (None, '') else shown}"
        sys.stdout.write("\n".join(_wrapped(line, " " * hanging, width)) + "\n")


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]], *, expendable: Sequence[str]) -> None:
    """A table with numbers to the right; `expendable` columns go, in that order, while the terminal is too narrow.

    On one that is too narrow for the others as well, each row takes several lines: its name, then the rest in words.
    """
    columns = [[heading, *cells] for heading, cells in zip(headings, zip(*rows, strict=True), strict=True)]
    for heading in expendable:
        if _fits(columns):
            break
        columns = [column for column in columns if column[0] != heading]
    if not _fits(columns):
        _print_stacked(columns)
        return
    for line in zip(*(_aligned(column) for column in columns), strict=True):
        sys.stdout.write((" " * GAP).join(line).rstrip() + "\n")


def _wrapped(line: str, hanging: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _width(stream: TextIO) -> int:
    return shutil.get_terminal_size().columns if stream.isatty() else WIDTH_IN_PIPES


def _fits(columns: list[list[str]]) -> bool:
    return sum(max(map(len, column)) + GAP for column in columns) - GAP <= _width(sys.stdout)


def _print_stacked(columns: list[list[str]]) -> None:
    names = 1 + next((place for place, column in enumerate(columns) if not _numbers(column)), 0)
    headings, *rows = zip(*columns, strict=True)
    if any(headings[:names]):
        say((" " * GAP).join(headings[:names]))
    for row in rows:
        click.echo((" " * GAP).join(row[:names]).strip())
        rest = [f"{heading} {cell}" for heading, cell in zip(headings[names:], row[names:], strict=True) if cell]
        if rest:
            say(" " * 2 * GAP + ", ".join(rest))


def _aligned(column: list[str]) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) if _numbers(column) else cell.ljust(width) for cell in column]


def _numbers(column: list[str]) -> bool:
    known = [cell for cell in column[1:] if cell not in NO_NUMBER]
    return all(cell.lstrip("+-≥ ")[:1].isdigit() for cell in known) and (bool(known) or len(column) == 1)
