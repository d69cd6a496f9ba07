"""Bars of a table's columns, as a list that a style sheet draws. The table stays the one source of the figures."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure as it stands in the table, with what it is of."""

    name: str
    figure: str
    own: bool

    @property
    def size(self) -> float:
        """The figure as a number."""
        return float(self.figure.replace(",", ""))


def bars(text: str, columns: Sequence[str], caption: str) -> str | None:
    """A bar a row and column of the first table that has all the columns; None where there is no such table.

    What is bold, or says that it is the default, stands out: rows of one column, else columns. Of several numbers in a
    cell the first counts; a row that lacks one is left out.
    """
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()]
        names = [_plain(cell) for cell in head]
        if set(columns) <= set(names):
            at = [names.index(column) for column in columns]
            found = [(row[0], [NUMBER.search(row[i]) for i in at]) for row in rows]
            whole = [(label, [number[0] for number in numbers if number]) for label, numbers in found if all(numbers)]
            return "\n".join(
                _simple(whole, caption) if len(at) == 1 else _grouped(whole, [head[i] for i in at], caption)
            )
    return None


def _simple(rows: list[tuple[str, list[str]]], caption: str) -> Iterator[str]:
    """One bar a row, the figure in a column of its own."""
    drawn = [Bar(_plain(label), figure, _stands_out(label)) for label, (figure,) in rows]
    largest = max(bar.size for bar in drawn)
    yield '<figure class="chart">'
    yield f"<figcaption>{escape(caption)}</figcaption>"
    yield "<ul>"
    for bar in drawn:
        own = ' class="own"' if bar.own else ""
        yield f"<li{own}><span>{escape(bar.name)}</span><i>{_share(bar, largest)}</i><em>{bar.figure}</em></li>"
    yield "</ul>"
    yield "</figure>"


def _grouped(rows: list[tuple[str, list[str]]], columns: list[str], caption: str) -> Iterator[str]:
    """The columns' bars of a row below each other; the first group says which is which."""
    groups = [
        (
            _plain(label),
            [Bar(_plain(column), figure, _stands_out(column)) for column, figure in zip(columns, figures, strict=True)],
        )
        for label, figures in rows
    ]
    largest = max(bar.size for _, group in groups for bar in group)
    yield '<figure class="chart grouped">'
    yield f"<figcaption>{escape(caption)}</figcaption>"
    yield "<ul>"
    for label, group in groups:
        yield f"<li><span>{escape(label)}</span><div>"
        for bar in group:
            own = ' class="own"' if bar.own else ""
            yield f"<i{own}>{_share(bar, largest)}<em>{bar.figure} {escape(bar.name)}</em></i>"
        yield "</div></li>"
    yield "</ul>"
    yield "</figure>"


def _share(bar: Bar, largest: float) -> str:
    return f'<b style="width: {100 * bar.size / largest:.1f}%"></b>'


def _plain(cell: str) -> str:
    return re.sub(r"[*`]", "", cell)


def _stands_out(cell: str) -> bool:
    return "**" in cell or "default" in cell
