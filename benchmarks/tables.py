"""The tables that README and docs quote, made from benchmarks/results; without --write, 1 if a page says anything else.

A block stands between `<!-- measured: NAME -->` and `<!-- /measured -->`; `run.py --write` measures and rewrites it.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from crossrank.bench.report import failures, measured_table, method, quoted_table
from crossrank.bench.result import Result, read_result
from crossrank.evaluate.report import markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ("peers", "startup", "footprint", "exactness", "sets", "shapes", "scale")
PAGES = ("README.md", "docs/benchmarks.md", "docs/scale.md", "src/crossrank/models/crossrank-mini/README.md")
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- /measured -->)", re.DOTALL)
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
)


def main() -> int:
    """Check, or write; 1 and the differences where a page is not what the results are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="rewrite the pages")
    if parser.parse_args().write:
        write()
        return 0
    differences = [line for page in PAGES for line in _difference(page)]
    sys.stdout.writelines(differences)
    if differences:
        sys.stdout.write("The pages differ from benchmarks/results. Run: python benchmarks/tables.py --write\n")
    return int(bool(differences))


def write() -> None:
    """Rewrite every block of every page."""
    for page in PAGES:
        (ROOT / page).write_text(made(_text(page)), encoding="utf-8")


def made(text: str) -> str:
    """A page with its blocks as the results have them."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}{found[3]}", text)


def _difference(page: str) -> Iterable[str]:
    text = _text(page)
    lines = [version.splitlines(keepends=True) for version in (text, made(text))]
    return difflib.unified_diff(*lines, page, f"{page}, from benchmarks/results", n=0)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


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
            f"**{row['p50_s'] * 1e3:,.0f}**" if row["ours"] else f"{row['p50_s'] * 1e3:,.0f}",
            f"{row['pairs_per_s']:,.0f}",
            "" if row["tau"] is None else f"{row['tau']:.3f}",
            f"{row['peak_bytes'] / MIB:,.0f} MiB",
        )
        for row in rows
    ]
    turns = max(row["runs"] for row in rows)
    versions = dict.fromkeys(row["detail"] for row in rows if not row["ours"] and row["detail"])
    caption = f"{first}, tokenising included, all in turn, medians of {turns}. {result.machine}. {'; '.join(versions)}."
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
        f"{settings['nodes']} nodes of a core; the process: as many threads. {result.machine}."
    )
    return "\n".join([*_table(("", "pairs/s", "of the engine's own"), rows), "", caption])


def _notes(result: Result) -> list[str]:
    return ["", *result.notes] if result.notes else []


def _measured_on(names: Iterable[str]) -> list[str]:
    return ["; ".join(dict.fromkeys(str(_kept(name).machine) for name in names)) + "."]


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    rules = ("---", *("---:" for _ in headings[1:])) if len(headings) > 2 else ("---", "---")
    return ["|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in (headings, rules, *rows)]


RENDERED = {"speed": _peers, "facts": _facts, "quality": _quality, "shapes": _shapes, "scale": _scale}
BLOCKS: dict[str, Callable[[], str]] = {
    name: lambda render=render: render() + "\n"  # type: ignore[misc]
    for name, render in RENDERED.items()
}

if __name__ == "__main__":
    sys.exit(main())
