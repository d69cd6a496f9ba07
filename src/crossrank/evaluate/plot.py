"""Pictures of an evaluation, as PNG files; matplotlib is imported inside. It knows values, not how they came about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossrank.errors import MissingExtra
from crossrank.evaluate.folder import unwritable
from crossrank.evaluate.report import title
from crossrank.evaluate.result import Evaluation, Row
from crossrank.writing import whole_file

BETTER, WORSE, EVEN, LINE = "#2a7f62", "#c0483a", "#9a9a9a", "#3b5b92"  # told apart without colour by their side of 0
DPI = 160
BARS_MAX = 400  # queries; of more, the outline is drawn


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """differences.png (per query, sorted) and latency.png (quality against time); none of them without a ranker.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError, CrossrankError: a file cannot be written.
    """
    rankers = [row for row in evaluation.rows if row.kind == "ranker"]
    if not rankers:
        return []
    plots = {"differences.png": _differences(evaluation)}
    if any(row.speed for row in rankers):
        plots["latency.png"] = _latency(evaluation, [row for row in rankers if row.speed])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in plots.items():
            save(figure, folder / name)
    except OSError as exc:
        raise unwritable(Path(exc.filename or folder), exc) from exc
    return [folder / name for name in plots]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Of (cost, quality): positions of those that nothing cheaper or as cheap equals or beats, from cheap to dear."""
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def _differences(evaluation: Evaluation) -> Any:
    measure, stage = evaluation.measures[0], evaluation.first_stage
    compared = [row for row in evaluation.rows if row is not stage]
    columns = 1 if len(compared) == 1 else 2
    lines = -(-len(compared) // columns)
    figure = new_figure(6.4 * columns if columns > 1 else 8, 3.4 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, row in zip(grid.flat, compared, strict=False):
        _bars(axes, row, stage, measure)
    for axes in list(grid.flat)[len(compared) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"difference in {measure} to {stage.name}")
    figure.suptitle(title(evaluation), fontsize=11, x=0.01, ha="left")
    return figure


def _bars(axes: Any, row: Row, stage: Row, measure: str) -> None:
    score = row.scores[measure]
    comparison = score.comparison
    assert comparison is not None, "bug: only the first stage is not compared"
    values = sorted((score.values[q] - stage.scores[measure].values[q] for q in score.values), reverse=True)
    places = range(1, len(values) + 1)
    if len(values) <= BARS_MAX:
        axes.bar(places, values, width=0.85, color=[BETTER if v > 0 else WORSE if v < 0 else EVEN for v in values])
    else:
        for colour, kept in ((BETTER, [max(v, 0.0) for v in values]), (WORSE, [min(v, 0.0) for v in values])):
            axes.fill_between(places, kept, step="mid", color=colour, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axhline(comparison.difference, color=LINE, linewidth=1.2, linestyle="--")
    axes.axhspan(comparison.interval.low, comparison.interval.high, color=LINE, alpha=0.15, linewidth=0)
    gains = comparison.difference >= 0  # then the bars leave room at the right above, else at the left below
    axes.annotate(
        f"mean {comparison.difference:+.3f}",
        (1 if gains else 0, comparison.difference),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4) if gains else (4, -12),
        textcoords="offset points",
        ha="right" if gains else "left",
        color=LINE,
        fontsize=9,
    )
    counts = f"{comparison.wins} better, {comparison.ties} equal, {comparison.losses} worse"
    axes.set_title(f"{row.name}: {counts}", fontsize=10, loc="left")
    axes.set_xlabel("queries, from most gained to most lost", fontsize=9)
    axes.set_xlim(0.2, len(values) + 0.8)
    plain(axes)


def _latency(evaluation: Evaluation, rankers: Sequence[Row]) -> Any:
    measure = evaluation.measures[0]
    figure = new_figure(8, 5)
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes = figure.subplots()
    points = [(row.speed.p50_ms, row.scores[measure].mean) for row in rankers if row.speed]
    front = pareto(points)
    for place, (row, (ms, mean)) in enumerate(zip(rankers, points, strict=True)):
        interval, colour = row.scores[measure].interval, LINE if place in front else EVEN
        bars = [[mean - interval.low], [interval.high - mean]]
        axes.errorbar([ms], [mean], yerr=bars, fmt="o", color=colour, markersize=7, elinewidth=1, capsize=3)
        axes.annotate(row.name, (ms, mean), xytext=(8, -14), textcoords="offset points", fontsize=9, color=colour)
    costs, qualities = zip(*(points[place] for place in front), strict=True)
    axes.step(costs, qualities, where="post", color=LINE, linewidth=1, label="Pareto front")
    for row in (row for row in evaluation.rows if row.kind != "ranker"):
        mean = row.scores[measure].mean
        axes.axhline(mean, color=EVEN, linewidth=1, linestyle="--")
        at_end = ("axes fraction", "data")
        axes.annotate(row.name, (1, mean), (-2, 3), at_end, "offset points", ha="right", fontsize=9, color="#666666")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:,g}"))
    low, high = min(ms for ms, _ in points), max(ms for ms, _ in points)
    axes.set_xlim(low / 2, high * 4)
    axes.set_xlabel("milliseconds a query (median, log scale)")
    axes.set_ylabel(f"{measure} (95 % interval)")
    axes.set_title(title(evaluation), fontsize=11, loc="left")
    if len(points) > 1:
        axes.legend(loc="best", fontsize=9, frameon=False)
    plain(axes)
    return figure


def save(figure: Any, file: Path) -> None:
    """Draw into a file, whole or not at all, in the format that its name says.

    Raises:
        OSError: the place cannot be written.
    """
    with whole_file(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=DPI, bbox_inches="tight", facecolor="white")


def plain(axes: Any) -> None:
    """Without a box, with faint lines to read values by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)


def new_figure(width_in: float, height_in: float) -> Any:
    """A figure of its own that draws without a display; pyplot would keep it, and may want a window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingExtra("matplotlib is not installed. Run: pip install 'crossrank[eval]'") from exc
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
