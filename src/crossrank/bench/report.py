"""What was measured, and what is quoted: as a result, as tables of text, as Markdown. It knows no terminal or plot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crossrank.bench.machine import Machine
from crossrank.bench.options import Options
from crossrank.bench.published import PUBLISHED, Published
from crossrank.bench.result import Result
from crossrank.bench.run import Bench
from crossrank.bench.subjects import RANDOM
from crossrank.evaluate.report import Table, markdown_table
from crossrank.remote.costs import AS_OF, SOURCE, UNIT_DOCUMENTS, price_of

NAME = "bench"
COST = "$ for 1,000 queries"
HEADINGS = (
    "model",
    "by",
    "device",
    "precision",
    "documents",
    "p50 ms",
    "p95 ms",
    "runs",
    "pairs/s",
    "tokens/s",
    "MiB",
    "cold start s",
    COST,
)
EXPENDABLE = ("tokens/s", "runs", "device", "p95 ms", "MiB")  # on a narrow terminal, in this order
QUOTED = ("quoted, not measured here", "on", "documents", "tokens each", "ms", COST, "source", "read")
QUOTED_EXPENDABLE = ("read", "tokens each", "on", "source")
MIB = 2**20


def result_of(bench: Bench, *, price_hour: float | None, threads: int | None) -> Result:
    """All that was measured so far, and the figures of others.

    Args:
        bench: the run.
        price_hour: dollars that this machine costs an hour; None leaves costs out.
        threads: that were asked for.
    """
    measured = [case.as_row(price_hour) for case in bench.cases if case.seconds or case.error]
    settings = {
        "texts": bench.texts.name,
        "words_a_document": round(bench.texts.words, 1),
        "threads": threads,
        "usd_an_hour": price_hour,
        **_settings(bench.options),
    }
    spent = [f"Remote models took about ${bench.purse.spent_usd:.4f}."] if bench.purse.spent_usd else []
    rows = (*measured, *(_quoted(one) for one in PUBLISHED))
    return Result(NAME, Machine.here(), rows, settings, (*_notes(measured, price_hour), *spent))


def measured_table(result: Result) -> Table | None:
    """A row a case; None where none was measured."""
    rows = [row for row in result.rows if row["kind"] == "measured"]
    cells = [_cells(row) for row in rows if row["runs"]]
    if not cells:
        return None
    costs = any(row[-1] for row in cells)
    shown = len(HEADINGS) if costs else len(HEADINGS) - 1
    return Table(HEADINGS[:shown], tuple(row[:shown] for row in cells))


def failures(result: Result) -> list[str]:
    """A sentence for each case without a figure, those of one cause together."""
    causes: dict[tuple[str, str], list[int]] = {}
    for row in result.rows:
        if row["kind"] == "measured" and row["error"]:
            name = " ".join(part for part in (row["model"], "by", row["by"], row["precision"]) if part)
            causes.setdefault((name, row["error"]), []).append(row["documents"])
    return [
        f"{name}, {' and '.join(f'{count:,}' for count in counts)} documents: {error}."
        for (name, error), counts in causes.items()
    ]


def quoted_table(result: Result) -> Table:
    """What others have published, with its source."""
    rows = [row for row in result.rows if row["kind"] == "quoted"]
    return Table(
        QUOTED,
        tuple(
            (
                row["model"],
                row["device"],
                _or_unknown(row["documents"]),
                _or_unknown(row["tokens_each"]),
                f"{row['p50_s'] * 1e3:,.0f}",
                "" if row["usd_per_1000_queries"] is None else f"{row['usd_per_1000_queries']:,.2f}",
                row["source"],
                row["read"],
            )
            for row in rows
        ),
    )


def method(result: Result) -> str:
    """How the figures came about, in a line or two."""
    settings = result.settings
    return (
        f"{result.machine}. One query with its documents at a time, tokenising included, caches off; texts: "
        f"{settings['texts']} ({settings['words_a_document']:g} words each). Each library in a process of its own, in "
        f"turn, other texts each time, until the median is known to {settings['spread_max']:.0%} (95 % sure), "
        f"{settings['repeats_max']} runs or {settings['case_s_max']:g} s. MiB: the most resident memory. Cold start: a "
        f"new process, from its start to its first answer, with {min(settings['documents'])} documents; the median of "
        f"{settings['cold_starts']}."
    )


def as_markdown(result: Result) -> str:
    """Tables, what is missing and why, and how it was measured."""
    table = measured_table(result)
    parts = [
        "# Measured by crossrank bench",
        "Nothing was measured." if table is None else markdown_table(table),
        "\n".join(f"- {line}" for line in (*failures(result), *result.notes)),
        markdown_table(quoted_table(result)),
        method(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings(options: Options) -> dict[str, Any]:
    names = ("documents", "case_s_max", "repeats_max", "spread_max", "cold_starts", "timeout_s")
    return {name: list(value) if isinstance(value := getattr(options, name), tuple) else value for name in names}


def _notes(rows: Sequence[Mapping[str, Any]], price_hour: float | None) -> Iterator[str]:
    ran = dict.fromkeys(
        f"{row['by']}: {row['detail']}" + (f" (batches of {row['setting']})" if row["setting"] else "")
        for row in rows
        if row["detail"]
    )
    if ran:
        yield f"Run by {'; '.join(ran)}."
    if any(row["weights"] == RANDOM for row in rows):
        yield f"{RANDOM}: of the shape of the model by that name, tokenised as by crossrank-mini; for times only."
    if price_hour is not None:
        yield f"Costs: one query after the other, on a machine of ${price_hour:g} an hour that does nothing else."
    yield f"Prices of APIs: {SOURCE}, {AS_OF}; up to {UNIT_DOCUMENTS} documents a query."


def _quoted(one: Published) -> dict[str, Any]:
    price = None if one.price is None else price_of(*one.price)
    return {
        "kind": "quoted",
        "model": one.model,
        "device": one.what,
        "documents": one.documents,
        "tokens_each": one.tokens,
        "p50_s": one.seconds,
        "usd_per_1000_queries": None if price is None else price.search_units_1k,
        "source": one.source,
        "read": one.read,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    cost, tokens, cold = row["usd_per_1000_queries"], row["tokens_per_s"], row["cold_s"]
    return (
        f"{row['model']} ({RANDOM})" if row["weights"] == RANDOM else row["model"],
        row["by"],
        row["device"],
        row["precision"],
        f"{row['documents']:,}",
        _ms(row["p50_s"]),
        _ms(row["p95_s"]),
        str(row["runs"]),
        f"{row['pairs_per_s']:,.0f}",
        "" if tokens is None else f"{tokens:,}",
        _memory(row),
        "" if cold is None else f"{cold:.2f}",
        "" if cost is None else f"{cost:,.4f}",
    )


def _memory(row: Mapping[str, Any]) -> str:
    if row["by"] == "API":
        return ""
    gpu = "" if row["gpu_peak_bytes"] is None else f" + {row['gpu_peak_bytes'] / MIB:,.0f} GPU"
    return f"{row['peak_bytes'] / MIB:,.0f}{gpu}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.1f}"


def _or_unknown(value: int | None) -> str:
    return "not stated" if value is None else f"{value:,}"
