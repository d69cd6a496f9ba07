"""An explanation as a person reads it: the text in colours, or a bar for each part where there are none."""

import sys
from collections.abc import Iterator

import click
from rich.cells import set_cell_size
from rich.style import Style
from rich.text import Text

from crossrank.cli.console import terminal
from crossrank.cli.printable import printable
from crossrank.explain import Explanation, Span

BAR_WIDTH = 10
STRONGEST = 5  # parts that are listed below the text
FAINT = 0.06  # of the strongest share; what is less has no colour
PALE, ADDS, TAKES = (
    (236, 236, 236),
    (74, 184, 106),
    (235, 110, 98),
)  # under black letters, so that any terminal shows it


def print_heat(explanation: Explanation, model: str) -> bool:
    """The text in colours, the strongest parts with their shares; False, and nothing, where there are no colours."""
    console = terminal()
    if console.color_system is None or not sys.stdout.isatty():
        return False
    most = _most(explanation)
    text = Text.assemble(*((shown, _style(span, most)) for shown, span in _pieces(explanation)))
    console.print(text)
    if len(explanation) > 1:
        console.print()
        for span in sorted(explanation, key=lambda span: -abs(span.share))[:STRONGEST]:
            console.print(Text(_line(span, most, console.width)), no_wrap=True)
    legend = Text.assemble(
        ("adds", _colour(ADDS, 1)), " ", ("takes away", _colour(TAKES, 1)), f"  {_summary(explanation, model)}"
    )
    console.print()
    console.print(legend)
    return True


def print_bars(explanation: Explanation, model: str) -> None:
    """A line a part: its share, a bar, its text; cut to the terminal's width, whole in a pipe."""
    width = terminal().width if sys.stdout.isatty() else None
    most = _most(explanation)
    for span in explanation:
        click.echo(_line(span, most, width).rstrip())
    click.echo(_summary(explanation, model))


def _pieces(explanation: Explanation) -> Iterator[tuple[str, Span | None]]:
    """The passage, piece by piece: parts, and what stands between them."""
    start, end = explanation.passage
    text = explanation.text
    if start > 0:
        yield "… ", None
    for span in explanation:
        yield _between(text[start : span.start]), None
        yield printable(span.text), span
        start = span.end
    yield _between(text[start:end]).rstrip(), None
    if end < len(text):
        yield " …", None


def _between(text: str) -> str:
    """Punctuation and white space, made safe; ends of lines stay."""
    if not text.strip():
        return "\n" * min(2, text.count("\n")) or " " * bool(text)
    return " " * text[0].isspace() + printable(text) + _between(text[len(text.rstrip()) :])


def _style(span: Span | None, most: float) -> Style:
    if span is None or abs(span.share) < FAINT * most:
        return Style()
    return _colour(ADDS if span.share > 0 else TAKES, abs(span.share) / most)


def _colour(strong: tuple[int, int, int], part: float) -> Style:
    red, green, blue = (round(pale + part * (full - pale)) for pale, full in zip(PALE, strong, strict=True))
    return Style(color="rgb(0,0,0)", bgcolor=f"rgb({red},{green},{blue})")


def _line(span: Span, most: float, width: int | None) -> str:
    filled = round(abs(span.share) / most * BAR_WIDTH) if most else 0
    bar = ("█" if span.share >= 0 else "▒") * filled
    line = f"{span.share:+8.3f}  {bar:<{BAR_WIDTH}}  {printable(span.text)}"
    return line if width is None else set_cell_size(line, width).rstrip()


def _most(explanation: Explanation) -> float:
    return max((abs(span.share) for span in explanation), default=0.0)


def _summary(explanation: Explanation, model: str) -> str:
    whole, empty = explanation.whole, explanation.empty
    part = "" if explanation.passage == (0, len(explanation.text)) else " of the passage that counts"
    return (
        f"{explanation.scale} {whole:.3f}{part} = {empty:.3f} without any text {whole - empty:+.3f}, shared among "
        f"{len(explanation)} parts; {printable(model)}"
    )
