"""Bars of a table's column, as a list that a style sheet draws. The table stays the one source of the figures."""

import re
from collections.abc import Iterator
from html import escape

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def bars(text: str, column: str, caption: str) -> str | None:
    """A bar a row of the first table that has the column; None where there is no such table.

    Rows whose label is bold, or says that it is the default, stand out. Of several numbers in a cell the first counts.
    """
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()]
        if column in head:
            at = head.index(column)
            found = [(row[0], number[0]) for row in rows if (number := NUMBER.search(row[at])) is not None]
            return "\n".join(_drawn(found, caption))
    return None


def _drawn(rows: list[tuple[str, str]], caption: str) -> Iterator[str]:
    largest = max(float(number.replace(",", "")) for _, number in rows)
    yield '<figure class="chart">'
    yield f"<figcaption>{escape(caption)}</figcaption>"
    yield "<ul>"
    for label, number in rows:
        own = ' class="own"' if "**" in label or "default" in label else ""
        share = 100 * float(number.replace(",", "")) / largest
        name = re.sub(r"[*`]", "", label)
        yield (f'<li{own}><span>{escape(name)}</span><i><b style="width: {share:.1f}%"></b></i><em>{number}</em></li>')
    yield "</ul>"
    yield "</figure>"
