"""The blocks of README and docs: what stands between `<!-- measured: NAME -->` and `<!-- /measured -->`, by its name.

Each is rendered from what `run.py --write` has kept in benchmarks/results, so that no such
table has a figure of its own.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from crossrank.bench.report import failures, measured_table, method, quoted_table
from crossrank.bench.result import Result, Row, read_result
from crossrank.evaluate.report import markdown_table

RESULTS = Path(__file__).resolve().parent / "results"
MIB = 2**20
BUNDLED = "crossrank-mini"
SYSTEMS = ("BM25", "bi-encoder", BUNDLED)
FACTS = (  # the results' own words, except where they need the table's context
    ("exactness", "nDCG@10 on TREC DL 2019 by the bundled model: fp32 / bf16 / int8", None),
    ("exactness", "largest difference of fp32's logits to transformers'", None),
    ("startup", "`import crossrank`, over an empty Python", None),
    ("startup", "`crossrank rank` on 20 sentences, process start to exit", None),
    ("footprint", "core install without the model", "installed, without the model"),
    ("footprint", "the bundled model", None),
    ("footprint", "the wheel", "the wheel, which is compressed, with the model"),
)
CACHES = (  # what a line begins with, and its name in the chart
    ("100 passages scored, nothing known", "scored, nothing known"),
    ("tokenising 100 passages: without a cache", "tokenised only, nothing known"),
    ("tokenising 100 passages: met before", "**tokenised only, met before**"),
    ("100 passages ranked again", "**ranked again, all scores in memory**"),
    ("SQLite, 1,000,000 scores: 100 asked for", "**scores looked up in SQLite, among 1,000,000**"),
    ("Redis on this machine, 100,000 scores: 100 asked for", "**scores looked up in Redis, among 100,000**"),
)
CALLERS = (
    ("64 x 20 passages of trec_dl19: one call with all pairs", "one call with all of them"),
    ("64 x 20 passages of trec_dl19: 64 callers of `arank`", "**64 callers of `arank`**"),
    (
        "64 x 20 passages of trec_dl19: ThreadPoolExecutor around sentence-transformers' `predict`",
        "64 threads around sentence-transformers' `predict`",
    ),
)
LISTED = {  # what heads the last column, if there is one
    "caching": "target",
    "concurrency": "times `arank`, or target",
    "integrations": "times one call, or target",
    "language": "",
    "prompt": "target",
    "replicas": "times one model, or target",
    "server": "of the engine's",
    "sizing": "",
}
BI_ENCODER_BEATS = ("CACM", "Cranfield")


def _kept(name: str) -> Result:
    return read_result(RESULTS / f"{name}.json")


def _peers() -> str:
    """The first case, the fastest first, crossrank's own in bold."""
    result = _kept("peers")
    first = result.rows[0]["case"]
    rows = [row for row in result.rows if row["case"] == first and row["runs"] and not row["error"]]
    cells = [
        (
            f"**{row['what']}**" if row["ours"] else row["what"],
            f"**{_ms(row)}**" if row["ours"] else _ms(row),
            f"{row['pairs_per_s']:,.0f}",
            "" if row["tau"] is None else f"{row['tau']:.3f}",
            f"{row['peak_bytes'] / MIB:,.0f} MiB",
        )
        for row in rows
    ]
    turns = max(row["runs"] for row in rows)
    versions = sorted({one for row in rows if not row["ours"] for one in row["detail"].split(", ") if one})
    taken = f"{first}, tokenising included, all in turn, medians of {turns} queries"
    caption = f"{taken}. {result.machine}. {', '.join(versions)}."
    return "\n".join([*_table(("", "ms", "pairs/s", "tau to fp32", "memory"), cells), "", caption, *_notes(result)])


def _facts() -> str:
    rows = []
    for name, what, shown in FACTS:
        (measured,) = [row["measured"] for row in _kept(name).rows if row["what"] == what]
        rows.append((shown or what, measured))
    return "\n".join([*_table(("", ""), rows), "", *_measured_on(dict.fromkeys(name for name, *_ in FACTS))])


def _quality() -> str:
    """The best of each row in bold."""
    result = _kept("sets")
    rows = [_quality_row(row["title"], f"{row['queries']:,}", row["systems"]) for row in result.rows]
    last = [row["systems"] for row in result.rows[1:]]
    means = {
        system: sum(one[system] for one in last) / len(last)
        for system in SYSTEMS
        if last and all(system in one for one in last)
    }
    rows.append(_quality_row("mean of all but the first", "", means))
    headings = ("nDCG@10, the same candidates for all", "queries", "BM25", "bi-encoder", f"**{BUNDLED}**")
    return "\n".join([*_table(headings, rows), "", *_measured_on(["sets"]), *_notes(result)])


def _quality_row(title: str, queries: str, figures: dict[str, float]) -> tuple[str, ...]:
    shown = {system: f"{figures[system]:.3f}" for system in SYSTEMS if system in figures}
    best = max(shown.values())
    tied = list(shown.values()).count(best) > 1
    return (title, queries, *(_best(shown.get(system, ""), best, tied=tied) for system in SYSTEMS))


def _best(figure: str, best: str, *, tied: bool) -> str:
    return f"**{figure}**" if figure == best and not tied else figure


def _shapes() -> str:
    result = _kept("shapes")
    table = measured_table(result)
    assert table is not None, "bug: a result without figures was kept"
    listed = "\n".join(f"- {line}" for line in (*failures(result), *result.notes))
    return "\n\n".join([markdown_table(table), listed, markdown_table(quoted_table(result)), method(result)])


def _scale() -> str:
    result = _kept("scale")
    rows = [
        (row["what"], f"{sorted(row['pairs_per_s'])[len(row['pairs_per_s']) // 2]:,.0f}", f"{row['share']:.0%}")
        for row in result.rows
    ]
    settings = result.settings
    caption = (
        f"{settings['pairs']:,} short pairs from Parquet; medians of {settings['repeats']}, in turn. The cluster: "
        f"{settings['nodes']} nodes of a core; the process: as many threads. Texts of {settings['copied_words']} words "
        f"are copied to a node's disk at {settings['copied_per_s']:,.0f} documents a second of one core. "
        f"{result.machine}."
    )
    return "\n".join([*_table(("", "pairs/s", "of the engine's own"), rows), "", caption])


def _listed(name: str, last: str) -> Callable[[], str]:
    """All lines of a benchmark whose lines are what there is of it; `last` heads their targets, or ratios."""

    def render() -> str:
        rows = [(row["what"], row["measured"], row["target"]) for row in _kept(name).rows]
        headings = ("", "measured", last) if last else ("", "")
        cells = [row[: len(headings)] for row in rows]
        return "\n".join([*_table(headings, cells, right=False), "", *_measured_on([name])])

    return render


def _chart(name: str, chosen: Sequence[tuple[str, str]], headings: tuple[str, str], scale: float) -> Callable[[], str]:
    """Some of its lines as numbers, from which a page draws bars; without those that this machine could not measure."""

    def render() -> str:
        rows = [
            (shown, f"{_number(row['measured']) * scale:.3g}")
            for begins, shown in chosen
            for row in _kept(name).rows
            if row["what"].startswith(begins)
        ]
        return "\n".join(_table(headings, rows, right=True))

    return render


def _number(measured: str) -> float:
    found = re.match(r"[\d,.]+", measured)
    assert found is not None, f"bug: {measured!r} begins with no number"
    return float(found[0].replace(",", ""))


def _ms(row: Row) -> str:
    return f"{row['p50_s'] * 1e3:,.0f}"


def _weaker() -> str:
    """Where crossrank is the weaker one by what is kept, for docs/alternatives.md; without what was not measured."""
    peers = {row["what"]: row for row in _kept("peers").rows if row["runs"] and not row["error"]}
    fp32, int8 = peers["crossrank fp32"], peers["crossrank int8"]
    sets = {row["title"].split(",")[0]: row["systems"] for row in _kept("sets").rows}
    large = [
        row
        for row in _kept("shapes").rows
        if row["kind"] == "measured" and row["model"] == "bge-large" and row["documents"] == 100
    ]
    (job,) = [row["share"] for row in _kept("scale").rows if row["way"] == "all"]
    ratios = [_number(row["target"]) for row in _kept("replicas").rows if "replicas, a core each" in row["what"]]
    quality = "[Measured](performance.md#quality), `run.py sets`"
    times = "[Measured](performance.md#times), `run.py peers`"
    published = (
        "sentence-transformers' documentation states 0.74 for ms-marco-MiniLM-L6-v2, of the same size, which was "
        "trained on MS MARCO, the collection of these passages"
    )
    openvino = [row for what, row in peers.items() if what.startswith("OpenVINO bf16") and "crossrank bf16" in peers]
    rounding = (
        f"Kendall's tau of {int8['tau']:.3f} to fp32 on {fp32['runs']} queries of TREC DL 2019 (0.985 on all, by "
        'the log); on the shipped probes its nDCG@10 is not within the limit that "auto" asks for'
    )
    rows = [
        ("the bundled model on TREC DL 2019", f"nDCG@10 {sets['TREC DL 2019'][BUNDLED]:.3f}; {published}", quality),
        *(
            (f"on {name}", f"{sets[name][BUNDLED]:.4f}, the bi-encoder {sets[name]['bi-encoder']:.4f}", quality)
            for name in BI_ENCODER_BEATS
        ),
        *(
            (
                "fp32, on a processor with AMX",
                f"{_ms(fp32)} ms for 100 passages, OpenVINO in bf16 {_ms(row)} ms; bf16 and int8 are faster than both",
                times,
            )
            for row in openvino
        ),
        ("int8", rounding, f"{times}, `crossrank doctor --precision`"),
        *(
            (
                "larger models on a CPU",
                f"bge-large's shape: {row['p50_s']:.1f} s for 100 passages on two cores",
                "[Benchmarks](benchmarks.md#models-by-shape), `run.py shapes`",
            )
            for row in large
        ),
        (
            "a small job on Ray, 100,000 short pairs",
            f"{job:.0%} of the speed of one process, from call to return",
            "[Beyond one machine](scale.md#measured), `run.py scale`",
        ),
        (
            "replicas on one NUMA domain",
            f"nothing is won: {min(ratios):.2f} to {max(ratios):.2f} times the time of one",
            "[Several devices](devices.md#when-it-pays), `run.py replicas`",
        ),
    ]
    return "\n".join(_table(("", "figure", "see"), rows, right=False))


def _notes(result: Result) -> list[str]:
    return ["", *result.notes] if result.notes else []


def _measured_on(names: Iterable[str]) -> list[str]:
    return ["; ".join(dict.fromkeys(str(_kept(name).machine) for name in names)) + "."]


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, right: bool | None = None) -> list[str]:
    """Figures stand to the right where there are several columns of them, unless told otherwise."""
    rule = "---:" if (len(headings) > 2 if right is None else right) else "---"
    rules = ("---", *(rule for _ in headings[1:]))
    return ["|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in (headings, rules, *rows)]


_RENDERED: dict[str, Callable[[], str]] = {
    "peers": _peers,
    "facts": _facts,
    "quality": _quality,
    "shapes": _shapes,
    "scale": _scale,
    "weaker": _weaker,
    "caches": _chart("caching", CACHES, ("100 passages", "ms"), 1),
    "callers": _chart("concurrency", CALLERS, ("1,280 pairs, asked for by", "s until all have their answers"), 1e-3),
    **{name: _listed(name, last) for name, last in LISTED.items()},
}
BLOCKS = {name: lambda render=render: render() + "\n" for name, render in _RENDERED.items()}
