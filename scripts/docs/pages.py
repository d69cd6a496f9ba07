"""A page's text as the site needs it: includes put in, drawings in line, links into the repository as the site's.

It knows Markdown and paths, not the site generator.
"""

import os
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from charts import bars
from nav import NAV

FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2[`~]* *$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
INCLUDE = re.compile(r"^<!-- include (\S+): (.+?) -->$", re.MULTILINE)
BARS = re.compile(r"^<!-- bars (\S+): ([^:]+): ([^:]+): (.+?) -->$", re.MULTILINE)
NARROW = 400  # drawings up to this width stand side by side where there is room
STYLE = re.compile(r"<style>.*?</style>\s*", re.DOTALL)


TITLES = {page: title for _, entries in NAV for title, page in entries}


class PageError(ValueError):
    """A page says something that the site cannot show."""


def page_of(source: Path, root: Path, to: str, places: Mapping[str, str]) -> str:
    """The text of a file of the repository as the page `to`.

    Args:
        source: the file, below `root`.
        root: the repository.
        to: where the page will be, seen from the site's pages.
        places: what is on the site, by its path in the repository.

    Raises:
        PageError: a link, a drawing or an included section is not there.
    """
    text = source.read_text(encoding="utf-8")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    text = BARS.sub(lambda found: _bars(root / found[1], *found.groups()[1:]), text)
    text = INCLUDE.sub(lambda found: _section(root / found[1], found[2], source.parent), text)
    return _outside_code(text, lambda part: LINK.sub(lambda found: _link(found, source, root, to, places), part))


def _section(file: Path, heading: str, reader: Path) -> str:
    """What stands below a heading of another file, its links as seen from the reader's folder."""
    below = _below(file, heading)

    def moved(link: re.Match[str]) -> str:
        if re.match(r"[a-z]+:|#", link[3]):
            return link[0]
        return f"{link[1]}[{link[2]}]({os.path.relpath(file.parent / link[3], reader)})"

    return _outside_code(below, lambda part: LINK.sub(moved, part))


def _below(file: Path, heading: str) -> str:
    text = file.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise PageError(f"{file} has no section {heading!r}")
    return found[1].strip()


def _bars(file: Path, heading: str, columns: str, caption: str) -> str:
    drawn = bars(_below(file, heading), columns.split(", "), caption)
    if drawn is None:
        raise PageError(f"{file} has no table with the column {columns!r} below {heading!r}")
    return drawn


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts, at = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def _link(found: re.Match[str], source: Path, root: Path, to: str, places: Mapping[str, str]) -> str:
    mark, label, target = found.groups()
    if re.match(r"[a-z]+:|#", target):
        return found[0]
    path, _, anchor = target.partition("#")
    there = (source.parent / path).resolve()
    if not there.exists():
        raise PageError(f"{source.relative_to(root)} links to {target}, which is not there")
    name = str(there.relative_to(root))
    if mark and there.suffix == ".svg":
        return _drawing(there, label)
    if name not in places:  # it is in the repository only: named, not linked to
        return label if name in label else f"{label} (`{name}`)"
    place, _, part = places[name].partition("#")
    relative = os.path.relpath(place, Path(to).parent)
    anchor = anchor or part
    label = TITLES.get(place, label) if label == name.rpartition("/")[2] else label  # a bare file name says little
    return f"{mark}[{label}]({relative}{'#' if anchor else ''}{anchor})"


def _drawing(file: Path, label: str) -> str:
    """An SVG as part of the page, in the page's own colours: its own style is for where it stands alone."""
    drawing = STYLE.sub("", file.read_text(encoding="utf-8")).strip()
    drawing = re.sub(r"\n\s*\n", "\n", re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", drawing, flags=re.DOTALL))
    width = re.search(r'viewBox="0 0 (\d+) ', drawing)
    narrow = " narrow" if width is not None and int(width[1]) <= NARROW else ""
    return f'<figure class="drawing{narrow}" role="img" aria-label="{escape(label)}">\n{drawing}\n</figure>'
