"""An evaluation in words: tables of text, plain sentences, Markdown. It knows no terminal, files or plots."""

from dataclasses import dataclass

from crossrank.evaluate.result import SIGNIFICANT, Evaluation, Row, Score

INTERVAL = "95 % interval"
COST = "dollars (estimate)"
DIFFERENCE_INTERVAL = "its 95 % interval"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text under headings; the first column names a row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def measure_table(evaluation: Evaluation, measure: str) -> Table:
    """Of one measure: each row's mean, its interval, and how it compares to the first stage."""
    headings = (measure, "mean", INTERVAL, "difference", DIFFERENCE_INTERVAL, "p", "won/tied/lost")
    return Table(headings, tuple((row.name, *_cells(row.scores[measure])) for row in evaluation.rows))


def speed_table(evaluation: Evaluation) -> Table | None:
    """What the rankers took; None if there is no ranker."""
    rows = tuple(
        (
            row.name,
            _ms(speed.p50_ms),
            _ms(speed.p95_ms),
            _ms(speed.document_ms),
            f"{speed.documents:,.0f}",
            "" if speed.tokens is None else f"{speed.tokens:,.0f}",
            "" if speed.cost_usd is None else f"{speed.cost_usd:.4f}",
        )
        for row in evaluation.rows
        if (speed := row.speed) is not None
    )
    headings = ("time", "ms a query (median)", "95 %", "ms a document", "documents a query", "tokens a query", COST)
    shown = len(headings) if any(row[-1] for row in rows) else len(headings) - 1  # dollars, where anyone was paid
    return Table(headings[:shown], tuple(row[:shown] for row in rows)) if rows else None


def title(evaluation: Evaluation) -> str:
    """What was evaluated, in a line."""
    queries = f"{len(evaluation.queries):,} judged quer{'y' if len(evaluation.queries) == 1 else 'ies'}"
    return f"{evaluation.collection}: {queries}; candidates: {evaluation.origin}"


def sentences(evaluation: Evaluation) -> list[str]:
    """For each ranker, whether it helps by the first measure; and where it hurts by another one."""
    first, *others = evaluation.measures
    said = []
    for row in evaluation.rows:
        if row.kind != "ranker":
            continue
        said.append(_sentence(evaluation, row, first))
        said.extend(_sentence(evaluation, row, measure) for measure in others if verdict(row.scores[measure]) < 0)
    return said


def verdict(score: Score) -> int:
    """1 if significantly better than the first stage, -1 if significantly worse, else 0."""
    comparison = score.comparison
    if comparison is None or comparison.p_corrected >= SIGNIFICANT:
        return 0
    return 1 if comparison.difference > 0 else -1


def as_markdown(evaluation: Evaluation) -> str:
    """Title, sentences, tables, notes."""
    tables = [measure_table(evaluation, measure) for measure in evaluation.measures]
    if speed := speed_table(evaluation):
        tables.append(speed)
    parts = [
        f"# {title(evaluation)}",
        "\n".join(f"- {sentence}" for sentence in sentences(evaluation)),
        *map(markdown_table, tables),
        method(evaluation),
        "\n".join(f"- {note}" for note in evaluation.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def method(evaluation: Evaluation) -> str:
    """How the intervals and p-values came about, in a line."""
    compared = len(evaluation.rows) - 1
    holm = f", Holm-corrected for {compared} comparisons" if compared > 1 else ""
    return (
        f"Differences are to {evaluation.first_stage.name}; intervals: bootstrap; p: paired randomisation test{holm}."
    )


def _sentence(evaluation: Evaluation, row: Row, measure: str) -> str:
    score, stage = row.scores[measure], evaluation.first_stage.name
    comparison = score.comparison
    assert comparison is not None, "bug: a ranker is always compared to the first stage"
    p = _p(comparison.p_corrected)
    figures = (
        f"{comparison.difference:+.3f}, 95 % interval {comparison.interval.low:+.3f} to "
        f"{comparison.interval.high:+.3f}, p {p if p.startswith('<') else f'= {p}'}"
    )
    outcome = verdict(score)
    if outcome < 0:
        return f"Reranking hurts on this set: {row.name} is significantly worse than {stage} in {measure} ({figures})."
    if outcome > 0:
        return f"{row.name} is significantly better than {stage} in {measure} ({figures})."
    return f"{row.name}: no significant difference to {stage} in {measure} ({figures})."


def _cells(score: Score) -> tuple[str, ...]:
    mean = (f"{score.mean:.3f}", f"{score.interval.low:.3f} to {score.interval.high:.3f}")
    if (comparison := score.comparison) is None:
        return (*mean, "", "", "", "")
    return (
        *mean,
        f"{comparison.difference:+.3f}",
        f"{comparison.interval.low:+.3f} to {comparison.interval.high:+.3f}",
        _p(comparison.p_corrected),
        f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
    )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def markdown_table(table: Table) -> str:
    """The table in Markdown; all columns but the first are to the right."""
    lines = [table.headings, ("---", *("---:" for _ in table.headings[1:])), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
