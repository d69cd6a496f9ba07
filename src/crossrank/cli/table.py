"""A ranking as a person reads it on a terminal: a table with bars and colours, as wide as the terminal is."""

import math

from rich.console import Console
from rich.text import Text

from crossrank.cli.console import terminal
from crossrank.cli.printable import printable
from crossrank.types import Hit, Ranking

BAR_WIDTH = 12
LIKELY = "probability"  # a column, where there is a calibration
BARS_FROM = 60  # columns of a terminal; a narrower one has no room for bars
TEXT_WIDTH_MIN = 12
LINES_MAX = 4  # of a hit's passage
EIGHTHS = " ▏▎▍▌▋▊▉"


def print_table(ranking: Ranking, *, hits_max: int) -> None:
    """The table's best `hits_max` hits, and a line that says what was ranked."""
    console = terminal()
    shown = ranking[:hits_max]
    bars = BAR_WIDTH if console.width >= BARS_FROM else 0
    ranks, scores = len(str(len(shown))), max([5, *(len(_score(hit)) for hit in shown)])
    likely = len(LIKELY) if any(hit.probability is not None for hit in shown) else 0
    indent = ranks + 2 + scores + 2 + (likely and likely + 2) + (bars and bars + 2)
    width = max(TEXT_WIDTH_MIN, console.width - indent)
    if shown:
        headings = f"{'#':>{ranks}}  {'score':>{scores}}  {f'{LIKELY}  ' if likely else ''}{' ' * (bars and bars + 2)}"
        _print(console, Text(f"{headings}document", style="dim"))
    for hit in shown:
        share = _share(hit)
        colour = "green" if share >= 0.5 else "yellow" if share >= 0.1 else "dim"
        start = Text.assemble((f"{hit.rank:>{ranks}}  ", "dim"), (f"{_score(hit):>{scores}}  ", colour))
        if likely:
            start.append(f"{'-' if hit.probability is None else format(hit.probability, '.4f'):>{likely}}  ")
        if bars:
            start.append(f"{_bar(share):<{bars}}  ", style=colour)
        for line in _lines(console, hit, width):
            _print(console, start + line)
            start = Text(" " * indent)
    for line in Text(_summary(ranking, len(shown)), style="dim").wrap(console, console.width):
        _print(console, line)


def _print(console: Console, line: Text) -> None:
    line.rstrip()
    console.print(line, soft_wrap=True)


def _lines(console: Console, hit: Hit, width: int) -> list[Text]:
    """The beginning of the passage that gave the score, wrapped; what is left out is marked."""
    start, end = hit.passage or (0, len(hit.text))
    text = ("… " if start else "") + printable(hit.text[start : min(end, start + 8 * LINES_MAX * width)])
    lines = list(Text(text).wrap(console, width, overflow="fold"))
    for line in lines:
        line.rstrip()
    if len(lines) > LINES_MAX or end < len(hit.text):
        lines = lines[:LINES_MAX]
        if lines[-1].cell_len > width - 2:
            lines[-1].truncate(width - 2)
            lines[-1] = lines[-1][: lines[-1].plain.rfind(" ")] if " " in lines[-1].plain else lines[-1]
        lines[-1].append(" …", style="dim")
    return lines or [Text()]


def _summary(ranking: Ranking, shown: int) -> str:
    if not len(ranking):
        return f"No hit: none of {_count(ranking)} reaches the threshold."
    cut = sum(bool(hit.truncated) for hit in ranking[:shown])
    seconds = ranking.timings["total"]
    parts = [
        f"{shown:,} of {_count(ranking)}" + (f" (all: --top-k {len(ranking)})" if shown < len(ranking) else ""),
        *([f"{ranking.usage['tokens']:,} tokens"] if "tokens" in ranking.usage else []),  # not every vendor counts them
        f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms",
        printable(str(ranking[0].scored_by)),
        *([f"{cut} not read to the end"] if cut else []),
    ]
    return ", ".join(parts)


def _count(ranking: Ranking) -> str:
    documents = ranking.usage["documents"]
    return f"{documents:,} document{'' if documents == 1 else 's'}"


def _score(hit: Hit) -> str:
    return "-" if hit.score is None else f"{hit.score:.4f}"


def _share(hit: Hit) -> float:
    """How much of the bar: the probability, else the sigmoid of the logit, else the score, whatever its scale."""
    if hit.probability is not None:
        return hit.probability
    if hit.logit is None:
        return min(1.0, max(0.0, hit.score or 0.0))
    return (1 + math.tanh(hit.logit / 2)) / 2


def _bar(share: float) -> str:
    eighths = round(share * BAR_WIDTH * 8)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
