"""A picture of a result: milliseconds over documents a query. matplotlib is imported inside; it knows rows only."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from crossrank.bench.result import Result, not_written
from crossrank.bench.subjects import RANDOM
from crossrank.errors import UsageError
from crossrank.evaluate.plot import new_figure, plain, save

COLOURS = ("#3b5b92", "#2a7f62", "#c0483a", "#8a5fa8", "#b07d2b", "#4a9aa8", "#7a7a7a")
STYLES = {"crossrank": ("o", "-"), "sentence-transformers": ("s", "--")}  # told apart without colour
OTHERS = ("^", ":")
FORMATS = (".png", ".svg", ".pdf")


def check_plot(file: Path) -> None:
    """Whether a picture can be drawn into that file.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError: the file's ending names no format.
    """
    new_figure(1, 1)
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"{file} ends in no format of a picture; allowed: {', '.join(FORMATS)}")


def write_plot(result: Result, file: Path) -> None:
    """A line for each model, library, device and precision; quoted figures as crosses.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError: nothing was measured.
        UsageError, CrossrankError: the file cannot be written.
    """
    lines: dict[tuple[str, ...], list[tuple[int, float, float]]] = {}
    for row in result.rows:
        if row["kind"] == "measured" and row["runs"]:
            point = (row["documents"], row["p50_s"] * 1e3, row["p95_s"] * 1e3)
            lines.setdefault(_line(row), []).append(point)
    if not lines:
        raise UsageError(f"nothing was measured that {file} could show")
    figure = new_figure(9, 5.5)
    axes = figure.subplots()
    colours = dict(zip(dict.fromkeys(line[0] for line in lines), cycle(COLOURS), strict=False))
    for line, points in lines.items():
        marker, style = STYLES.get(line[1], OTHERS)
        counts, medians, highs = zip(*points, strict=True)
        colour = colours[line[0]]
        axes.plot(counts, medians, marker=marker, linestyle=style, color=colour, label=", ".join(filter(None, line)))
        axes.fill_between(counts, medians, highs, color=colour, alpha=0.12, linewidth=0)
    quoted = [row for row in result.rows if row["kind"] == "quoted" and row["documents"]]
    if quoted:
        places = zip(*((row["documents"], row["p50_s"] * 1e3) for row in quoted), strict=True)
        axes.plot(*places, "x", color="#555555", label="quoted, not measured here: Cohere Rerank 3.5 on OCI")
    _finish(axes, sorted({count for points in lines.values() for count, _, _ in points}), len(lines))
    figure.suptitle(str(result.machine), fontsize=9, x=0.01, ha="left")
    try:
        save(figure, file)
    except OSError as exc:
        raise not_written(file, exc) from exc


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    model = f"{row['model']} ({RANDOM})" if row["weights"] == RANDOM else row["model"]
    return (model, row["by"], "" if row["device"] == "cpu" else row["device"], row["precision"])


def _finish(axes: Any, counts: list[int], lines: int) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel("documents a query")
    axes.set_ylabel("milliseconds a query: median, up to the 95th percentile")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2 if lines > 2 else 1)
    plain(axes)
