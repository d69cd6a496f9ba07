"""Facts in plain, aligned text for a person: a list of names with values, and a table that fits its terminal."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH_IN_PIPES = 10_000


def print_facts(facts: Mapping[str, Any]) -> None:
    """A line a fact; `None` and empty lists are "none"."""
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        sys.stdout.write(f"{name.replace('_', ' '):<{width}}  {'none' if shown in (None, '') else shown}\n")


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]], *, expendable: Sequence[str]) -> None:
    """A table with numbers to the right; `expendable` columns go, in that order, while the terminal is too narrow."""
    columns = [[heading, *cells] for heading, cells in zip(headings, zip(*rows, strict=True), strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_IN_PIPES
    for heading in expendable:
        if sum(max(map(len, column)) + 2 for column in columns) - 2 <= room:
            break
        columns = [column for column in columns if column[0] != heading]
    for line in zip(*(_aligned(column) for column in columns), strict=True):
        sys.stdout.write("  ".join(line).rstrip() + "\n")


def _aligned(column: list[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(cell.lstrip("+-")[:1].isdigit() for cell in column[1:])
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]
