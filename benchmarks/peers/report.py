"""What was measured as Markdown, rows and a plot.

It knows outcomes; not how they came about.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.catalog import AS_IT_COMES, OURS, PEERS
from peers.compare import Measured, Opened, Outcome
from peers.isa import held

ORDER = ("fp32", "bf16", "int8")  # each also beats those before it
TARGETS = {  # precision: (best peer at it or a lower one, sentence-transformers as it comes, share of the GEMM peak)
    "bf16": (2.5, 10.0, 0.5),
    "int8": (3.5, 14.0, 0.4),
}
FORCED_TARGETS = {"fp32": 1.0, "int8": 1.3}  # best peer at that precision, all held to an instruction set
COLOURS = {"fp32": "#7f8c9b", "bf16": "#3b82c4", "int8": "#d08a2e"}
MIB = 2**20


def table(outcome: Outcome, opened: dict[str, Opened], peak: dict[str, float], isa: str | None) -> str:
    """A row a peer, quickest first; those that failed last, with the reason."""
    columns = ("", "precision", "ms", "pairs/s", "tokens/s", "of peak", "max diff", "tau", "MiB", "tuned to")
    lines = [f"**{outcome.case}** ({outcome.tokens:,.0f} tokens)", "", _row(columns), _row(["---"] * len(columns))]
    done, failed = split(outcome)
    for result in done:
        precision = opened[result.peer].precision
        star = "" if held(result.peer, isa) else " (not held to it)"
        share = _share(result, outcome, peak.get(precision))
        lines.append(
            _row(
                (
                    PEERS[result.peer].what + star,
                    precision,
                    f"{result.median * 1e3:,.0f}",
                    f"{outcome.pairs / result.median:,.0f}",
                    f"{outcome.tokens / result.median:,.0f}",
                    "" if share is None else f"{share:.0%}",
                    f"{max(result.differences):.1e}" if result.differences else "",
                    f"{sum(result.taus) / len(result.taus):.4f}" if result.taus else "",
                    f"{result.peak_bytes / MIB:,.0f}",
                    result.setting or "",
                )
            )
        )
    lines += [
        _row((PEERS[result.peer].what, opened[result.peer].precision, f"failed: {result.error}", *[""] * 7))
        for result in failed
    ]
    return "\n".join(lines) + "\n"


def targets(
    outcome: Outcome, opened: dict[str, Opened], peak: dict[str, float], isa: str | None
) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, target): ours beside the best peers, and beside the machine."""
    done = {result.peer: result for result in split(outcome)[0]}
    rows = []
    for name, precision in OURS.items():
        if name not in done:
            continue
        ours = done[name]
        rivals = [
            result
            for peer, result in done.items()
            if peer not in OURS and held(peer, isa) and _rivals(opened[peer].precision, precision, isa)
        ]
        best, comes, share = TARGETS.get(precision, (None, None, None))
        if isa is not None:
            best, comes, share = FORCED_TARGETS.get(precision), None, None
        if rivals:
            rival = min(rivals, key=lambda result: result.median)
            ratio = f"{rival.median / ours.median:.2f}x ({PEERS[rival.peer].what})"
            rows.append((f"crossrank {precision}: times the best peer", ratio, _least(best, "x")))
        if AS_IT_COMES in done:
            ratio = f"{done[AS_IT_COMES].median / ours.median:.2f}x"
            rows.append((f"crossrank {precision}: times sentence-transformers as it comes", ratio, _least(comes, "x")))
        if (reached := _share(ours, outcome, peak.get(precision))) is not None:
            wanted = None if share is None else share * 100
            rows.append((f"crossrank {precision}: share of the GEMM peak", f"{reached:.0%}", _least(wanted, " %")))
    return rows


def split(outcome: Outcome) -> tuple[list[Measured], list[Measured]]:
    """Peers that were measured, quickest first, and those that were not."""
    done = sorted((m for m in outcome.measured.values() if m.seconds and not m.error), key=lambda m: m.median)
    return done, [m for m in outcome.measured.values() if m not in done]


def peak_line(peak: dict[str, float]) -> str:
    """What the shares are shares of."""
    if not peak:
        return "No GEMM peak: torch could not be had.\n"
    rates = ", ".join(f"{precision} {rate / 1e12:.2f}" for precision, rate in peak.items())
    return (
        f"GEMM peak, tera-operations a second, the fastest product of torch (oneDNN, MKL; weights packed): {rates}.\n"
    )


def rows_of(outcomes: list[Outcome], opened: dict[str, Opened], peak: dict[str, float]) -> Iterator[dict[str, Any]]:
    """A row for each peer on each case, as plain values; those that failed say why."""
    for outcome in outcomes:
        done, failed = split(outcome)
        for result in (*done, *failed):
            ready = opened[result.peer]
            share = _share(result, outcome, peak.get(ready.precision)) if result.seconds else None
            yield {
                "case": str(outcome.case),
                "peer": result.peer,
                "what": PEERS[result.peer].what,
                "ours": result.peer in OURS,
                "precision": ready.precision,
                "detail": ready.detail,
                "documents": outcome.pairs,
                "tokens": round(outcome.tokens),
                "runs": len(result.seconds),
                "error": result.error,
                "setting": result.setting,
                **(_figures(result, outcome, share) if result.seconds else {}),
            }


def _figures(result: Measured, outcome: Outcome, share: float | None) -> dict[str, Any]:
    return {
        "p50_s": round(result.median, 6),
        "pairs_per_s": round(outcome.pairs / result.median, 1),
        "tokens_per_s": round(outcome.tokens / result.median),
        "peak_bytes": result.peak_bytes,
        "share_of_peak": None if share is None else round(share, 4),
        "logit_difference_max": max(result.differences, default=None),
        "tau": round(sum(result.taus) / len(result.taus), 4) if result.taus else None,
        "seconds": [round(seconds, 6) for seconds in result.seconds],
    }


def write_plot(file: Path, outcomes: list[Outcome], opened: dict[str, Opened], title: str) -> None:
    """A panel a case: pairs a second of each peer."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = max(1, *(len(split(outcome)[0]) for outcome in outcomes))
    figure, panels = plt.subplots(
        len(outcomes), 1, figsize=(10, (0.6 + 0.28 * rows) * len(outcomes) + 1), squeeze=False, layout="constrained"
    )
    for axes, outcome in zip(panels[:, 0], outcomes, strict=True):
        done = split(outcome)[0][::-1]
        rates = [outcome.pairs / result.median for result in done]
        colours = [COLOURS[opened[result.peer].precision] for result in done]
        bars = axes.barh([PEERS[result.peer].what for result in done], rates, color=colours)
        for bar, result in zip(bars, done, strict=True):
            if result.peer in OURS:
                bar.set_edgecolor("black")
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axes.set_title(str(outcome.case), fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.1)
    panels[-1, 0].set_xlabel("pairs a second")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    panels[0, 0].legend(handles, COLOURS, fontsize=8, loc="lower right")
    figure.suptitle(title, fontsize=9)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _rivals(theirs: str, ours: str, isa: str | None) -> bool:
    """Whether a peer counts: at our precision, or a lower one unless an instruction set is forced."""
    return theirs == ours if isa is not None else ORDER.index(theirs) >= ORDER.index(ours)


def _share(result: Measured, outcome: Outcome, peak: float | None) -> float | None:
    return None if peak is None else outcome.flops / result.median / peak


def _least(value: float | None, unit: str) -> str:
    return "" if value is None else f">= {value:g}{unit}"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
