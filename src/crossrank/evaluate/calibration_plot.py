"""The reliability diagram of a calibration, before and after. It knows values, not how they came about."""

from pathlib import Path
from typing import Any

from crossrank.errors import UsageError
from crossrank.evaluate.calibrate import Calibrated
from crossrank.evaluate.folder import unwritable
from crossrank.evaluate.plot import BETTER, EVEN, WORSE, new_figure, plain, save
from crossrank.evaluate.reliability import Reliability

FORMATS = (".png", ".svg")


def check_plot(file: Path) -> None:
    """Raise UsageError unless the file's name says a format that can be drawn."""
    if file.suffix not in FORMATS:
        raise UsageError(f"{file}: a diagram is drawn as {' or '.join(FORMATS)}; end the file's name so.")


def write_diagram(calibrated: Calibrated, file: Path, *, model: str, labels: str) -> None:
    """Draw observed against predicted, with the distance to the diagonal that few pairs explain, into a file.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError, CrossrankError: the file cannot be written.
    """
    check_plot(file)
    figure = new_figure(6.2, 5.8)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=EVEN, linewidth=1, linestyle="--", zorder=1)
    axes.annotate("as predicted", (0.9, 0.93), rotation=45, ha="center", va="center", fontsize=8, color="#666666")
    _points(axes, calibrated.before, WORSE, "s", "sigmoid of the logit")
    _points(axes, calibrated.after, BETTER, "o", f"{calibrated.method}, on held-out pairs")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("predicted probability (mean of a bin)")
    axes.set_ylabel("share that is relevant (95 % interval)")
    axes.set_title(
        f"{model} on {labels}: {calibrated.pairs:,} pairs, {calibrated.relevant:,} relevant", fontsize=11, loc="left"
    )
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    plain(axes)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(figure, file)
    except OSError as exc:
        raise unwritable(file, exc) from exc


def _points(axes: Any, found: Reliability, colour: str, marker: str, name: str) -> None:
    """Bins as points joined by a line; the label says the calibration error."""
    predicted = [one.predicted for one in found.bins]
    observed = [one.observed for one in found.bins]
    below = [one.observed - one.low for one in found.bins]
    above = [one.high - one.observed for one in found.bins]
    axes.errorbar(
        predicted,
        observed,
        yerr=[[max(0.0, x) for x in below], [max(0.0, x) for x in above]],
        fmt=f"-{marker}",
        color=colour,
        markersize=5,
        linewidth=1.2,
        elinewidth=0.8,
        capsize=2,
        label=f"{name}: ECE {found.ece:.3f}",
    )
